package errors_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A waiter is a call for a resource that another process holds for an hour.
type waiter struct {
	nodes  []*rig.Node
	gate   *rig.Node
	others []*rig.Node
	ends   time.Time
	err    chan error
}

// newWaiter has a call wait at size nodes, which are trip away, until it gives up after wait,
// half of which has passed now. It asks about steps times.
func newWaiter(t *testing.T, size int, trip, ttl, wait time.Duration, steps int, opts ...redlock.Option) *waiter {
	t.Helper()
	w := &waiter{nodes: rig.New(t, size), err: make(chan error, 1)}
	w.gate, w.others = rig.FindGate(t, w.nodes)
	_, err := rig.NewLocker(t, w.nodes).Lock(t.Context(), "a", time.Hour)
	require.NoError(t, err)
	l := rig.NewLocker(t, w.nodes, opts...)
	rig.WarmUp(t, l)
	for _, n := range w.nodes {
		n.Slow(trip)
	}
	w.ends = time.Now().Add(wait)
	go func() {
		_, err := l.Lock(t.Context(), "a", ttl, redlock.WithRetry(steps, wait/time.Duration(steps)))
		w.err <- err
	}()
	time.Sleep(wait / 2)
	return w
}

// freezes has a node freeze so long before the call gives up, which is told that another one has
// the lock: a majority says so.
func (w *waiter) freezes(t *testing.T, n *rig.Node, before time.Duration) {
	t.Helper()
	time.Sleep(time.Until(w.ends) - before)
	n.Freeze()
	require.ErrorIs(t, <-w.err, redlock.ErrContended, "%v before its end", before)
	n.Thaw()
}

// within calls f with twenty moments of a window.
func within(t *testing.T, window time.Duration, f func(t *testing.T, before time.Duration)) {
	t.Helper()
	for i := range 20 {
		synctest.Test(t, func(t *testing.T) { f(t, window*time.Duration(i+1)/20) })
	}
}

func nodeTimeout(d time.Duration) (opts []redlock.Option) {
	if d > 0 {
		opts = append(opts, redlock.WithNodeTimeout(d))
	}
	return opts
}
