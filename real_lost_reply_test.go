package redlock_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/faultproxy"
)

// once makes the next script request at each node meet f, and no other.
// It returns how many have.
func (rig *realRig) once(f faultproxy.Fault) *atomic.Int64 {
	var met atomic.Int64
	spent := make([]atomic.Bool, len(rig.proxies))
	rig.setFault(func(node int, _ []string) faultproxy.Fault {
		if spent[node].Swap(true) {
			return faultproxy.Pass
		}
		met.Add(1)
		return f
	})
	return &met
}

func TestCommandsWhoseReplyIsLostDoWhatTheyShould(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		f    faultproxy.Fault
	}{
		{"applied, then cut", faultproxy.CutAfterApply},
		{"cut, never applied", faultproxy.CutBeforeApply},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const nodes = 3
			rig := newRealProxiedRig(t, nodes)
			rig.loadScripts(t)
			l := rig.locker(t)
			for range 20 {
				met := rig.once(tt.f)
				lock, err := l.TryLock(t.Context(), "k", realTTL)
				require.NoError(t, err, "its own value does not refuse an acquire that is sent again")
				realEventually(t, realPatience, func(c *assert.CollectT) {
					assert.Equal(c, nodes, rig.holders(c, "k", lock.Value()))
				})
				require.EqualValues(t, nodes, met.Load())
				drainCalls(t, l) // an extension is not queued behind an unanswered acquire

				met = rig.once(tt.f)
				require.NoError(t, lock.Extend(t.Context(), 2*realTTL))
				realEventually(t, realPatience, func(c *assert.CollectT) {
					for node := range nodes {
						assert.Greater(c, rig.pttl(c, node, "k"), realTTL)
					}
				})
				require.EqualValues(t, nodes, met.Load())

				met = rig.once(tt.f)
				require.NoError(t, lock.Unlock(t.Context()), "a release that is sent again finds nothing")
				rig.requireEmpty(t, realPatience)
				require.EqualValues(t, nodes, met.Load())
			}
			drain(t, l)
		})
	}
}

func TestReleaseThatFindsNothingAtFirstTellsOfALostLock(t *testing.T) {
	t.Parallel()
	rig := newRealProxiedRig(t, 3)
	rig.loadScripts(t)
	l := rig.locker(t)
	lock, err := l.Lock(t.Context(), "k", realTTL)
	require.NoError(t, err)
	realEventually(t, realPatience, func(c *assert.CollectT) {
		assert.Equal(c, 3, rig.holders(c, "k", lock.Value()))
	})
	require.NoError(t, rig.direct[0].Del(t.Context(), "k").Err())
	require.NoError(t, rig.direct[1].Del(t.Context(), "k").Err())
	require.ErrorIs(t, lock.Unlock(t.Context()), redlock.ErrLockLost)
	drain(t, l)
	rig.requireEmpty(t, realPatience)
}

func TestExtendNeverBridgesAGapWhoseReplyIsLost(t *testing.T) {
	t.Parallel()
	rig := newRealProxiedRig(t, 3)
	rig.loadScripts(t)
	l := rig.locker(t)
	for round := range 20 {
		lock, err := l.Lock(t.Context(), "k", realTTL)
		require.NoError(t, err)
		realEventually(t, realPatience, func(c *assert.CollectT) {
			assert.Equal(c, 3, rig.holders(c, "k", lock.Value()))
		})
		drainCalls(t, l)
		// Wiped on a majority, a different one each time.
		for i := range 2 {
			require.NoError(t, rig.direct[(round+i)%3].Del(t.Context(), "k").Err())
		}
		rig.once(faultproxy.CutAfterApply)
		require.ErrorIs(t, lock.Extend(t.Context(), realTTL), redlock.ErrLockLost)
		require.False(t, lock.Valid())
		rig.requireEmpty(t, realTTL/3)
		require.ErrorIs(t, lock.Extend(t.Context(), realTTL), redlock.ErrLockLost, "it is final")
	}
	drain(t, l)
}

// drainCalls waits until no node call is under way.
func drainCalls(t *testing.T, l *redlock.Locker) {
	t.Helper()
	require.Eventually(t, func() bool { return redlock.OpenCalls(l) == 0 }, realPatience, realTick)
}

// giveUpSoon is for clients that leave their requests behind.
func giveUpSoon(o *redis.Options) { o.ReadTimeout = 100 * time.Millisecond }

// holdNext keeps the next script request at a node back, and all that are not
// is the one. release applies it and waits until it has been answered.
func (rig *realRig) holdNext(t *testing.T, node int) (release func() string) {
	t.Helper()
	gate := make(chan struct{})
	var held atomic.Bool
	rig.proxies[node].SetFault(faultproxy.OnlyScripts(func([]string) faultproxy.Fault {
		if held.Swap(true) {
			return faultproxy.Pass
		}
		return faultproxy.Hold(gate)
	}))
	before := len(rig.proxies[node].LateReplies())
	return func() string {
		require.True(t, held.Load(), "nothing was held back")
		close(gate)
		var late []string
		require.Eventually(t, func() bool {
			late = rig.proxies[node].LateReplies()
			return len(late) > before
		}, realPatience, realTick)
		return late[before]
	}
}

func TestStaleCommandNeverShortensAKey(t *testing.T) {
	t.Parallel()
	const (
		short = 5 * time.Second
		long  = 2 * realTTL
	)
	for _, tt := range []struct {
		name  string
		stale func(t *testing.T, l *redlock.Locker, hold func()) *redlock.Lock
	}{
		{"extend to a short ttl", func(t *testing.T, l *redlock.Locker, hold func()) *redlock.Lock {
			t.Helper()
			lock, err := l.Lock(t.Context(), "k", short)
			require.NoError(t, err)
			drainCalls(t, l)
			hold()
			require.NoError(t, lock.Extend(t.Context(), short))
			return lock
		}},
		{"acquire", func(t *testing.T, l *redlock.Locker, hold func()) *redlock.Lock {
			t.Helper()
			hold()
			lock, err := l.Lock(t.Context(), "k", short)
			require.NoError(t, err)
			return lock
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rig := newRealProxiedRig(t, 3, giveUpSoon)
			rig.loadScripts(t)
			l := rig.locker(t)
			var release func() string
			lock := tt.stale(t, l, func() { release = rig.holdNext(t, 0) })
			drainCalls(t, l) // the client has given the held copy up and sent another one
			require.NoError(t, lock.Extend(t.Context(), long))
			drainCalls(t, l)

			before, asked := rig.pttl(t, 0, "k"), time.Now()
			require.Greater(t, before, long-realTTL/2)
			require.Equal(t, ":1\r\n", release())
			after := rig.pttl(t, 0, "k")
			require.GreaterOrEqual(t, after, before-time.Since(asked)-10*time.Millisecond)
			require.NoError(t, lock.Unlock(t.Context()))
			drain(t, l)
			rig.requireEmpty(t, realTTL/3)
		})
	}
}

func TestStaleAcquireAfterTheReleaseCostsOneNodeForOneTTL(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second
	rig := newRealProxiedRig(t, 3, giveUpSoon)
	rig.loadScripts(t)
	l := rig.locker(t)
	release := rig.holdNext(t, 0)
	lock, err := l.Lock(t.Context(), "k", ttl)
	require.NoError(t, err)
	require.NoError(t, lock.Unlock(t.Context()))
	drain(t, l)
	rig.requireEmpty(t, realPatience)

	require.Equal(t, ":1\r\n", release(), "it takes the key: nothing tells it that it is late")
	left := time.Now()
	require.Equal(t, lock.Value(), rig.get(t, 0, "k"))
	require.LessOrEqual(t, rig.pttl(t, 0, "k"), ttl)

	holder, err := rig.other(t).TryLock(t.Context(), "k", realTTL)
	require.NoError(t, err, "the other two are a majority")
	_, err = rig.other(t).TryLock(t.Context(), "k", realTTL)
	require.ErrorIs(t, err, redlock.ErrContended)

	realEventually(t, realPatience, func(c *assert.CollectT) { assert.Empty(c, rig.get(c, 0, "k")) })
	t.Logf("the stale key was gone after %v", time.Since(left))
	_, err = rig.other(t).TryLock(t.Context(), "k", realTTL)
	require.ErrorIs(t, err, redlock.ErrContended)
	require.NoError(t, holder.Unlock(context.Background()))
	rig.requireEmpty(t, realTTL/3)
}
