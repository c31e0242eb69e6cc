// Package chaos has lockers contend for locks on real servers while the
// servers freeze, die and restart and the network between them fails, and
// checks that no two of them ever hold the same lock, and that fencing tokens grow.
//
// It is for tests only. Eight lockers stand for eight processes: each has
// go-redis clients, connections and proxies of its own, and shares nothing with
// the others but the servers. That they run in one process gives the checker
// one clock. The servers write every command to disk before they answer, so
// that none forgets.
//
// Six of them lock with fencing tokens, whose counters begin apart and far ahead of the
// clock for one of the resources.
//
// At any time every process has a majority of nodes to which nothing happens,
// but for one now and then that is cut off from all of them.
package chaos

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"
)

const (
	nodes     = 5
	minority  = 2
	processes = 8

	minTTL   = 150 * time.Millisecond
	maxTTL   = 3 * time.Second
	maxFault = 6 * time.Second
	keep     = time.Hour // of the fencing counters

	// drought is how long a resource may go without a grant in addition to the
	// longest fault: until keys that nobody could remove have run out and
	// clients with default options have given up connections that went silent.
	drought = 10 * time.Second

	patience = 2 * time.Minute // for states that must come; a busy machine is slow
	logged   = time.Minute     // what is printed of a run that fails: it ends with the failure
)

// resources are what all processes contend for.
var resources = []string{"invoice", "report"}

// Run has lockers contend for length while the faults that seed chooses happen, and
// then, where a busy machine has kept them from it, until there was one of each kind of
// what must be. It fails t if anything is not as promised. It logs figures.
func Run(t *testing.T, length time.Duration, seed uint64) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	f := newFigures(length, seed, stop)
	t.Cleanup(func() { f.finish(t) }) // registered first: it runs when all else has ended
	w := newWorld(t, f)
	s := newSchedule(w, seed)
	f.begun = time.Now()

	var wg sync.WaitGroup
	f.timers.start()
	wg.Go(func() {
		faulty, heal := context.WithTimeout(ctx, length)
		defer heal()
		s.run(faulty)
		f.awaitAll(ctx)
		stop()
	})
	w.work(ctx, &wg, seed)
	wg.Wait()
	f.timers.end()
	ended := time.Now()
	w.shutdown(t)
	w.awaitEmpty(t)

	for _, c := range w.counters {
		c.audit()
		f.increments += c.writes
		f.longestWait = max(f.longestWait, c.longestWait(f.begun, ended))
	}
	f.judge(t)
	if t.Failed() {
		s.log(t)
		w.log(t)
	}
}

// judge checks the figures.
func (f *figures) judge(t *testing.T) {
	t.Helper()
	found := f.violations()
	for _, text := range found {
		t.Error(text)
	}
	if len(found) > 0 {
		return // it ended early
	}
	assert.Len(t, f.byResource, len(resources), "resources that were locked")
	assert.NotEmpty(t, f.faults)
	assert.Positive(t, f.ahead)
	assert.Greater(t, f.tokens, f.ahead)
	assert.Less(t, f.longestWait, f.longestFault+drought+f.timers.slack(), "a resource was not granted for so long")
}

// awaitAll waits until all resources were locked, with tokens of both kinds.
func (f *figures) awaitAll(ctx context.Context) {
	all := func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.byResource) == len(resources) && 0 < f.ahead && f.ahead < f.tokens
	}
	for deadline := time.Now().Add(patience); !all() && time.Now().Before(deadline) && ctx.Err() == nil; {
		sleep(ctx, 5*time.Millisecond)
	}
}

// finish looks for goroutines that are left, and prints the figures.
func (f *figures) finish(t *testing.T) {
	t.Helper()
	if t.Skipped() {
		return
	}
	f.goroutines = "0"
	err := goleak.Find()
	for deadline := time.Now().Add(patience); err != nil && time.Now().Before(deadline); {
		err = goleak.Find() // a closed pool of go-redis may dial once more, a second later
	}
	if err != nil {
		f.goroutines = "some"
		assert.NoError(t, err)
	}
	t.Logf("\n%v", f)
}
