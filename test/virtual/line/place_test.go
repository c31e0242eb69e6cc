package line_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A Locker whose attempts are decided before the gate has answered has still come
// when the gate saw it first.
func TestAWaiterKeepsItsPlaceWhetherOrNotTheGateAnswersFirst(t *testing.T) {
	for name, delay := range map[string]time.Duration{"the gate is near": time.Millisecond, "the gate answers last": 40 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				gate, others := rig.FindGate(t, nodes)
				k := rig.Lock(t, rig.NewLocker(t, nodes))
				for _, n := range others {
					n.Slow(time.Millisecond)
				}
				gate.Slow(delay)
				ctx, cancel := context.WithCancel(t.Context())
				var all sync.WaitGroup
				for range 3 {
					l := rig.NewLocker(t, nodes)
					all.Go(func() { _, _ = l.Lock(ctx, "a", rig.TTL, rig.InTurn) })
					time.Sleep(time.Second)
				}
				first := places(t, gate)
				require.Len(t, first, 3)
				gate.Del("a") // now it lets everybody have it who asks, and the others refuse
				last := maps.Clone(first)
				for range 3000 {
					time.Sleep(time.Millisecond)
					synctest.Wait()
					maps.Copy(last, places(t, gate))
				}
				assert.Equal(t, first, last)
				cancel()
				all.Wait()
				require.NoError(t, k.Unlock(t.Context()))
			})
		})
	}
}

// The gate knows Lockers, not calls: the place may be another caller's by then.
func TestALateUnlockOfALockThatRanOutDoesNotTakeThePlaceOfItsLocker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l, other := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
		k := rig.Lock(t, other)
		_, err := l.TryLock(t.Context(), "a", rig.TTL) // l knows that it is contended
		require.ErrorIs(t, err, redlock.ErrContended)
		require.NoError(t, k.Unlock(t.Context()))
		late, err := l.Lock(t.Context(), "a", time.Second, rig.InTurn)
		require.NoError(t, err)
		var all sync.WaitGroup
		var order turnLog
		all.Go(func() { order.turn(t, other, 0, 5*time.Second) })
		time.Sleep(100 * time.Millisecond)
		all.Go(func() { order.turn(t, l, 1, time.Millisecond) })
		time.Sleep(2 * time.Second) // late has run out, and the other one has it
		require.Equal(t, 1, rig.Waiting(t, nodes))
		synctest.Wait()
		order.mu.Lock()
		require.Equal(t, []int{0}, order.who)
		order.mu.Unlock()
		require.ErrorIs(t, late.Unlock(t.Context()), redlock.ErrLockLost)
		synctest.Wait()
		assert.Equal(t, 1, rig.Waiting(t, nodes))
		all.Wait()
		rig.RequireNoLine(t, nodes)
	})
}

// places returns when each Locker in the line for "a" came.
func places(t *testing.T, n *rig.Node) map[string]float64 {
	t.Helper()
	all := make(map[string]float64)
	if !n.Exists(rig.LineOfA) {
		return all
	}
	members, err := n.ZMembers(rig.LineOfA)
	require.NoError(t, err)
	for _, m := range members {
		all[m], err = n.ZScore(rig.LineOfA, m)
		require.NoError(t, err)
	}
	return all
}
