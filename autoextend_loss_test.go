package redlock_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// What automatic extension does when nodes fail.

func TestTheContextEndsWithTheValidityWhileAnExtensionHangs(t *testing.T) {
	for _, ttl := range []time.Duration{20 * time.Millisecond, time.Second, 30 * time.Second} {
		t.Run(ttl.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				k, ctx := keep(t, newLocker(t, nodes), ttl)
				time.Sleep(4 * ttl / 10)
				until := k.Until()
				nodes[0].freeze()
				nodes[1].freeze()
				<-ctx.Done()
				assert.Equal(t, until, time.Now())
				assert.Equal(t, until, k.Until())
				requireLost(t, context.Cause(ctx))
				nodes[0].thaw()
				nodes[1].thaw()
				time.Sleep(time.Minute)
				requireFree(t, nodes...)
			})
		})
	}
}

func TestTheTimelineInTheReadme(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		start := time.Now()
		_, ctx := keep(t, newLocker(t, nodes), 15*time.Second)
		var mu sync.Mutex
		var rounds []string
		nodes[0].onSend(func() {
			mu.Lock()
			defer mu.Unlock()
			if ctx.Err() == nil { // the release comes after
				rounds = append(rounds, time.Since(start).String())
			}
		})
		time.Sleep(18 * time.Second)
		nodes[1].freeze() // a holder cut off from all nodes fares the same
		nodes[2].freeze()
		<-ctx.Done()
		assert.Equal(t, 29848*time.Millisecond, time.Since(start))
		assert.Equal(t, 152*time.Millisecond, nodes[1].TTL("a"))
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, []string{
			"5s", "10s", "15s", "20s", // and then, after the node timeout of 1 s, every 750 ms
			"21.75s", "22.5s", "23.25s", "24s", "24.75s", "25.5s", "26.25s", "27s", "27.75s", "28.5s", "29.25s",
		}, rounds)
	})
}

func TestALossIsToldByTheNextExtensionAndNotAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k, ctx := keep(t, newLocker(t, nodes), 9*time.Second)
		start := time.Now()
		nodes[0].FlushAll()
		nodes[1].FlushAll()
		<-ctx.Done()
		assert.Equal(t, 3*time.Second, time.Since(start))
		requireLost(t, context.Cause(ctx))
		synctest.Wait()
		requireFree(t, nodes...)
		require.ErrorIs(t, k.Extend(t.Context(), time.Second), redlock.ErrLockLost)
	})
}

func TestALossThatIsFoundBetweenTwoRoundsIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 5)
		_, ctx := keep(t, newLocker(t, nodes), 30*time.Second)
		for _, n := range nodes[:3] {
			n.freeze()
		}
		time.Sleep(11200 * time.Millisecond) // the round was given up at 11 s, the next one is at 12.5 s
		for _, n := range nodes[:3] {
			n.FlushAll()
			n.thaw()
		}
		synctest.Wait()
		requireLost(t, context.Cause(ctx))
	})
}

func TestANodeThatIsFrozenForAMinuteDelaysNoExtension(t *testing.T) {
	for _, n := range []int{3, 5} {
		synctest.Test(t, func(t *testing.T) {
			nodes := newNodes(t, n)
			k, ctx := keep(t, newLocker(t, nodes), 3*time.Second)
			nodes[0].freeze()
			for range 600 {
				time.Sleep(100 * time.Millisecond)
				require.NoError(t, ctx.Err())
				require.GreaterOrEqual(t, time.Until(k.Until()), 2*time.Second-32*time.Millisecond)
			}
			nodes[0].thaw()
			time.Sleep(2 * time.Second)
			assert.True(t, nodes[0].Exists("a"), "it takes part again")
			require.NoError(t, k.Unlock(t.Context()))
			synctest.Wait()
			requireFree(t, nodes...)
		})
	}
}

func TestAMajorityThatIsFrozenForLessThanTheValidityCostsNothing(t *testing.T) {
	for _, ttl := range []time.Duration{time.Second, 4 * time.Second, 10 * time.Second, 30 * time.Second} {
		t.Run(ttl.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				k, ctx := keep(t, newLocker(t, nodes), ttl)
				for range 5 {
					// Until the last millisecond of the lease that is in force then.
					time.Sleep(time.Until(k.Until()) - ttl*2/3)
					nodes[1].freeze()
					nodes[2].freeze()
					time.Sleep(time.Until(k.Until()) - time.Millisecond)
					nodes[1].thaw()
					nodes[2].thaw()
					time.Sleep(ttl / 2)
					require.NoError(t, ctx.Err())
					require.True(t, k.Valid())
				}
				require.NoError(t, k.Unlock(t.Context()))
			})
		})
	}
}

func TestAnExtensionSucceedsWhenAMajorityIsBackThoughNotAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k, ctx := keep(t, newLocker(t, nodes), 30*time.Second)
		nodes[0].SetError("LOADING")
		nodes[1].freeze()
		nodes[2].freeze()
		time.Sleep(15 * time.Second)
		nodes[0].SetError("")
		time.Sleep(10 * time.Second)
		nodes[1].thaw() // node 0 has agreed to a later round than this one
		time.Sleep(4 * time.Second)
		require.NoError(t, ctx.Err())
		require.True(t, k.Valid())
		nodes[2].thaw()
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestAHeldLockLivesThroughTheRestartOfEveryNodeUnnoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		k, ctx := keep(t, l, 3*time.Second)
		rival := newLocker(t, nodes, redlock.WithRetry(0, 0))
		for range 3 {
			for _, n := range nodes {
				n.stop()
				time.Sleep(300 * time.Millisecond)
				n.restart()
				_, err := rival.TryLock(t.Context(), "a", time.Second)
				require.ErrorIs(t, err, redlock.ErrNotAcquired)
				time.Sleep(1100 * time.Millisecond) // the next extension gives the value back
				require.NoError(t, ctx.Err())
				requireLocked(t, k, nodes...)
			}
		}
		require.NoError(t, k.Unlock(t.Context()))
		synctest.Wait()
		requireFree(t, nodes...)
	})
}

func TestALossUnderTheFunctionIsWhatWithReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		err := newLocker(t, nodes).With(t.Context(), "a", 3*time.Second, func(ctx context.Context, _ *redlock.Lock) error {
			time.Sleep(10 * time.Second)
			for _, n := range nodes {
				n.FlushAll()
			}
			<-ctx.Done()
			return nil
		}, func(err error) { t.Error(err) }, forever)
		require.ErrorIs(t, err, redlock.ErrLockLost)
		require.NotErrorIs(t, err, redlock.ErrHoldLimit)
	})
}

func TestShutdownWaitsForALockThatIsExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		began := make(chan struct{})
		done := make(chan error)
		go func() {
			done <- l.With(t.Context(), "a", time.Second, func(ctx context.Context, _ *redlock.Lock) error {
				close(began)
				time.Sleep(time.Minute)
				return ctx.Err()
			}, nil, forever)
		}()
		<-began
		start := time.Now()
		require.NoError(t, l.Shutdown(t.Context()))
		assert.Equal(t, time.Minute, time.Since(start))
		require.NoError(t, <-done)
		requireFree(t, nodes...)
	})
}

func TestAShutdownThatIsGivenUpEndsAutomaticExtension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		k, held := keep(t, l, 3*time.Second)
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.ErrorIs(t, l.Shutdown(ctx), context.DeadlineExceeded)
		require.NoError(t, held.Err(), "nothing is released under a holder")
		require.True(t, k.Valid())
		time.Sleep(3 * time.Second)
		requireLost(t, context.Cause(held))
		requireFree(t, nodes...)
		require.NoError(t, l.Shutdown(t.Context()))
	})
}
