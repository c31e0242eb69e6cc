package redlock_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// refusedHere requires that a try is refused without a word to the nodes, and returns
// the error.
func refusedHere(t *testing.T, l *redlock.Locker, nodes []*node, try try) redlock.LockError {
	t.Helper()
	synctest.Wait()
	before := sent(nodes)
	_, err := try(t.Context(), l)
	require.ErrorIs(t, err, redlock.ErrContended)
	require.ErrorIs(t, err, redlock.ErrNotAcquired)
	synctest.Wait()
	require.Zero(t, sent(nodes)-before)
	e, ok := errors.AsType[*redlock.LockError](err)
	require.True(t, ok)
	return *e
}

// refusedThere requires that a try is refused by the nodes, and returns the error.
func refusedThere(t *testing.T, l *redlock.Locker, nodes []*node, try try) redlock.LockError {
	t.Helper()
	synctest.Wait()
	before := sent(nodes)
	_, err := try(t.Context(), l)
	require.ErrorIs(t, err, redlock.ErrContended)
	synctest.Wait()
	require.Positive(t, sent(nodes)-before)
	e, ok := errors.AsType[*redlock.LockError](err)
	require.True(t, ok)
	return *e
}

// grantedThere requires that a try is granted by the nodes.
func grantedThere(t *testing.T, l *redlock.Locker, nodes []*node, try try) {
	t.Helper()
	before := sent(nodes)
	k, err := try(t.Context(), l)
	require.NoError(t, err)
	require.Positive(t, sent(nodes)-before)
	require.NoError(t, k.Unlock(t.Context()))
}

func TestATryIsRefusedAtOnceWhileItsLockerHoldsOneOfTheResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		m, r := newMeter(), newRecorder()
		l, other := newLocker(t, nodes, m.option(), r.option()), newLocker(t, nodes)
		k := lockAll(t, l, "a", "b")
		single, err := l.Lock(t.Context(), "s", ttl, redlock.WithFencing(time.Hour))
		require.NoError(t, err)
		r.take()
		attempts := m.values(t, "redlock.lock.attempts", "redlock.outcome")
		bounded := func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
			return l.Lock(ctx, "a", ttl, oneTry, redlock.WithMaxWait(time.Minute))
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
		assert.Equal(t, `redlock: lock "b" "x": held by another: a caller of the same Locker, free in 10s at the latest unless extended`, e.Error())

		assert.Equal(t, attempts, m.values(t, "redlock.lock.attempts", "redlock.outcome"))
		assert.Equal(t, map[string]int64{"acquired": 2, "contended": 8}, m.values(t, "redlock.lock.duration", byResult))
		spans := r.take()
		require.Len(t, spans, 8)
		requireOK(t, spans...)
		assert.Equal(t, "contended", attributes(spans[7])["redlock.result"])
		assert.Equal(t, int64(0), attributes(spans[7])["redlock.attempt.count"])

		grantedThere(t, l, nodes, tryAll("r", "t"))
		require.NoError(t, k.Unlock(t.Context()))
		grantedThere(t, l, nodes, tryAll("x", "b"))
		refusedHere(t, l, nodes, tryAll("x", "s"))
		require.NoError(t, single.Unlock(t.Context()))
		grantedThere(t, l, nodes, tryAll("x", "s"))
		synctest.Wait()
		assert.Zero(t, redlock.Lines(l))
	})
}

// Two callers of one process would have the lock.
func TestATryDoesNotTakeFromItsOwnLockerWhatSomebodyHasRemovedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		k := lock(t, l)
		for _, n := range nodes {
			n.FlushAll()
		}
		refusedHere(t, l, nodes, tryOne("a"))
		assert.True(t, k.Valid())
		grantedThere(t, newLocker(t, nodes), nodes, tryOne("a"))
	})
}

func TestATryAsksTheNodesOnceTheLockInItsLockerIsOver(t *testing.T) {
	flush := func(nodes []*node) {
		for _, n := range nodes {
			n.FlushAll()
		}
	}
	for name, tt := range map[string]struct {
		opts []redlock.LockOption
		end  func(t *testing.T, l *redlock.Locker, k *redlock.Lock, nodes []*node)
	}{
		"unlocked": {nil, func(t *testing.T, _ *redlock.Locker, k *redlock.Lock, _ []*node) {
			t.Helper()
			require.NoError(t, k.Unlock(t.Context()))
		}},
		"unlocked, and found gone": {nil, func(t *testing.T, _ *redlock.Locker, k *redlock.Lock, nodes []*node) {
			t.Helper()
			flush(nodes)
			require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
		}},
		"run out": {nil, func(*testing.T, *redlock.Locker, *redlock.Lock, []*node) { time.Sleep(ttl) }},
		"run out at its limit": {[]redlock.LockOption{redlock.WithAutoExtend(ttl)}, func(t *testing.T, l *redlock.Locker, k *redlock.Lock, nodes []*node) {
			t.Helper()
			time.Sleep(ttl + time.Second) // it is not extended any more
			refusedHere(t, l, nodes, tryOne("a"))
			time.Sleep(ttl)
			require.False(t, k.Valid())
		}},
		"lost by an extension": {nil, func(t *testing.T, _ *redlock.Locker, k *redlock.Lock, nodes []*node) {
			t.Helper()
			flush(nodes)
			require.ErrorIs(t, k.Extend(t.Context(), ttl), redlock.ErrLockLost)
		}},
		"lost by an automatic extension": {[]redlock.LockOption{redlock.WithAutoExtend(redlock.Forever)}, func(t *testing.T, _ *redlock.Locker, k *redlock.Lock, nodes []*node) {
			t.Helper()
			flush(nodes)
			time.Sleep(ttl/3 + time.Second)
			require.False(t, k.Valid())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				l := newLocker(t, nodes)
				k := lock(t, l, tt.opts...)
				refusedHere(t, l, nodes, tryOne("a"))
				tt.end(t, l, k, nodes)
				grantedThere(t, l, nodes, tryOne("a"))
				grantedThere(t, l, nodes, tryAll("a", "b"))
			})
		})
	}
}
