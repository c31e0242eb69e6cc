package deployments_test

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
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

// requireTrouble requires that err says that the node, the only one, has failed
// and why, and does not read as if the caller's context had ended.
func requireTrouble(t *testing.T, err error) {
	t.Helper()
	rig.RequireOfNode(t, err)
	require.ErrorIs(t, err, redlock.ErrNoQuorum)
	require.NotErrorIs(t, err, redlock.ErrContended)
	e, ok := errors.AsType[*redlock.LockError](err)
	require.True(t, ok)
	require.Len(t, e.Nodes, 1)
	require.Equal(t, 1, e.Nodes[0].Node)
	require.Error(t, e.Nodes[0].Err)
}

func TestLocksOfASentinelGroupBeforeDuringAndAfterAFailover(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		fail func(*servers.Server)
	}{
		{"the master is killed", (*servers.Server).Kill},
		{"the master is frozen", (*servers.Server).Freeze},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const nodeTimeout = 200 * time.Millisecond
			group := servers.StartSentinelGroup(t)
			opts := []redlock.Option{redlock.WithNodeTimeout(nodeTimeout), redlock.WithRetry(0, 0)}
			// The failover ends what hangs at the master: a call that waits for its client is
			// not back before it.
			patient := func(o *redis.FailoverOptions) { o.ReadTimeout = rig.LongTTL }
			l := rig.NewRealLocker(t, []*redis.Client{group.Client(t, patient)}, opts...)
			other := rig.NewRealLocker(t, []*redis.Client{group.Client(t, patient)}, opts...)

			var lock *redlock.Lock
			require.True(t, rig.Poll(rig.Patience, func() (ok bool) {
				var err error
				lock, err = l.Lock(t.Context(), "held", 4*rig.LongTTL)
				return err == nil
			}))
			group.WaitForReplica()
			rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
				_, err := other.TryLock(t.Context(), "held", rig.LongTTL)
				assert.ErrorIs(c, err, redlock.ErrContended)
			})

			tt.fail(group.Master)
			failed := time.Now()
			calls, troubles, before := 0, 0, 0 // before the failover
			try := func(call func() error) error {
				err := call()
				calls++
				if err != nil && !errors.Is(err, redlock.ErrContended) {
					requireTrouble(t, err)
					troubles++
					if !group.FailedOver() {
						before++
					}
				}
				return err
			}
			for !group.FailedOver() {
				require.Less(t, time.Since(failed), rig.Patience, "no failover")
				var got *redlock.Lock
				if try(func() (err error) {
					got, err = l.Lock(t.Context(), fmt.Sprint("during ", calls), rig.LongTTL)
					return err
				}) == nil {
					_ = try(func() error { return got.Unlock(t.Context()) })
				}
				_ = try(func() error { return lock.Extend(t.Context(), 4*rig.LongTTL) })
				require.True(t, lock.Valid())
				require.Error(t, try(func() error {
					_, err := other.TryLock(t.Context(), "held", rig.LongTTL)
					return err
				}), "the replica had it")
			}
			t.Logf("failover after %v: %d calls, %d of them found no quorum, %d before it", time.Since(failed), calls, troubles, before)
			assert.Positive(t, before, "no call is back before the failover")

			require.True(t, rig.Poll(rig.Patience, func() bool {
				return try(func() error {
					got, err := l.Lock(t.Context(), "after", rig.LongTTL)
					if err == nil {
						err = got.Unlock(t.Context())
					}
					return err
				}) == nil
			}), "nothing is granted after the failover")
			t.Logf("granted again after %v", time.Since(failed))
			require.True(t, rig.Poll(rig.Patience, func() bool { return lock.Extend(t.Context(), 2*rig.LongTTL) == nil }))
			rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
				_, err := other.TryLock(t.Context(), "held", rig.LongTTL)
				assert.ErrorIs(c, err, redlock.ErrContended)
			})
			require.True(t, rig.Poll(rig.Patience, func() bool { return lock.Unlock(t.Context()) == nil }))
			rig.LockOnce(t, other, "held", redlock.WithNodeTimeout(rig.NodeTimeout))
			rig.Drain(t, l)
			rig.Drain(t, other)
		})
	}
}

// failOverWithoutTheLatest kills the master in the moment in which its replica
// lacks what write has written, and waits until the replica is the master.
func failOverWithoutTheLatest(t *testing.T, g *servers.SentinelGroup, write func()) {
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
	group := servers.StartSentinelGroup(t)
	l := rig.NewRealLocker(t, []*redis.Client{group.Client(t)})
	other := rig.NewRealLocker(t, []*redis.Client{group.Client(t)})
	rig.LockOnce(t, l, "k")

	var first *redlock.Lock
	failOverWithoutTheLatest(t, group, func() {
		var err error
		first, err = l.Lock(t.Context(), "k", 2*rig.LongTTL)
		require.NoError(t, err)
		_, err = other.TryLock(t.Context(), "k", rig.LongTTL)
		require.ErrorIs(t, err, redlock.ErrContended, "until the failover it is exclusive")
	})
	second, err := other.Lock(t.Context(), "k", rig.LongTTL, redlock.WithMaxWait(rig.LongTTL))
	require.NoError(t, err)
	require.True(t, first.Valid(), "the first one ran out: this shows nothing")
	require.True(t, second.Valid())
	t.Logf("two hold it: the first for another %v", time.Until(first.Until()))

	require.ErrorIs(t, first.Extend(t.Context(), rig.LongTTL), redlock.ErrLockLost, "an extension finds out")
	require.False(t, first.Valid())
	require.NoError(t, second.Unlock(t.Context()))
	rig.Drain(t, l)
	rig.Drain(t, other)
}

// TestASentinelGroupThatFailsOverCostsItsVoteAtMost is the same failover where
// the group is one of three nodes.
func TestASentinelGroupThatFailsOverCostsItsVoteAtMost(t *testing.T) {
	t.Parallel()
	group := servers.StartSentinelGroup(t)
	standalone := servers.Start(t, 2)
	locker := func() *redlock.Locker {
		clients := []*redis.Client{group.Client(t), standalone[0].Client(t), standalone[1].Client(t)}
		return rig.NewRealLocker(t, clients)
	}
	l, other := locker(), locker()
	rig.LockOnce(t, l, "k")
	rig.DrainCalls(t, l)

	var first *redlock.Lock
	failOverWithoutTheLatest(t, group, func() {
		var err error
		first, err = l.Lock(t.Context(), "k", 2*rig.LongTTL)
		require.NoError(t, err)
		rig.DrainCalls(t, l)
		require.Equal(t, first.Value(), group.Master.Client(t).Get(t.Context(), "k").Val())
	})
	replica := group.Replica.Client(t)
	require.Zero(t, replica.Exists(t.Context(), "k").Val(), "the new master knows the lock: this shows nothing")

	// The first try is with a client that still has the old master's
	// connections, the last with one that has been granted it by the new master.
	agreed := 0
	require.True(t, rig.Poll(rig.Patience, func() bool {
		_, err := other.TryLock(t.Context(), "k", rig.LongTTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		// Who knows a holder leaves the empty node to it; a newcomer does not.
		_, err = locker().TryLock(t.Context(), "k", rig.LongTTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		agreed = max(agreed, e.Agreed)
		return agreed > 0
	}), "the new master never granted it: this shows nothing")
	require.Equal(t, 1, agreed, "the Sentinel group's vote, and no other")
	require.True(t, first.Valid(), "the first one ran out: this shows nothing")

	rig.DrainCalls(t, other) // what the new master granted is released
	require.NoError(t, first.Extend(t.Context(), 2*rig.LongTTL), "two of three still have it")
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
		assert.NoError(c, first.Extend(context.Background(), 2*rig.LongTTL))
		assert.Equal(c, first.Value(), replica.Get(context.Background(), "k").Val(), "the new master is given it")
	})
	_, err := other.TryLock(t.Context(), "k", rig.LongTTL)
	require.ErrorIs(t, err, redlock.ErrContended)
	require.NoError(t, first.Unlock(t.Context()))
	rig.LockOnce(t, other, "k")
	rig.Drain(t, l)
	rig.Drain(t, other)
}
