package errors_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// The validity is less than what a gate is waited for alone, so that nothing would be left for
// the others.
func TestACallWhoseValidityIsShortIsToldWhatAMajoritySaysThoughItsGateHasJustFrozen(t *testing.T) {
	for _, c := range []struct {
		name                       string
		ttl, trip, window, timeout time.Duration
	}{
		{"default node timeout, ttl 20ms, 1ms away", 20 * time.Millisecond, time.Millisecond, 30 * time.Millisecond, 0},
		{"node timeout 1s, ttl 100ms, 30ms away", 100 * time.Millisecond, 30 * time.Millisecond, 300 * time.Millisecond, time.Second},
	} {
		for _, size := range []int{3, 5} {
			t.Run(fmt.Sprint(c.name, ", ", size, " nodes"), func(t *testing.T) {
				within(t, c.window, func(t *testing.T, before time.Duration) {
					t.Helper()
					w := newWaiter(t, size, c.trip, c.ttl, time.Second, 20, nodeTimeout(c.timeout)...)
					w.freezes(t, w.gate, before)
				})
			})
		}
	}
}

// The last attempt asks a majority of the holder's nodes, and would wait for one that hangs until
// the validity is over.
func TestACallWhoseValidityIsShortIsToldWhatAMajoritySaysThoughANodeHasJustFrozen(t *testing.T) {
	rig.Long(t)
	for _, c := range []struct {
		name                 string
		ttl, timeout, window time.Duration
		far                  bool // the node is, and has failed once
	}{
		{"ttl 20ms, default node timeout", 20 * time.Millisecond, 0, 48 * time.Millisecond, false},
		{"ttl 300ms, node timeout 1s, far", 300 * time.Millisecond, time.Second, 900 * time.Millisecond, true},
		{"ttl 10s", 10 * time.Second, 0, 900 * time.Millisecond, false},
		{"ttl 10s, far", 10 * time.Second, 0, 900 * time.Millisecond, true},
	} {
		for which := range 2 {
			t.Run(fmt.Sprint(c.name, ", ", which), func(t *testing.T) {
				within(t, c.window, func(t *testing.T, before time.Duration) {
					t.Helper()
					w := newWaiter(t, 3, time.Millisecond, c.ttl, 3*time.Second, 60, nodeTimeout(c.timeout)...)
					n := w.others[which]
					if c.far {
						n.Slow(60 * time.Millisecond)
						n.Down()
						time.Sleep(400 * time.Millisecond)
						n.Up()
					}
					w.freezes(t, n, before)
				})
			})
		}
	}
}

// The first attempt asks the gate first, as the resource was contended a moment ago.
func TestACallWithAShortMaxWaitIsToldWhatAMajoritySaysThoughItsGateHasJustFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		gate, _ := rig.FindGate(t, nodes)
		_, err := rig.NewLocker(t, nodes).Lock(t.Context(), "a", time.Hour)
		require.NoError(t, err)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		for _, n := range nodes {
			n.Slow(10 * time.Millisecond)
		}
		short := func() error {
			_, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(35*time.Millisecond))
			return err
		}
		for range 20 { // so that it is known how far away the nodes are
			require.ErrorIs(t, short(), redlock.ErrContended)
		}
		gate.Freeze()
		assert.ErrorIs(t, short(), redlock.ErrContended)
		gate.Thaw()
	})
}
