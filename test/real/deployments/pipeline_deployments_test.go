package deployments_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

func TestThroughThePipelinerOfAClusterEveryNameIsLocked(t *testing.T) {
	t.Parallel()
	c := newRealCluster(t)
	l := rig.NewRealLocker(t, []*redis.ClusterClient{c.client}, redlock.WithAutoPipeline())
	other := c.locker(t)
	for range 3 {
		var wg sync.WaitGroup
		for _, name := range clusterNames() {
			wg.Go(func() {
				lock, err := l.TryLock(t.Context(), name, rig.LongTTL)
				if !assert.NoError(t, err, name) {
					return
				}
				_, err = other.TryLock(t.Context(), name, rig.LongTTL)
				assert.ErrorIs(t, err, redlock.ErrContended, name)
				assert.NoError(t, lock.Extend(t.Context(), rig.LongTTL), name)
				assert.NoError(t, lock.Unlock(t.Context()), name)
			})
		}
		wg.Wait()
	}
	rig.Drain(t, l)
	rig.Drain(t, other)
	c.requireEmpty(t)
}

func TestAFrozenServerOfAClusterHoldsUpNoBatchForTheOthers(t *testing.T) {
	t.Parallel()
	const nodeTimeout = 500 * time.Millisecond
	c := newRealCluster(t)
	l := rig.NewRealLocker(t, []*redis.ClusterClient{c.client}, redlock.WithAutoPipeline(), redlock.WithRetry(0, 0))
	var frozen, others []string
	for i := 0; len(frozen) < 16 || len(others) < 16; i++ {
		name := fmt.Sprint("k", i)
		slot, err := c.direct[0].ClusterKeySlot(t.Context(), name).Result()
		require.NoError(t, err)
		switch rig.LockOnce(t, l, name); {
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
			_, err := l.TryLock(t.Context(), name, rig.LongTTL, redlock.WithNodeTimeout(nodeTimeout))
			assert.ErrorIs(t, err, redlock.ErrNoQuorum)
		})
	}
	for _, name := range others {
		wg.Go(func() {
			for range 10 {
				lock, err := l.TryLock(t.Context(), name, rig.LongTTL)
				if !assert.NoError(t, err) {
					return
				}
				assert.NoError(t, lock.Unlock(t.Context()))
			}
		})
	}
	wg.Wait()
	c.Servers[0].Thaw()
	rig.Drain(t, l)
	c.requireEmpty(t)
}

func TestThroughPipelinersASentinelGroupIsLockedBeforeAndAfterAFailover(t *testing.T) {
	t.Parallel()
	group := servers.StartSentinelGroup(t)
	l := rig.NewRealLocker(t, []*redis.Client{group.Client(t)}, redlock.WithAutoPipeline())
	other := rig.NewRealLocker(t, []*redis.Client{group.Client(t)}, redlock.WithAutoPipeline())
	exclude := func() {
		lock, err := l.Lock(t.Context(), "k", rig.LongTTL)
		require.NoError(t, err)
		_, err = other.TryLock(t.Context(), "k", rig.LongTTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		require.NoError(t, lock.Unlock(t.Context()))
	}
	exclude()
	group.WaitForReplica()
	group.Master.Kill()
	require.True(t, rig.Poll(rig.Patience, group.FailedOver), "no failover")
	for _, locker := range []*redlock.Locker{l, other} {
		rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
			lock, err := locker.TryLock(t.Context(), "k", rig.LongTTL)
			if assert.NoError(c, err) {
				assert.NoError(c, lock.Unlock(t.Context()))
			}
		})
	}
	exclude()
	rig.Drain(t, l)
	rig.Drain(t, other)
}

// A watching hook counts the scripts that pass it, and in how many batches.
type watching struct{ scripts, batches atomic.Int64 }

func (*watching) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w *watching) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		w.watch(cmd)
		return next(ctx, cmd)
	}
}

func (w *watching) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		w.batches.Add(1)
		for _, cmd := range cmds {
			w.watch(cmd)
		}
		return next(ctx, cmds)
	}
}

func (w *watching) watch(cmd redis.Cmder) {
	if strings.HasPrefix(cmd.Name(), "eval") || cmd.Name() == "set" || strings.HasPrefix(cmd.Name(), "del") {
		w.scripts.Add(1)
	}
}

func TestHooksOfAClusterClientSeeAllCommandsInBatches(t *testing.T) {
	t.Parallel()
	const callers, rounds = 64, 10
	c := newRealCluster(t)
	l := rig.NewRealLocker(t, []*redis.ClusterClient{c.client}, redlock.WithAutoPipeline())
	var h watching
	c.client.AddHook(&h)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for range rounds {
				rig.LockOnce(t, l, fmt.Sprint("k", caller), redlock.WithNodeTimeout(rig.Patience))
			}
		})
	}
	wg.Wait()
	rig.Drain(t, l)
	require.GreaterOrEqual(t, h.scripts.Load(), int64(2*callers*rounds))
	require.Positive(t, h.batches.Load())
	c.requireEmpty(t)
}

func TestAHookOfAClusterClientThatRefusesOneNameFailsNoOtherCall(t *testing.T) {
	t.Parallel()
	c := newRealCluster(t)
	h := new(rig.BatchHook)
	c.client.AddHook(h)
	h.Set(rig.HangsUpOn("bad"))
	l := rig.NewRealLocker(t, []*redis.ClusterClient{c.client}, redlock.WithAutoPipeline(), redlock.WithNodeTimeout(rig.Patience))
	rig.Together(32, func(key string) {
		for range 10 {
			if key == "k0" {
				_, err := l.TryLock(t.Context(), "bad", rig.LongTTL)
				assert.ErrorIs(t, err, redlock.ErrNoQuorum)
				continue
			}
			lock, err := l.TryLock(t.Context(), "{bad}"+key, rig.LongTTL) // goes with it
			if assert.NoError(t, err) {
				assert.NoError(t, lock.Unlock(t.Context()))
			}
		}
	})
	rig.Drain(t, l)
	c.requireEmpty(t)
}
