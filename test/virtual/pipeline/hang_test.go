package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// behindHangs has both batches of a node hang with commands of the given node timeout,
// and then a caller with another one.
func behindHangs(t *testing.T, first, then, arrival time.Duration, opts ...redlock.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		nodes, h := rig.New(t, 1), new(rig.BatchHook)
		nodes[0].Client.AddHook(h)
		l := rig.NewLocker(t, nodes, append([]redlock.Option{redlock.WithRetry(0, 0)}, opts...)...)
		rig.WarmUp(t, l)
		nodes[0].Slow(time.Millisecond)
		goOn, _ := h.HangFirst(2)
		var stuck sync.WaitGroup
		for i := range 2 {
			stuck.Go(func() {
				_, err := l.TryLock(t.Context(), fmt.Sprint("stuck", i), time.Hour, redlock.WithNodeTimeout(first))
				assert.ErrorIs(t, err, redlock.ErrNoQuorum)
			})
			synctest.Wait()
		}
		time.Sleep(arrival)
		rig.Together(20, func(key string) {
			lock, err := l.TryLock(t.Context(), key, 10*time.Second, redlock.WithNodeTimeout(then))
			if assert.NoError(t, err) {
				assert.NoError(t, lock.Unlock(t.Context()))
			}
		})
		stuck.Wait()
		goOn()
		rig.RequireNoKeys(t, nodes)
	})
}

func TestBatchesThatHangForOthersCostACallerWithAShorterNodeTimeoutNothing(t *testing.T) {
	t.Run("as it is", func(t *testing.T) { behindHangs(t, time.Second, 100*time.Millisecond, 500*time.Millisecond) })
	t.Run("batches", func(t *testing.T) {
		behindHangs(t, time.Second, 100*time.Millisecond, 500*time.Millisecond, redlock.WithAutoPipeline())
	})
}

func TestWhoComesRightAfterBatchesThatHangIsServed(t *testing.T) {
	const d = 300 * time.Millisecond
	t.Run("as it is", func(t *testing.T) { behindHangs(t, d, d, time.Millisecond) })
	t.Run("batches", func(t *testing.T) { behindHangs(t, d, d, time.Millisecond, redlock.WithAutoPipeline()) })
}

func TestNoErrorTellsTheValueOfAnotherLockOfTheBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		values, texts := map[string]bool{}, map[string]bool{}
		l, _, h := rig.NewHooked(t, 1, redlock.WithRetry(0, 0), redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) {
			mu.Lock()
			defer mu.Unlock()
			texts[err.Error()] = true
		}))
		dial := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		h.Set(func(cmds []redis.Cmder, _ func() error) error {
			time.Sleep(time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			for _, c := range cmds {
				if a := c.Args(); len(a) > 3 {
					for _, x := range a[2:] {
						if s, ok := x.(string); ok && len(s) == 32 {
							values[s] = true
						}
					}
				}
			}
			return fmt.Errorf("redis %v and %d more: %w", cmds[0], len(cmds)-1, dial) // as a hook that explains may
		})
		rig.Together(20, func(key string) { _, _ = l.TryLock(t.Context(), key, 10*time.Second) })
		require.NoError(t, l.Shutdown(t.Context()))
		require.NotEmpty(t, values)
		for v := range values {
			for text := range texts {
				require.NotContains(t, text, v)
			}
		}
		require.NotEmpty(t, texts)
	})
}

// behindDeadConnections returns how many of some callers, one every 10 ms, got no lock
// while so many sends hang.
func behindDeadConnections(t *testing.T, dead int, opts ...redlock.Option) (failed int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		nodes, h := rig.New(t, 1), new(rig.BatchHook)
		nodes[0].Client.AddHook(h)
		l := rig.NewLocker(t, nodes, append([]redlock.Option{redlock.WithRetry(0, 0), redlock.WithNodeTimeout(300 * time.Millisecond)}, opts...)...)
		rig.WarmUp(t, l)
		nodes[0].Slow(time.Millisecond)
		goOn, _ := h.HangFirst(dead)
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				lock, err := l.TryLock(t.Context(), fmt.Sprint("k", i), 10*time.Second)
				if err != nil {
					h.Mu.Lock()
					failed++
					h.Mu.Unlock()
					return
				}
				_ = lock.Unlock(t.Context())
			})
			time.Sleep(10 * time.Millisecond)
		}
		wg.Wait()
		goOn()
		rig.RequireNoKeys(t, nodes)
	})
	return failed
}

func TestDeadConnectionsCostBatchesNoMoreCallsThanSingleCommands(t *testing.T) {
	for _, dead := range []int{1, 2, 4, 8} {
		plain := behindDeadConnections(t, dead)
		batches := behindDeadConnections(t, dead, redlock.WithAutoPipeline())
		t.Logf("%d dead connections: of 200 calls fail %d, in batches %d", dead, plain, batches)
		assert.LessOrEqual(t, batches, 2*plain)
	}
}

func TestOneBatchThatHangsAfterAFailureHoldsUpNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, nodes, h := rig.NewHooked(t, 1, redlock.WithRetry(0, 0), redlock.WithNodeTimeout(300*time.Millisecond))
		n, hang := 0, make(chan struct{})
		h.Set(func(_ []redis.Cmder, next func() error) error {
			h.Mu.Lock()
			n++
			i := n
			h.Mu.Unlock()
			switch i {
			case 1:
				return rig.ErrRefused // is repeated, and well
			case 5:
				<-hang
			}
			return next()
		})
		lockAndUnlock(t, l)("first")
		synctest.Wait()
		h.Mu.Lock()
		n = 4
		h.Mu.Unlock()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := l.TryLock(t.Context(), "stuck", time.Hour)
			assert.ErrorIs(t, err, redlock.ErrNoQuorum)
		})
		synctest.Wait()
		begin := time.Now()
		rig.Together(20, lockAndUnlock(t, l))
		assert.Less(t, time.Since(begin), 100*time.Millisecond, "took %v", time.Since(begin))
		wg.Wait()
		close(hang)
		rig.RequireNoKeys(t, nodes)
	})
}
