package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

// A roll is what befell those who lock while the nodes are restarted one after the other.
type roll struct {
	mu      sync.Mutex
	turns   int
	failed  int
	unsure  int // releases that found no majority: the lock stood on two nodes, and one was away
	longest time.Duration
	inside  [4]atomic.Int32
}

// work takes turns on some resources until stop is closed.
func (r *roll) work(t *testing.T, l *redlock.Locker, stop <-chan struct{}) {
	t.Helper()
	for {
		select {
		case <-stop:
			return
		default:
		}
		n, begun := rand.IntN(len(r.inside)), time.Now() //nolint:gosec // spreads the work
		var waited time.Duration
		err := l.With(t.Context(), fmt.Sprint("k", n), rig.LongTTL, func(context.Context, *redlock.Lock) error {
			waited = time.Since(begun)
			assert.EqualValues(t, 1, r.inside[n].Add(1), "two at once")
			time.Sleep(time.Millisecond)
			r.inside[n].Add(-1)
			return nil
		}, func(err error) {
			assert.ErrorIs(t, err, redlock.ErrNoQuorum)
			r.mu.Lock()
			r.unsure++
			r.mu.Unlock()
		}, redlock.WithMaxWait(rig.Patience))
		r.mu.Lock()
		r.turns++
		r.longest = max(r.longest, waited)
		if err != nil {
			r.failed++
			t.Log(err, time.Since(begun))
		}
		r.mu.Unlock()
	}
}

// leave adds a line with the figures of this run to the file that is named, for docs/kubernetes.md.
func (r *roll) leave(t *testing.T) {
	t.Helper()
	name := os.Getenv("REDLOCK_ROLLING_RESULTS")
	if name == "" {
		return
	}
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // where the caller says
	require.NoError(t, err)
	_, err = fmt.Fprintf(file, `{"date": %q, "turns": %d, "failed": %d, "longest_ms": %d}`+"\n",
		time.Now().UTC().Format("2 January 2006"), r.turns, r.failed, r.longest.Milliseconds())
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

// The order is that of a StatefulSet: from the last node to the first, each after the one
// before is ready again.
func TestARollingUpdateOfTheNodesCostsNoLock(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3, servers.WithAppendOnly())
	end := make(chan struct{})
	var r roll
	var all sync.WaitGroup
	var lockers []*redlock.Locker
	for range 6 { // with the node timeout of most programs
		l, err := redlock.New(on.NewClients(t))
		require.NoError(t, err)
		lockers = append(lockers, l)
		all.Go(func() { r.work(t, l, end) })
	}
	holder := on.Locker(t)
	held, err := holder.Lock(t.Context(), "held", 20*time.Second, redlock.WithAutoExtend(redlock.Forever))
	require.NoError(t, err)
	lives, stop := held.Context(t.Context())
	defer stop()
	rig.DrainCalls(t, holder) // a bare majority could not spare a node, if that came back empty
	for _, s := range slices.Backward(on.Servers) {
		s.Kill()
		time.Sleep(2 * time.Second)
		s.Restart()
		time.Sleep(2 * time.Second)
	}
	require.NoError(t, lives.Err(), "%v", context.Cause(lives))
	close(end)
	all.Wait()
	require.NoError(t, held.Unlock(t.Context()))
	t.Logf("%d turns of 6 processes, %d failed, %d releases without a majority, the longest wait %v", r.turns, r.failed, r.unsure, r.longest)
	assert.Zero(t, r.failed)
	r.leave(t)
	for _, l := range append(lockers, holder) {
		rig.Drain(t, l)
	}
	on.RequireEmpty(t, rig.LongTTL)
}
