package extend_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

// requireLost requires that a context has ended because the lock was lost.
func requireLost(t *testing.T, cause error) {
	t.Helper()
	require.ErrorIs(t, cause, redlock.ErrLockLost)
}

func TestALockIsKeptForAsLongAsTheFunctionTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		err := l.With(t.Context(), "a", time.Second, func(ctx context.Context, lock *redlock.Lock) error {
			for range 600 {
				time.Sleep(100 * time.Millisecond)
				require.NoError(t, ctx.Err())
				require.True(t, lock.Valid())
				for _, n := range nodes { // a crash would free the resource within the TTL
					require.LessOrEqual(t, n.TTL("a"), time.Second)
				}
			}
			return nil
		}, nil, rig.Forever)
		require.NoError(t, err)
		synctest.Wait()
		rig.RequireFree(t, nodes...)
	})
}

func TestALockIsExtendedWhenAThirdOfItsTTLIsUsedSinceTheStartOfTheLastGoodRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		for _, n := range nodes {
			n.Slow(300 * time.Millisecond)
		}
		start := time.Now()
		k, err := l.Lock(t.Context(), "a", 9*time.Second, rig.Forever)
		require.NoError(t, err)
		for i := range 10 {
			assert.Equal(t, start.Add(9*time.Second-92*time.Millisecond), k.Until(), "round %d", i)
			time.Sleep(time.Until(start.Add(3*time.Second + 301*time.Millisecond)))
			start = start.Add(3 * time.Second)
		}
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestTheRateOfExtensionsIsOnePerThirdOfTheTTL(t *testing.T) {
	for _, ttl := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, time.Second, 30 * time.Second} {
		t.Run(ttl.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				k, ctx := rig.Keep(t, rig.NewLocker(t, nodes), ttl)
				synctest.Wait()
				before := nodes[0].Commands()
				const cycles = 100
				time.Sleep(cycles * ttl / 3)
				sent := nodes[0].Commands() - before
				t.Logf("%d commands in %d thirds of the TTL", sent, cycles)
				assert.InDelta(t, cycles, sent, cycles/20)
				require.NoError(t, ctx.Err())
				require.NoError(t, k.Unlock(t.Context()))
			})
		})
	}
}

func TestFailedExtensionsAreRepeatedSoonerButNotInATightLoop(t *testing.T) {
	for _, ttl := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, time.Second, 30 * time.Second} {
		t.Run(ttl.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				var mu sync.Mutex
				var rounds []time.Time
				l := rig.NewLocker(t, nodes)
				_, ctx := rig.Keep(t, l, ttl)
				nodes[0].OnSend(func() {
					mu.Lock()
					defer mu.Unlock()
					if ctx.Err() == nil { // the release comes after
						rounds = append(rounds, time.Now())
					}
				})
				nodes[1].SetError("LOADING")
				nodes[2].SetError("LOADING")
				<-ctx.Done()
				nodes[1].SetError("")
				nodes[2].SetError("")
				requireLost(t, context.Cause(ctx))
				mu.Lock()
				defer mu.Unlock()
				require.Greater(t, len(rounds), 1)
				assert.LessOrEqual(t, len(rounds), 20)
				for i, at := range rounds[1:] {
					assert.GreaterOrEqual(t, at.Sub(rounds[i]), max(ttl/20, 5*time.Millisecond))
				}
			})
		})
	}
}

func TestAManualExtendWithAnotherTTLIsRespected(t *testing.T) {
	for _, ttl := range []time.Duration{3 * time.Second, 60 * time.Second} {
		t.Run(ttl.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				k, ctx := rig.Keep(t, rig.NewLocker(t, nodes), 15*time.Second)
				require.NoError(t, k.Extend(t.Context(), ttl))
				synctest.Wait()
				before := nodes[0].Commands()
				time.Sleep(10*ttl + ttl/6)
				assert.Equal(t, 30, nodes[0].Commands()-before)
				require.NoError(t, ctx.Err())
				assert.LessOrEqual(t, time.Until(k.Until()), ttl)
				assert.Equal(t, ttl-ttl/6, nodes[0].TTL("a"))
				require.NoError(t, k.Unlock(t.Context()))
			})
		})
	}
}

func TestAManualExtendDoesNotWaitForThePauseOfAnAutomaticOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k, ctx := rig.Keep(t, rig.NewLocker(t, nodes), 60*time.Second)
		nodes[1].SetError("LOADING")
		nodes[2].SetError("LOADING")
		time.Sleep(21 * time.Second) // an automatic extension has failed and pauses for 3 s
		nodes[1].SetError("")
		nodes[2].SetError("")
		start := time.Now()
		require.NoError(t, k.Extend(t.Context(), 30*time.Second))
		assert.Less(t, time.Since(start), time.Second)
		synctest.Wait()
		before := nodes[0].Commands()
		time.Sleep(95 * time.Second) // the automatic one has given way, and goes by the new TTL
		assert.InDelta(t, 9, nodes[0].Commands()-before, 1)
		require.NoError(t, ctx.Err())
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestUnlockStopsAnExtensionUnderWayAndLeavesNoKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		for _, n := range nodes {
			n.Slow(20 * time.Millisecond)
		}
		for i := range 20 {
			start := time.Now()
			k, err := l.Lock(t.Context(), "a", 3*time.Second, rig.Forever)
			require.NoError(t, err)
			time.Sleep(time.Until(start.Add(time.Second + time.Duration(i)*time.Millisecond))) // while one is under way
			require.NoError(t, k.Unlock(t.Context()))
			time.Sleep(time.Second)
			rig.RequireFree(t, nodes...)
		}
	})
}

func TestAFunctionThatReturnsAtTheVeryMomentOfAnExtensionLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		for i := range 200 {
			err := l.With(t.Context(), "a", 3*time.Second, func(ctx context.Context, _ *redlock.Lock) error {
				time.Sleep(time.Duration(1+i%3) * time.Second)
				return ctx.Err()
			}, func(err error) { t.Error(err) }, rig.Forever)
			require.NoError(t, err)
			synctest.Wait()
			rig.RequireFree(t, nodes...)
		}
	})
}

func TestAPanicUnderAutomaticExtensionLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		require.PanicsWithValue(t, "boom", func() {
			_ = l.With(t.Context(), "a", time.Second, func(context.Context, *redlock.Lock) error {
				time.Sleep(10 * time.Second)
				panic("boom")
			}, nil, rig.Forever)
		})
		synctest.Wait()
		rig.RequireFree(t, nodes...)
		require.NoError(t, l.Shutdown(t.Context()))
	})
}

func TestACancelledCallerStopsTheFunctionAndReleasesAnExtendedLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := rig.NewLocker(t, nodes).With(ctx, "a", time.Second, func(ctx context.Context, lock *redlock.Lock) error {
			<-ctx.Done()
			require.True(t, lock.Valid(), "the caller's ctx ends the work, not the lock")
			time.Sleep(5 * time.Second) // it takes a while to stop
			require.True(t, lock.Valid())
			return ctx.Err()
		}, nil, rig.Forever)
		require.Equal(t, context.DeadlineExceeded, err)
		synctest.Wait()
		rig.RequireFree(t, nodes...)
	})
}

func TestHoldingLocksTakesNoGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		idle := rig.Goroutines()
		var all []*redlock.Lock
		for i := range 100 {
			time.Sleep(10 * time.Millisecond) // one after the other, so that connections suffice
			k, err := l.Lock(t.Context(), fmt.Sprint("lock ", i), 9*time.Second, rig.Forever)
			require.NoError(t, err)
			all = append(all, k)
		}
		for range 30 {
			time.Sleep(time.Second + 5*time.Millisecond) // between extensions
			synctest.Wait()
			assert.LessOrEqual(t, rig.Goroutines(), idle+3)
		}
		for _, k := range all {
			require.True(t, k.Valid())
			require.NoError(t, k.Unlock(t.Context()))
		}
	})
}

func TestNoExtensionIsSentForALockThatRanOutWhileTheMachineSlept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		var jump atomic.Int64
		seam.SetWallJump(l, func() time.Duration { return time.Duration(jump.Load()) })
		k, ctx := rig.Keep(t, l, time.Hour)
		time.Sleep(1500 * time.Millisecond)
		before := nodes[0].Commands()
		jump.Store(int64(2 * time.Hour))
		start := time.Now()
		<-ctx.Done()
		assert.LessOrEqual(t, time.Since(start), time.Second)
		requireLost(t, context.Cause(ctx))
		time.Sleep(time.Minute)
		assert.Equal(t, before, nodes[0].Commands())
		assert.False(t, k.Valid())
	})
}

func TestALockIsExtendedSoonAfterTheMachineSleptForLessThanItsValidity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		var jump atomic.Int64
		seam.SetWallJump(l, func() time.Duration { return time.Duration(jump.Load()) })
		k, ctx := rig.Keep(t, l, time.Hour)
		time.Sleep(1500 * time.Millisecond)
		before := nodes[0].Commands()
		jump.Store(int64(30 * time.Minute))
		time.Sleep(time.Second)
		assert.Equal(t, before+1, nodes[0].Commands())
		require.NoError(t, ctx.Err())
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestBadLimitsAndTTLsOfAutomaticExtensionAreRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		for _, bad := range []time.Duration{0, -2, -time.Second} {
			_, err := redlock.New(rig.Clients(nodes), redlock.WithAutoExtend(bad))
			require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		}
		l := rig.NewLocker(t, nodes, redlock.WithAutoExtend(time.Minute))
		_, err := l.Lock(t.Context(), "a", 3*time.Millisecond)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument, "a third of 3 ms is all that its drift leaves")
		k, err := l.Lock(t.Context(), "a", 3*time.Millisecond, redlock.WithoutAutoExtend())
		require.NoError(t, err)
		time.Sleep(3 * time.Millisecond)
		assert.False(t, k.Valid())
		k, err = l.Lock(t.Context(), "a", time.Second)
		require.NoError(t, err)
		require.ErrorIs(t, k.Extend(t.Context(), 3*time.Millisecond), redlock.ErrInvalidArgument)
		time.Sleep(30 * time.Second)
		assert.True(t, k.Valid(), "what New was given applies")
		require.NoError(t, k.Unlock(t.Context()))
	})
}
