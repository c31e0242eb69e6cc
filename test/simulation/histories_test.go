package simulation_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/test/servers"
	"github.com/b0401464/redlock/test/simulation"
)

var (
	one   = flag.Uint64("seed", 0, "run the history of this seed alone")
	from  = flag.Uint64("from", 1, "the first seed")
	seeds = flag.Uint64("seeds", 30, "how many seeds to run")
	most  = flag.Int("violated", 5, "stop after that many histories with a violation")
)

func TestMain(m *testing.M) {
	servers.Silence()
	flag.Parse()
	debug.SetGCPercent(800) // a history makes much garbage and keeps little,
	// but for what its pools keep until the second collection after it: without a
	// limit, that is the more the less often there is one.
	debug.SetMemoryLimit(2 << 30)
	os.Exit(m.Run())
}

func TestHistories(t *testing.T) {
	b := batch{t: t, next: *from, end: *from + *seeds}
	if *one != 0 {
		b.next, b.end = *one, *one+1
	}
	begin := time.Now()
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(b.run)
	}
	all.Wait()
	took := time.Since(begin)
	t.Logf("%d histories in %v, %v each\n%v", b.total.Histories, took.Round(time.Second),
		(took / time.Duration(max(b.total.Histories, 1))).Round(time.Millisecond), &b.total)
}

// A batch is the histories of one run of the test.
type batch struct {
	t *testing.T

	mu       sync.Mutex
	next     uint64
	end      uint64
	violated int
	total    simulation.Stats
}

func (b *batch) run() {
	for {
		b.mu.Lock()
		seed := b.next
		if seed == b.end || b.violated >= *most {
			b.mu.Unlock()
			return
		}
		b.next++
		b.mu.Unlock()
		b.file(history(b.t, seed))
	}
}

// history runs one. A bubble that goroutines are left in panics: that is a
// violation, too.
func history(t *testing.T, seed uint64) (r *simulation.Result) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			r = &simulation.Result{Seed: seed, Violations: []simulation.Violation{{Checker: "e", Text: fmt.Sprint(p)}}}
		}
	}()
	synctest.Test(t, func(*testing.T) { r = simulation.Run(seed) })
	return r
}

const progress = 1000

func (b *batch) file(r *simulation.Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total.Add(&r.Stats)
	if b.total.Histories%progress == 0 {
		b.t.Logf("%d histories", b.total.Histories)
	}
	if len(r.Violations) == 0 {
		return
	}
	b.violated++
	var text strings.Builder
	for _, v := range r.Violations {
		fmt.Fprintf(&text, "%s%v\n", found, v)
	}
	assert.Failf(b.t, "a promise was broken", "seed %d, profile %s, %d nodes\n%s\n%s",
		r.Seed, r.Profile, r.Nodes, r.Log(r.Violations[0]), text.String())
	b.t.Logf("again: go test ./test/simulation -run TestHistories -seed %d -v", r.Seed)
}

// found stands before each violation; TestEveryMutantIsFound looks for it.
const found = "VIOLATION "
