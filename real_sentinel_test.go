package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/redistest"
)

// requireTrouble requires that err says that the node, the only one, has failed
// and why, and does not read as if the caller's context had ended.
func requireTrouble(t *testing.T, err error) {
	t.Helper()
	requireOfNode(t, err)
	require.ErrorIs(t, err, redlock.ErrNoQuorum)
	require.NotErrorIs(t, err, redlock.ErrContended)
	e, ok := errors.AsType[*redlock.LockError](err)
	require.True(t, ok)
	require.Len(t, e.Nodes, 1)
	require.Zero(t, e.Nodes[0].Node)
	require.Error(t, e.Nodes[0].Err)
}

func TestLocksOfASentinelGroupBeforeDuringAndAfterAFailover(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		fail func(*redistest.Server)
	}{
		{"the master is killed", (*redistest.Server).Kill},
		{"the master is frozen", (*redistest.Server).Freeze},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const (
				nodeTimeout = 200 * time.Millisecond
				bound       = nodeTimeout + 2*time.Second // a client comes back after 5 s
			)
			group := redistest.StartSentinelGroup(t)
			opts := []redlock.Option{redlock.WithNodeTimeout(nodeTimeout), redlock.WithRetry(0, 0)}
			l := newRealLocker(t, []*redis.Client{group.Client(t)}, opts...)
			other := newRealLocker(t, []*redis.Client{group.Client(t)}, opts...)

			lock, err := l.Lock(t.Context(), "held", 4*realTTL)
			require.NoError(t, err)
			group.WaitForReplica()
			_, err = other.TryLock(t.Context(), "held", realTTL)
			require.ErrorIs(t, err, redlock.ErrContended)

			tt.fail(group.Master)
			failed := time.Now()
			calls, troubles := 0, 0
			timed := func(call func() error) error {
				start := time.Now()
				err := call()
				calls++
				require.Less(t, time.Since(start), bound, "%v", err)
				if err != nil && !errors.Is(err, redlock.ErrContended) {
					requireTrouble(t, err)
					troubles++
				}
				return err
			}
			for !group.FailedOver() {
				require.Less(t, time.Since(failed), realPatience, "no failover")
				var got *redlock.Lock
				if timed(func() (err error) {
					got, err = l.Lock(t.Context(), fmt.Sprint("during ", calls), realTTL)
					return err
				}) == nil {
					_ = timed(func() error { return got.Unlock(t.Context()) })
				}
				_ = timed(func() error { return lock.Extend(t.Context(), 4*realTTL) })
				require.True(t, lock.Valid())
				require.Error(t, timed(func() error {
					_, err := other.TryLock(t.Context(), "held", realTTL)
					return err
				}), "the replica had it")
			}
			t.Logf("failover after %v: %d calls, %d of them found no quorum", time.Since(failed), calls, troubles)
			assert.Positive(t, troubles, "or this shows nothing")

			require.True(t, poll(realPatience, func() bool {
				return timed(func() error {
					got, err := l.Lock(t.Context(), "after", realTTL)
					if err == nil {
						err = got.Unlock(t.Context())
					}
					return err
				}) == nil
			}), "nothing is granted after the failover")
			t.Logf("granted again after %v", time.Since(failed))
			require.True(t, poll(realPatience, func() bool { return lock.Extend(t.Context(), 2*realTTL) == nil }))
			_, err = other.TryLock(t.Context(), "held", realTTL)
			require.ErrorIs(t, err, redlock.ErrContended)
			require.NoError(t, lock.Unlock(t.Context()))
			lockOnce(t, other, "held")
			drain(t, l)
			drain(t, other)
		})
	}
}

// failOverWithoutTheLatest kills the master in the moment in which its replica
// lacks what write has written, and waits until the replica is the master.
func failOverWithoutTheLatest(t *testing.T, g *redistest.SentinelGroup, write func()) {
	t.Helper()
	g.CutReplication()
	write()
	g.Master.Kill()
	g.Replica.Thaw()
	killed := time.Now()
	g.WaitForFailover()
	t.Logf("failover after %v", time.Since(killed))
}

// TestOneSentinelGroupGrantsALockTwiceWhenItFailsOver shows what the
// documentation warns of: the new master never heard of the lock.
func TestOneSentinelGroupGrantsALockTwiceWhenItFailsOver(t *testing.T) {
	t.Parallel()
	group := redistest.StartSentinelGroup(t)
	l := newRealLocker(t, []*redis.Client{group.Client(t)})
	other := newRealLocker(t, []*redis.Client{group.Client(t)})
	lockOnce(t, l, "k")

	var first *redlock.Lock
	failOverWithoutTheLatest(t, group, func() {
		var err error
		first, err = l.Lock(t.Context(), "k", 2*realTTL)
		require.NoError(t, err)
		_, err = other.TryLock(t.Context(), "k", realTTL)
		require.ErrorIs(t, err, redlock.ErrContended, "until the failover it is exclusive")
	})
	second, err := other.Lock(t.Context(), "k", realTTL, redlock.WithMaxWait(realTTL))
	require.NoError(t, err)
	require.True(t, first.Valid(), "the first one ran out: this shows nothing")
	require.True(t, second.Valid())
	t.Logf("two hold it: the first for another %v", time.Until(first.Until()))

	require.ErrorIs(t, first.Extend(t.Context(), realTTL), redlock.ErrLockLost, "an extension finds out")
	require.False(t, first.Valid())
	require.NoError(t, second.Unlock(t.Context()))
	drain(t, l)
	drain(t, other)
}

// TestASentinelGroupThatFailsOverCostsItsVoteAtMost is the same failover where
// the group is one of three nodes.
func TestASentinelGroupThatFailsOverCostsItsVoteAtMost(t *testing.T) {
	t.Parallel()
	group := redistest.StartSentinelGroup(t)
	standalone := redistest.Start(t, 2)
	locker := func() *redlock.Locker {
		clients := []*redis.Client{group.Client(t), standalone[0].Client(t), standalone[1].Client(t)}
		return newRealLocker(t, clients, redlock.WithNodeTimeout(200*time.Millisecond))
	}
	l, other := locker(), locker()
	lockOnce(t, l, "k")
	drainCalls(t, l)

	var first *redlock.Lock
	failOverWithoutTheLatest(t, group, func() {
		var err error
		first, err = l.Lock(t.Context(), "k", 2*realTTL)
		require.NoError(t, err)
		drainCalls(t, l)
		require.Equal(t, first.Value(), group.Master.Client(t).Get(t.Context(), "k").Val())
	})
	replica := group.Replica.Client(t)
	require.Zero(t, replica.Exists(t.Context(), "k").Val(), "the new master knows the lock: this shows nothing")

	// The first try is with a client that still has the old master's
	// connections, the last with one that has been granted it by the new master.
	agreed := 0
	require.True(t, poll(realPatience, func() bool {
		_, err := other.TryLock(t.Context(), "k", realTTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		agreed = max(agreed, e.Agreed)
		return agreed > 0
	}), "the new master never granted it: this shows nothing")
	require.Equal(t, 1, agreed, "the Sentinel group's vote, and no other")
	require.True(t, first.Valid(), "the first one ran out: this shows nothing")

	drainCalls(t, other) // what the new master granted is released
	require.NoError(t, first.Extend(t.Context(), 2*realTTL), "two of three still have it")
	realEventually(t, realPatience, func(c *assert.CollectT) {
		assert.NoError(c, first.Extend(context.Background(), 2*realTTL))
		assert.Equal(c, first.Value(), replica.Get(context.Background(), "k").Val(), "the new master is given it")
	})
	_, err := other.TryLock(t.Context(), "k", realTTL)
	require.ErrorIs(t, err, redlock.ErrContended)
	require.NoError(t, first.Unlock(t.Context()))
	lockOnce(t, other, "k")
	drain(t, l)
	drain(t, other)
}
