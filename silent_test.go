package redlock_test

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/lane"
)

func TestAFrozenMinorityCostsNoTimeAtAll(t *testing.T) {
	for n, frozen := range map[int]int{3: 1, 4: 1, 5: 2, 7: 3} {
		synctest.Test(t, func(t *testing.T) {
			nodes := newNodes(t, n)
			l := newLocker(t, nodes)
			warmUp(t, l)
			for _, n := range nodes[:frozen] {
				n.freeze()
			}
			start := time.Now()
			for range 5 {
				k, err := l.TryLock(t.Context(), "a", 4*time.Second)
				require.NoError(t, err)
				require.NoError(t, k.Extend(t.Context(), 4*time.Second))
				require.NoError(t, k.Unlock(t.Context()))
			}
			assert.Zero(t, time.Since(start), "%d of %d frozen", frozen, n)
		})
	}
}

func TestASilentNodeIsNotWaitedForWhenTheOthersRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 5)
		holder, l := newLocker(t, nodes[:3]), newLocker(t, nodes)
		warmUp(t, l)
		lock(t, holder)
		nodes[2].Del("a") // the holder has two nodes of five, and two are silent: it may have four
		nodes[3].freeze()
		nodes[4].freeze()
		start := time.Now()
		_, err := l.TryLock(t.Context(), "a", ttl)
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.Equal(t, time.Second, time.Since(start), "the first one waits for the node timeout")
		for range 10 {
			start = time.Now()
			_, err = l.TryLock(t.Context(), "a", ttl)
			require.ErrorIs(t, err, redlock.ErrContended)
			assert.Zero(t, time.Since(start))
		}
	})
}

func TestASilentMajorityIsWaitedForUntilTheNodeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		nodes[0].freeze()
		nodes[1].freeze()
		for range 3 {
			start := time.Now()
			_, err := l.TryLock(t.Context(), "a", ttl, redlock.WithNodeTimeout(400*time.Millisecond))
			assert.Equal(t, 400*time.Millisecond, time.Since(start))
			require.ErrorIs(t, err, redlock.ErrNoQuorum)
			assert.Contains(t, err.Error(), "127.0.0.1:6379")
			assert.Contains(t, err.Error(), "no answer within")
			assert.NotErrorIs(t, err, context.DeadlineExceeded)
		}
		nodes[0].thaw()
		k, err := l.TryLock(t.Context(), "b", ttl)
		require.NoError(t, err, "an answer ends the silence")
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestTheNodeTimeoutIsNeverLongerThanTheValidity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		nodes[0].freeze()
		start := time.Now()
		_, err := newLocker(t, nodes).TryLock(t.Context(), "a", 20*time.Millisecond, redlock.WithNodeTimeout(time.Hour))
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.Equal(t, 18*time.Millisecond, time.Since(start))
	})
}

func TestASilentNodeTakesABoundedNumberOfFurtherCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		var mu sync.Mutex
		var refused []error
		l := newLocker(t, nodes, redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) {
			mu.Lock()
			defer mu.Unlock()
			refused = append(refused, err)
		}))
		warmUp(t, l)
		nodes[2].freeze()
		_, err := l.TryLock(t.Context(), "first", time.Minute)
		require.NoError(t, err)
		time.Sleep(time.Second) // now it is silent

		before := runtime.NumGoroutine()
		var locks []*redlock.Lock
		for i := range 500 {
			k, err := l.TryLock(t.Context(), strconv.Itoa(i), time.Minute)
			require.NoError(t, err)
			locks = append(locks, k)
		}
		synctest.Wait()
		assert.Equal(t, 1+lane.Limit, redlock.OpenCalls(l))
		assert.Less(t, runtime.NumGoroutine()-before, 10*lane.Limit)
		assert.Len(t, refused, 500-lane.Limit)
		assert.ErrorContains(t, refused[0], "64 calls wait already")

		for _, k := range locks {
			require.NoError(t, k.Unlock(t.Context()))
		}
		nodes[2].thaw()
		synctest.Wait()
		assert.Zero(t, redlock.OpenCalls(l), "every acquire that was sent is released")
		assert.Equal(t, []string{"first"}, nodes[2].Keys())
	})
}

func TestTheGoroutinesOfADeadNodeStayFlatAndItTakesPartAgainWhenItAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		nodes[0].slow(time.Millisecond)
		nodes[1].slow(time.Millisecond)
		nodes[2].freeze()
		most := 0
		for i := range 900 {
			k, err := l.TryLock(t.Context(), strconv.Itoa(i%100), time.Second)
			require.NoError(t, err)
			require.NoError(t, k.Unlock(t.Context()))
			if i > 300 {
				most = max(most, redlock.OpenCalls(l))
			}
		}
		assert.LessOrEqual(t, most, 100+2*lane.Limit+10)
		nodes[2].thaw()
		time.Sleep(time.Second)
		assert.Zero(t, redlock.OpenCalls(l))
		k, err := l.TryLock(t.Context(), "a", ttl)
		require.NoError(t, err)
		requireLocked(t, k, nodes[2])
	})
}

func TestANodeErrorIsReportedOncePerNodeAndCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		type key struct{}
		type report struct {
			node int
			op   string
		}
		var mu sync.Mutex
		seen := map[report]int{}
		l := newLocker(t, nodes, redlock.WithNodeErrorHandler(func(ctx context.Context, err *redlock.NodeError) {
			mu.Lock()
			defer mu.Unlock()
			assert.Equal(t, "mine", ctx.Value(key{}))
			assert.NoError(t, ctx.Err())
			assert.ErrorContains(t, err, "WRONGTYPE")
			seen[report{err.Node, err.Op}]++
		}))
		for _, n := range nodes {
			_, err := n.SAdd("a", "member")
			require.NoError(t, err)
		}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "mine"))
		defer cancel()
		_, err := l.TryLock(ctx, "a", ttl)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		cancel()
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		want := map[report]int{}
		for i := range nodes {
			want[report{i, redlock.NodeAcquire}], want[report{i, redlock.NodeRelease}] = 1, 1
		}
		assert.Equal(t, want, seen)
	})
}

func TestARefusalIsNoNodeError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		lock(t, newLocker(t, nodes))
		l := newLocker(t, nodes, redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) { t.Error(err) }))
		_, err := l.TryLock(t.Context(), "a", ttl)
		require.ErrorIs(t, err, redlock.ErrContended)
	})
}
