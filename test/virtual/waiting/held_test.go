package waiting_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

// refusedHere requires that a try is refused without a word to the nodes, and returns
// the error.
func refusedHere(t *testing.T, l *redlock.Locker, nodes []*rig.Node, try try) redlock.LockError {
	t.Helper()
	synctest.Wait()
	before := rig.Sent(nodes)
	_, err := try(t.Context(), l)
	require.ErrorIs(t, err, redlock.ErrContended)
	synctest.Wait()
	require.Zero(t, rig.Sent(nodes)-before)
	e, ok := errors.AsType[*redlock.LockError](err)
	require.True(t, ok)
	return *e
}

// refusedThere requires that a try is refused by the nodes, and returns the error.
func refusedThere(t *testing.T, l *redlock.Locker, nodes []*rig.Node, try try) redlock.LockError {
	t.Helper()
	synctest.Wait()
	before := rig.Sent(nodes)
	_, err := try(t.Context(), l)
	require.ErrorIs(t, err, redlock.ErrContended)
	synctest.Wait()
	require.Positive(t, rig.Sent(nodes)-before)
	e, ok := errors.AsType[*redlock.LockError](err)
	require.True(t, ok)
	return *e
}

// grantedThere requires that a try is granted by the nodes.
func grantedThere(t *testing.T, l *redlock.Locker, nodes []*rig.Node, try try) {
	t.Helper()
	before := rig.Sent(nodes)
	k, err := try(t.Context(), l)
	require.NoError(t, err)
	require.Positive(t, rig.Sent(nodes)-before)
	require.NoError(t, k.Unlock(t.Context()))
}

func TestATryIsRefusedAtOnceWhileItsLockerHoldsOneOfTheResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		m, r := rig.NewMeter(), rig.NewRecorder()
		l, other := rig.NewLocker(t, nodes, m.Option(), r.Option()), rig.NewLocker(t, nodes)
		k := rig.LockAll(t, l, "a", "b")
		single, err := l.Lock(t.Context(), "s", rig.TTL, redlock.WithFencing(time.Hour))
		require.NoError(t, err)
		r.Take()
		attempts := m.Values(t, "redlock.lock.attempts", "redlock.outcome")
		bounded := func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
			return l.Lock(ctx, "a", rig.TTL, rig.OneTry, redlock.WithMaxWait(time.Minute))
		}
		for _, try := range []try{tryOne("a"), tryOne("b"), tryOne("s"), tryAll("a", "b"), tryAll("x", "b"), tryAll("r", "s", "t"), bounded} {
			refusedHere(t, l, nodes, try)
			refusedThere(t, other, nodes, try)
		}
		e := refusedHere(t, l, nodes, tryAll("x", "b"))
		assert.Equal(t, redlock.OpLock, e.Op)
		assert.Equal(t, []string{"b", "x"}, e.Resources)
		assert.Equal(t, 2, e.Quorum)
		assert.Zero(t, e.Attempts)
		assert.Zero(t, e.Agreed)
		assert.Empty(t, e.Nodes)
		assert.Equal(t, "contended", e.ErrorType())
		assert.Equal(t, `redlock: lock "b" "x": held by another, mark `+k.Mark()+`: a caller of the same Locker, free in 10s at the latest unless extended`, e.Error())

		assert.Equal(t, attempts, m.Values(t, "redlock.lock.attempts", "redlock.outcome"))
		assert.Equal(t, map[string]int64{"acquired": 2, "contended": 8}, m.Values(t, "redlock.lock.duration", rig.ByResult))
		spans := r.Take()
		require.Len(t, spans, 8)
		rig.RequireOK(t, spans...)
		assert.Equal(t, "contended", rig.Attributes(spans[7])["redlock.result"])
		assert.Equal(t, int64(0), rig.Attributes(spans[7])["redlock.attempt.count"])

		grantedThere(t, l, nodes, tryAll("r", "t"))
		require.NoError(t, k.Unlock(t.Context()))
		grantedThere(t, l, nodes, tryAll("x", "b"))
		refusedHere(t, l, nodes, tryAll("x", "s"))
		require.NoError(t, single.Unlock(t.Context()))
		grantedThere(t, l, nodes, tryAll("x", "s"))
		synctest.Wait()
		assert.Zero(t, seam.Queues(l))
	})
}

// Two callers of one process would have the lock.
func TestATryDoesNotTakeFromItsOwnLockerWhatSomebodyHasRemovedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k := rig.Lock(t, l)
		for _, n := range nodes {
			n.FlushAll()
		}
		refusedHere(t, l, nodes, tryOne("a"))
		assert.True(t, k.Valid())
		grantedThere(t, rig.NewLocker(t, nodes), nodes, tryOne("a"))
	})
}

func TestATryAsksTheNodesOnceTheLockInItsLockerIsOver(t *testing.T) {
	flush := func(nodes []*rig.Node) {
		for _, n := range nodes {
			n.FlushAll()
		}
	}
	for name, tt := range map[string]struct {
		opts []redlock.LockOption
		end  func(t *testing.T, l *redlock.Locker, k *redlock.Lock, nodes []*rig.Node)
	}{
		"unlocked": {nil, func(t *testing.T, _ *redlock.Locker, k *redlock.Lock, _ []*rig.Node) {
			t.Helper()
			require.NoError(t, k.Unlock(t.Context()))
		}},
		"unlocked, and found gone": {nil, func(t *testing.T, _ *redlock.Locker, k *redlock.Lock, nodes []*rig.Node) {
			t.Helper()
			flush(nodes)
			require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
		}},
		"run out": {nil, func(*testing.T, *redlock.Locker, *redlock.Lock, []*rig.Node) { time.Sleep(rig.TTL) }},
		"run out at its limit": {[]redlock.LockOption{redlock.WithAutoExtend(rig.TTL)}, func(t *testing.T, l *redlock.Locker, k *redlock.Lock, nodes []*rig.Node) {
			t.Helper()
			time.Sleep(rig.TTL + time.Second) // it is not extended any more
			refusedHere(t, l, nodes, tryOne("a"))
			time.Sleep(rig.TTL)
			require.False(t, k.Valid())
		}},
		"lost by an extension": {nil, func(t *testing.T, _ *redlock.Locker, k *redlock.Lock, nodes []*rig.Node) {
			t.Helper()
			flush(nodes)
			require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrLockLost)
		}},
		"lost by an automatic extension": {[]redlock.LockOption{redlock.WithAutoExtend(redlock.Forever)}, func(t *testing.T, _ *redlock.Locker, k *redlock.Lock, nodes []*rig.Node) {
			t.Helper()
			flush(nodes)
			time.Sleep(rig.TTL/3 + time.Second)
			require.False(t, k.Valid())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l := rig.NewLocker(t, nodes)
				k := rig.Lock(t, l, tt.opts...)
				refusedHere(t, l, nodes, tryOne("a"))
				tt.end(t, l, k, nodes)
				grantedThere(t, l, nodes, tryOne("a"))
				grantedThere(t, l, nodes, tryAll("a", "b"))
			})
		})
	}
}
