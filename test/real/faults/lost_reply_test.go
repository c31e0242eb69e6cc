package faults_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/faultproxy"
	"github.com/b0401464/redlock/test/rig"
)

func TestCommandsWhoseReplyIsLostDoWhatTheyShould(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		f    faultproxy.Fault
		opts []redlock.Option
	}{
		{"applied, then cut", faultproxy.CutAfterApply, nil},
		{"cut, never applied", faultproxy.CutBeforeApply, nil},
		{"applied in a batch, then cut", faultproxy.CutAfterApply, []redlock.Option{redlock.WithAutoPipeline()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const nodes = 3
			on := rig.NewProxied(t, nodes)
			on.LoadScripts(t)
			l := on.Locker(t, tt.opts...)
			for range 20 {
				met := on.Once(tt.f)
				lock, err := l.TryLock(t.Context(), "k", rig.LongTTL)
				require.NoError(t, err, "its own value does not refuse an acquire that is sent again")
				rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
					assert.Equal(c, nodes, on.Holders(c, "k", lock.Value()))
				})
				require.EqualValues(t, nodes, met.Load())
				rig.DrainCalls(t, l) // an extension is not queued behind an unanswered acquire

				met = on.Once(tt.f)
				require.NoError(t, lock.Extend(t.Context(), 2*rig.LongTTL))
				rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
					for node := range nodes {
						assert.Greater(c, on.PTTL(c, node, "k"), rig.LongTTL)
					}
				})
				require.EqualValues(t, nodes, met.Load())

				met = on.Once(tt.f)
				require.NoError(t, lock.Unlock(t.Context()), "a release that is sent again finds nothing")
				on.RequireEmpty(t, rig.Patience)
				require.EqualValues(t, nodes, met.Load())
			}
			rig.Drain(t, l)
		})
	}
}

func TestReleaseThatFindsNothingAtFirstTellsOfALostLock(t *testing.T) {
	t.Parallel()
	on := rig.NewProxied(t, 3)
	on.LoadScripts(t)
	l := on.Locker(t)
	lock, err := l.Lock(t.Context(), "k", rig.LongTTL)
	require.NoError(t, err)
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
		assert.Equal(c, 3, on.Holders(c, "k", lock.Value()))
	})
	require.NoError(t, on.Direct[0].Del(t.Context(), "k").Err())
	require.NoError(t, on.Direct[1].Del(t.Context(), "k").Err())
	require.ErrorIs(t, lock.Unlock(t.Context()), redlock.ErrLockLost)
	rig.Drain(t, l)
	on.RequireEmpty(t, rig.Patience)
}

func TestExtendNeverBridgesAGapWhoseReplyIsLost(t *testing.T) {
	t.Parallel()
	on := rig.NewProxied(t, 3)
	on.LoadScripts(t)
	l := on.Locker(t)
	for round := range 20 {
		lock, err := l.Lock(t.Context(), "k", rig.LongTTL)
		require.NoError(t, err)
		rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
			assert.Equal(c, 3, on.Holders(c, "k", lock.Value()))
		})
		rig.DrainCalls(t, l)
		// Wiped on a majority, a different one each time.
		for i := range 2 {
			require.NoError(t, on.Direct[(round+i)%3].Del(t.Context(), "k").Err())
		}
		on.Once(faultproxy.CutAfterApply)
		require.ErrorIs(t, lock.Extend(t.Context(), rig.LongTTL), redlock.ErrLockLost)
		require.False(t, lock.Valid())
		on.RequireEmpty(t, rig.LongTTL/3)
		require.ErrorIs(t, lock.Extend(t.Context(), rig.LongTTL), redlock.ErrLockLost, "it is final")
	}
	rig.Drain(t, l)
}

// giveUpSoon is for clients that leave their requests behind.
func giveUpSoon(o *redis.Options) { o.ReadTimeout = 100 * time.Millisecond }

func TestStaleCommandNeverShortensAKey(t *testing.T) {
	t.Parallel()
	const (
		short = rig.LongTTL / 3
		long  = 2 * rig.LongTTL
	)
	for _, tt := range []struct {
		name    string
		replies []string // the last one at the gate
		stale   func(t *testing.T, l *redlock.Locker, hold func()) *redlock.Lock
	}{
		{"extend to a short ttl", []string{":1\r\n"}, func(t *testing.T, l *redlock.Locker, hold func()) *redlock.Lock {
			t.Helper()
			lock, err := l.Lock(t.Context(), "k", short)
			require.NoError(t, err)
			rig.DrainCalls(t, l)
			hold()
			require.NoError(t, lock.Extend(t.Context(), short))
			return lock
		}},
		{"acquire", []string{"_\r\n", "*2\r\n:1\r\n$4\r\nours\r\n"}, func(t *testing.T, l *redlock.Locker, hold func()) *redlock.Lock {
			t.Helper()
			hold()
			lock, err := l.Lock(t.Context(), "k", short)
			require.NoError(t, err)
			return lock
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			on := rig.NewProxied(t, 3, giveUpSoon)
			on.LoadScripts(t)
			l := on.Locker(t)
			var release func() string
			lock := tt.stale(t, l, func() { release = on.HoldNext(t, 0) })
			rig.DrainCalls(t, l) // the client has given the held copy up and sent another one
			require.NoError(t, lock.Extend(t.Context(), long))
			rig.DrainCalls(t, l)

			asked := time.Now()
			before := on.PTTL(t, 0, "k")
			require.Greater(t, before, long-rig.LongTTL/2)
			require.Contains(t, tt.replies, release())
			after := on.PTTL(t, 0, "k")
			require.GreaterOrEqual(t, after, before-time.Since(asked)-10*time.Millisecond)
			require.NoError(t, lock.Unlock(t.Context()))
			rig.Drain(t, l)
			on.RequireEmpty(t, rig.LongTTL/3)
		})
	}
}

func TestStaleAcquireAfterTheReleaseCostsOneNodeForOneTTL(t *testing.T) {
	t.Parallel()
	const ttl = 10 * time.Second
	on := rig.NewProxied(t, 3, giveUpSoon)
	on.LoadScripts(t)
	l := on.Locker(t)
	release := on.HoldNext(t, 0)
	lock, err := l.Lock(t.Context(), "k", ttl)
	require.NoError(t, err)
	require.NoError(t, lock.Unlock(t.Context()))
	rig.Drain(t, l)
	on.RequireEmpty(t, rig.Patience)

	require.Contains(t, []string{"+OK\r\n", ":1\r\n"}, release(), "it takes the key: nothing tells it that it is late")
	left := time.Now()
	require.Equal(t, lock.Value(), on.Get(t, 0, "k"))
	require.LessOrEqual(t, on.PTTL(t, 0, "k"), ttl)

	holder, err := on.Other(t).TryLock(t.Context(), "k", rig.LongTTL)
	require.NoError(t, err, "the other two are a majority")
	_, err = on.Other(t).TryLock(t.Context(), "k", rig.LongTTL)
	require.ErrorIs(t, err, redlock.ErrContended)

	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) { assert.Empty(c, on.Get(c, 0, "k")) })
	t.Logf("the stale key was gone after %v", time.Since(left))
	_, err = on.Other(t).TryLock(t.Context(), "k", rig.LongTTL)
	require.ErrorIs(t, err, redlock.ErrContended)
	require.NoError(t, holder.Unlock(context.Background()))
	on.RequireEmpty(t, rig.LongTTL/3)
}
