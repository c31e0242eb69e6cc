package simulation

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/b0401464/redlock/internal/redistest"
)

var (
	oneSeed = flag.Uint64("seed", 0, "run the history of this seed alone")
	from    = flag.Uint64("from", 1, "the first seed")
	first   = flag.Bool("first", false, "stop at the first violation")
	seeds   = flag.Uint64("seeds", 300, "how many")
)

func TestMain(m *testing.M) {
	redistest.Silence()
	flag.Parse()
	debug.SetGCPercent(400) // a history makes a lot of garbage, and keeps little
	os.Exit(m.Run())
}

func TestHistories(t *testing.T) {
	if *oneSeed != 0 {
		r := run(t, *oneSeed)
		t.Logf("%+v", r.Stats)
		report(t, r)
		return
	}
	var next atomic.Uint64
	next.Store(*from)
	var failed atomic.Int64
	var mu sync.Mutex
	var total Stats
	begin := time.Now()
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				seed := next.Add(1) - 1
				if seed >= *from+*seeds || failed.Load() >= 5 || (*first && failed.Load() > 0) {
					return
				}
				r := run(t, seed)
				mu.Lock()
				total.Add(&r.Stats)
				if report(t, r); len(r.Violations) > 0 {
					failed.Add(1)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%v: %+v", time.Since(begin), total)
}

func run(t *testing.T, seed uint64) (r *Result) {
	defer func() {
		if p := recover(); p != nil {
			r = &Result{Seed: seed, Violations: []Violation{{Checker: "e", Text: fmt.Sprint(p)}}}
		}
	}()
	synctest.Test(t, func(t *testing.T) { r = Run(seed) })
	return r
}

func report(t *testing.T, r *Result) {
	var b strings.Builder
	for i, v := range r.Violations {
		if i == 0 && r.world != nil {
			b.WriteString(r.Log(v) + "\n")
		}
	}
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "%v\n", v)
	}
	if len(r.Violations) > 0 {
		fmt.Printf("VIOLATION seed %d, profile %s, %d nodes: %v\n", r.Seed, r.Profile, r.Nodes, r.Violations[0])
		t.Errorf("seed %d, profile %s, %d nodes:\n%s", r.Seed, r.Profile, r.Nodes, b.String())
	}
}
