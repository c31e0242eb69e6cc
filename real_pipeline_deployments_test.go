package redlock_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/redistest"
)

func TestThroughThePipelinerOfAClusterEveryNameIsLocked(t *testing.T) {
	t.Parallel()
	c := newRealCluster(t)
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
}

func TestAFrozenServerOfAClusterHoldsUpNoBatchForTheOthers(t *testing.T) {
	t.Parallel()
	const nodeTimeout = 500 * time.Millisecond
	c := newRealCluster(t)
	l := newRealLocker(t, []*redis.ClusterClient{c.client}, redlock.WithAutoPipeline(), redlock.WithNodeTimeout(nodeTimeout), redlock.WithRetry(0, 0))
	var frozen, others []string
	for i := 0; len(frozen) < 16 || len(others) < 16; i++ {
		name := fmt.Sprint("k", i)
		slot, err := c.direct[0].ClusterKeySlot(t.Context(), name).Result()
		require.NoError(t, err)
		switch lockOnce(t, l, name); {
		case slot < 5000:
			frozen = append(frozen, name)
		case slot > 6500: // far enough from those that batches are not shared
			others = append(others, name)
		}
	}
	c.Servers[0].Freeze()
	var wg sync.WaitGroup
	for _, name := range frozen {
		wg.Go(func() {
			_, err := l.TryLock(t.Context(), name, realTTL)
			assert.ErrorIs(t, err, redlock.ErrNoQuorum)
		})
	}
	for _, name := range others {
		wg.Go(func() {
			for range 10 {
				lock, err := l.TryLock(t.Context(), name, realTTL)
				if !assert.NoError(t, err) {
					return
				}
				assert.NoError(t, lock.Unlock(t.Context()))
			}
		})
	}
	wg.Wait()
	c.Servers[0].Thaw()
	drain(t, l)
	c.requireEmpty(t)
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
