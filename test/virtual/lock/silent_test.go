package lock_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

func TestAFrozenMinorityCostsNoTimeAtAll(t *testing.T) { costsNoTime(t, (*rig.Node).Freeze) }

func TestADeadMinorityCostsNoTimeAtAll(t *testing.T) { costsNoTime(t, (*rig.Node).Stop) }

// costsNoTime locks, extends and unlocks while something befalls a minority.
func costsNoTime(t *testing.T, befall func(*rig.Node)) {
	t.Helper()
	for n, frozen := range map[int]int{3: 1, 4: 1, 5: 2, 7: 3} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, n)
			l := rig.NewLocker(t, nodes)
			rig.WarmUp(t, l)
			held, err := l.TryLock(t.Context(), "held", time.Minute)
			require.NoError(t, err)
			synctest.Wait()
			for _, n := range nodes[:frozen] {
				befall(n)
			}
			start := time.Now()
			require.NoError(t, held.Extend(t.Context(), time.Minute))
			require.NoError(t, held.Unlock(t.Context()))
			for range 5 {
				k, err := l.TryLock(t.Context(), "a", 4*time.Second)
				require.NoError(t, err)
				require.NoError(t, k.Extend(t.Context(), 4*time.Second))
				require.NoError(t, k.Unlock(t.Context()))
			}
			assert.Zero(t, time.Since(start), "%d of %d", frozen, n)
		})
	}
}

func TestASilentNodeIsNotWaitedForWhenTheOthersRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 5)
		holder, l := rig.NewLocker(t, nodes[:3]), rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		rig.Lock(t, holder)
		nodes[2].Del("a") // the holder has two nodes of five, and two are silent: it may have four
		nodes[3].Freeze()
		nodes[4].Freeze()
		start := time.Now()
		_, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.Equal(t, time.Second, time.Since(start), "the first one waits for the node timeout")
		for range 10 {
			start = time.Now()
			_, err = l.TryLock(t.Context(), "a", rig.TTL)
			require.ErrorIs(t, err, redlock.ErrContended)
			assert.Zero(t, time.Since(start))
		}
	})
}

func TestASilentMajorityIsWaitedForUntilTheNodeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		nodes[0].Freeze()
		nodes[1].Freeze()
		for range 3 {
			start := time.Now()
			_, err := l.TryLock(t.Context(), "a", rig.TTL, redlock.WithNodeTimeout(400*time.Millisecond))
			assert.Equal(t, 400*time.Millisecond, time.Since(start))
			require.ErrorIs(t, err, redlock.ErrNoQuorum)
			assert.Contains(t, err.Error(), "127.0.0.1:6379")
			assert.Contains(t, err.Error(), "no answer within")
			assert.NotContains(t, err.Error(), "127.0.0.3:6379")
			assert.NotErrorIs(t, err, context.DeadlineExceeded)
		}
		nodes[0].Thaw()
		k, err := l.TryLock(t.Context(), "b", rig.TTL)
		require.NoError(t, err, "an answer ends the silence")
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestTheNodeTimeoutIsNeverLongerThanTheValidity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		nodes[0].Freeze()
		start := time.Now()
		_, err := rig.NewLocker(t, nodes).TryLock(t.Context(), "a", 20*time.Millisecond, redlock.WithNodeTimeout(time.Hour))
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.Equal(t, 18*time.Millisecond, time.Since(start))
	})
}

func TestASilentNodeTakesABoundedNumberOfFurtherCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		var mu sync.Mutex
		var refused []error
		l := rig.NewLocker(t, nodes, redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) {
			mu.Lock()
			defer mu.Unlock()
			refused = append(refused, err)
		}))
		rig.WarmUp(t, l)
		nodes[2].Freeze()
		_, err := l.TryLock(t.Context(), "first", time.Minute)
		require.NoError(t, err)
		time.Sleep(time.Second) // now it is silent

		before := rig.Goroutines()
		var locks []*redlock.Lock
		for i := range 500 {
			k, err := l.TryLock(t.Context(), strconv.Itoa(i), time.Minute)
			require.NoError(t, err)
			locks = append(locks, k)
		}
		synctest.Wait()
		assert.Equal(t, 1+lane.Limit, seam.OpenCalls(l))
		assert.Less(t, rig.Goroutines()-before, 10*lane.Limit)
		full := 0
		for _, err := range refused {
			if strings.Contains(err.Error(), "64 calls wait already") {
				full++
			}
		}
		assert.Equal(t, 500-lane.Limit, full)
		assert.Len(t, refused, 500, "those that it takes are not waited for")

		for _, k := range locks {
			require.NoError(t, k.Unlock(t.Context()))
		}
		nodes[2].Thaw()
		synctest.Wait()
		assert.Zero(t, seam.OpenCalls(l), "every acquire that was sent is released")
		assert.Equal(t, []string{"first"}, nodes[2].Keys())
	})
}

func TestTheGoroutinesOfADeadNodeStayFlatAndItTakesPartAgainWhenItAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		nodes[0].Slow(time.Millisecond)
		nodes[1].Slow(time.Millisecond)
		nodes[2].Freeze()
		most := 0
		for i := range 900 {
			k, err := l.TryLock(t.Context(), strconv.Itoa(i%100), time.Second)
			require.NoError(t, err)
			require.NoError(t, k.Unlock(t.Context()))
			if i > 300 {
				most = max(most, seam.OpenCalls(l))
			}
		}
		assert.LessOrEqual(t, most, 100+2*lane.Limit+10)
		nodes[2].Thaw()
		time.Sleep(time.Second)
		assert.Zero(t, seam.OpenCalls(l))
		k, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.NoError(t, err)
		rig.RequireLocked(t, k, nodes[2])
	})
}

func TestANodeErrorIsReportedOncePerNodeAndCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		type key struct{}
		type report struct {
			node int
			op   redlock.Op
		}
		var mu sync.Mutex
		seen := map[report]int{}
		l := rig.NewLocker(t, nodes, redlock.WithNodeErrorHandler(func(ctx context.Context, err *redlock.NodeError) {
			mu.Lock()
			defer mu.Unlock()
			assert.Equal(t, "mine", ctx.Value(key{}))
			assert.NoError(t, ctx.Err())
			assert.ErrorContains(t, err, "WRONGTYPE")
			seen[report{err.Node - 1, err.Op}]++
		}))
		for _, n := range nodes {
			_, err := n.SAdd("a", "member")
			require.NoError(t, err)
		}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "mine"))
		defer cancel()
		_, err := l.TryLock(ctx, "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		cancel()
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		want := map[report]int{}
		for i := range nodes {
			want[report{i, redlock.OpAcquire}], want[report{i, redlock.OpRelease}] = 1, 1
		}
		assert.Equal(t, want, seen)
	})
}

func TestARefusalIsNoNodeError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		rig.Lock(t, rig.NewLocker(t, nodes))
		l := rig.NewLocker(t, nodes, redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) { t.Error(err) }))
		_, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrContended)
	})
}
