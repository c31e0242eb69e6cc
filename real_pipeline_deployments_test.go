package redlock_test

import (
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/redistest"
)

func TestThroughThePipelinerOfAClusterEveryNameIsLocked(t *testing.T) {
	t.Parallel()
	c := newRealCluster(t)
	theirs, err := c.client.AutoPipeline()
	require.NoError(t, err)
	l := newRealLocker(t, []*redis.ClusterClient{c.client}, redlock.WithAutoPipeline())
	other := c.locker(t)
	for range 3 {
		var wg sync.WaitGroup
		for _, name := range clusterNames() {
			wg.Go(func() {
				lock, err := l.TryLock(t.Context(), name, realTTL)
				if !assert.NoError(t, err, name) {
					return
				}
				_, err = other.TryLock(t.Context(), name, realTTL)
				assert.ErrorIs(t, err, redlock.ErrContended, name)
				assert.NoError(t, lock.Extend(t.Context(), realTTL), name)
				assert.NoError(t, lock.Unlock(t.Context()), name)
			})
		}
		wg.Wait()
	}
	drain(t, l)
	drain(t, other)
	c.requireEmpty(t)
	require.False(t, theirs.IsClosed(), "a Cluster's only pipeliner is the program's too")

	// One that was closed by somebody else is done without.
	l = newRealLocker(t, []*redis.ClusterClient{c.client}, redlock.WithAutoPipeline())
	require.NoError(t, theirs.Close())
	lock, err := l.TryLock(t.Context(), "k", realTTL)
	require.NoError(t, err)
	require.NoError(t, c.client.Del(t.Context(), "k").Err())
	require.ErrorIs(t, lock.Unlock(t.Context()), redlock.ErrLockLost, "nothing was sent twice")
	drain(t, l)
}

func TestThroughPipelinersASentinelGroupIsLockedBeforeAndAfterAFailover(t *testing.T) {
	t.Parallel()
	group := redistest.StartSentinelGroup(t)
	l := newRealLocker(t, []*redis.Client{group.Client(t)}, redlock.WithAutoPipeline())
	other := newRealLocker(t, []*redis.Client{group.Client(t)}, redlock.WithAutoPipeline())
	exclude := func() {
		lock, err := l.Lock(t.Context(), "k", realTTL)
		require.NoError(t, err)
		_, err = other.TryLock(t.Context(), "k", realTTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		require.NoError(t, lock.Unlock(t.Context()))
	}
	exclude()
	group.WaitForReplica()
	group.Master.Kill()
	require.True(t, poll(realPatience, group.FailedOver), "no failover")
	for _, locker := range []*redlock.Locker{l, other} {
		realEventually(t, realPatience, func(c *assert.CollectT) {
			lock, err := locker.TryLock(t.Context(), "k", realTTL)
			if assert.NoError(c, err) {
				assert.NoError(c, lock.Unlock(t.Context()))
			}
		})
	}
	exclude()
	drain(t, l)
	drain(t, other)
}
