package extend_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// What automatic extension does when nodes fail.

func TestTheContextEndsWithTheValidityWhileAnExtensionHangs(t *testing.T) {
	for _, ttl := range []time.Duration{20 * time.Millisecond, time.Second, 30 * time.Second} {
		t.Run(ttl.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				k, ctx := rig.Keep(t, rig.NewLocker(t, nodes), ttl)
				time.Sleep(4 * ttl / 10)
				until := k.Until()
				nodes[0].Freeze()
				nodes[1].Freeze()
				<-ctx.Done()
				assert.Equal(t, until, time.Now())
				assert.Equal(t, until, k.Until())
				requireLost(t, context.Cause(ctx))
				nodes[0].Thaw()
				nodes[1].Thaw()
				time.Sleep(time.Minute)
				rig.RequireFree(t, nodes...)
			})
		})
	}
}

// Locks that fall due one after the other, and a node that goes on.
func TestAMajorityThatIsFrozenForLongerThanTheValidityCostsEachLockAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ttl = 3 * time.Second
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		var locks []*redlock.Lock
		var contexts []context.Context
		for i := range 8 {
			k, err := l.Lock(t.Context(), string(rune('a'+i)), ttl, rig.Forever)
			require.NoError(t, err)
			ctx, cancel := k.Context(t.Context())
			defer cancel()
			locks, contexts = append(locks, k), append(contexts, ctx)
			time.Sleep(ttl / 3 / 8)
		}
		time.Sleep(ttl + ttl/3/16) // no extension is due now
		nodes[0].Freeze()
		nodes[1].Freeze()
		all := slices.Clone(locks)
		for range all {
			next := slices.MinFunc(locks, func(a, b *redlock.Lock) int { return a.Until().Compare(b.Until()) })
			at := slices.Index(locks, next)
			<-contexts[at].Done()
			require.Equal(t, next.Until(), time.Now())
			requireLost(t, context.Cause(contexts[at]))
			for _, ctx := range slices.Delete(slices.Clone(contexts), at, at+1) {
				require.NoError(t, ctx.Err())
			}
			synctest.Wait()
			require.False(t, nodes[2].Exists(next.Resource()), "the node that answers has not been sent a release")
			locks, contexts = slices.Delete(locks, at, at+1), slices.Delete(contexts, at, at+1)
		}
		time.Sleep(ttl)
		nodes[0].Thaw()
		nodes[1].Thaw()
		rig.RequireFree(t, nodes...)
		for _, k := range all {
			require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
		}
	})
}

func TestTheTimelineInTheDocs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		start := time.Now()
		_, ctx := rig.Keep(t, rig.NewLocker(t, nodes), 15*time.Second)
		var mu sync.Mutex
		var rounds []time.Duration
		nodes[0].OnSend(func() {
			mu.Lock()
			defer mu.Unlock()
			if ctx.Err() == nil { // the release comes after
				rounds = append(rounds, time.Since(start))
			}
		})
		time.Sleep(18 * time.Second)
		nodes[1].Freeze() // a holder cut off from all nodes fares the same
		nodes[2].Freeze()
		<-ctx.Done()
		assert.Equal(t, 29848*time.Millisecond, time.Since(start))
		assert.Equal(t, 152*time.Millisecond, nodes[1].TTL("a"))
		mu.Lock()
		defer mu.Unlock()
		// From 20 s on, after the node timeout of 1 s, 750 ms later. At 25 s go-redis begins to
		// give up calls, and a round is over as soon as they have failed.
		var texts []string
		for _, at := range rounds[:7] {
			texts = append(texts, at.String())
		}
		assert.Equal(t, []string{"5s", "10s", "15s", "20s", "21.75s", "23.5s", "25s"}, texts)
		for i, at := range rounds[7:] {
			assert.LessOrEqual(t, at-rounds[i+6], 1750*time.Millisecond)
		}
		assert.Less(t, time.Since(start)-rounds[len(rounds)-1], 1750*time.Millisecond)
	})
}

func TestALossIsToldByTheNextExtensionAndNotAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k, ctx := rig.Keep(t, rig.NewLocker(t, nodes), 9*time.Second)
		start := time.Now()
		nodes[0].FlushAll()
		nodes[1].FlushAll()
		<-ctx.Done()
		assert.Equal(t, 3*time.Second, time.Since(start))
		requireLost(t, context.Cause(ctx))
		synctest.Wait()
		rig.RequireFree(t, nodes...)
		require.ErrorIs(t, k.Extend(t.Context(), time.Second), redlock.ErrLockLost)
	})
}

func TestALossThatIsFoundBetweenTwoRoundsIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 5)
		_, ctx := rig.Keep(t, rig.NewLocker(t, nodes), 30*time.Second)
		for _, n := range nodes[:3] {
			n.Freeze()
		}
		time.Sleep(11200 * time.Millisecond) // the round was given up at 11 s, the next one is at 12.5 s
		for _, n := range nodes[:3] {
			n.FlushAll()
			n.Thaw()
		}
		synctest.Wait()
		requireLost(t, context.Cause(ctx))
	})
}

func TestANodeThatIsFrozenForAMinuteDelaysNoExtension(t *testing.T) {
	for _, n := range []int{3, 5} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, n)
			k, ctx := rig.Keep(t, rig.NewLocker(t, nodes), 3*time.Second)
			nodes[0].Freeze()
			for range 600 {
				time.Sleep(100 * time.Millisecond)
				require.NoError(t, ctx.Err())
				require.GreaterOrEqual(t, time.Until(k.Until()), 2*time.Second-32*time.Millisecond)
			}
			nodes[0].Thaw()
			time.Sleep(2 * time.Second)
			assert.True(t, nodes[0].Exists("a"), "it takes part again")
			require.NoError(t, k.Unlock(t.Context()))
			synctest.Wait()
			rig.RequireFree(t, nodes...)
		})
	}
}

func TestAMajorityThatIsFrozenForLessThanTheValidityCostsNothing(t *testing.T) {
	for _, ttl := range []time.Duration{time.Second, 4 * time.Second, 10 * time.Second, 30 * time.Second} {
		t.Run(ttl.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				k, ctx := rig.Keep(t, rig.NewLocker(t, nodes), ttl)
				for range 5 {
					// Until the last millisecond of the lease that is in force then.
					time.Sleep(time.Until(k.Until()) - ttl*2/3)
					nodes[1].Freeze()
					nodes[2].Freeze()
					time.Sleep(time.Until(k.Until()) - time.Millisecond)
					nodes[1].Thaw()
					nodes[2].Thaw()
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
		nodes := rig.New(t, 3)
		k, ctx := rig.Keep(t, rig.NewLocker(t, nodes), 30*time.Second)
		nodes[0].SetError("LOADING")
		nodes[1].Freeze()
		nodes[2].Freeze()
		time.Sleep(15 * time.Second)
		nodes[0].SetError("")
		time.Sleep(10 * time.Second)
		nodes[1].Thaw() // node 0 has agreed to a later round than this one
		time.Sleep(4 * time.Second)
		require.NoError(t, ctx.Err())
		require.True(t, k.Valid())
		nodes[2].Thaw()
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestAHeldLockLivesThroughTheRestartOfEveryNodeUnnoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k, ctx := rig.Keep(t, l, 3*time.Second)
		rival := rig.NewLocker(t, nodes, redlock.WithRetry(0, 0))
		for range 3 {
			for _, n := range nodes {
				n.Stop()
				time.Sleep(300 * time.Millisecond)
				n.Restart()
				_, err := rival.TryLock(t.Context(), "a", time.Second)
				require.Error(t, err)
				time.Sleep(1100 * time.Millisecond) // the next extension gives the value back
				require.NoError(t, ctx.Err())
				rig.RequireLocked(t, k, nodes...)
			}
		}
		require.NoError(t, k.Unlock(t.Context()))
		synctest.Wait()
		rig.RequireFree(t, nodes...)
	})
}

func TestALossUnderTheFunctionIsWhatWithReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		err := rig.NewLocker(t, nodes).With(t.Context(), "a", 3*time.Second, func(ctx context.Context, _ *redlock.Lock) error {
			time.Sleep(10 * time.Second)
			for _, n := range nodes {
				n.FlushAll()
			}
			<-ctx.Done()
			return nil
		}, func(err error) { t.Error(err) }, rig.Forever)
		require.ErrorIs(t, err, redlock.ErrLockLost)
		require.NotErrorIs(t, err, redlock.ErrHoldLimit)
	})
}

func TestShutdownWaitsForALockThatIsExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		began := make(chan struct{})
		done := make(chan error)
		go func() {
			done <- l.With(t.Context(), "a", time.Second, func(ctx context.Context, _ *redlock.Lock) error {
				close(began)
				time.Sleep(time.Minute)
				return ctx.Err()
			}, nil, rig.Forever)
		}()
		<-began
		start := time.Now()
		require.NoError(t, l.Shutdown(t.Context()))
		assert.Equal(t, time.Minute, time.Since(start))
		require.NoError(t, <-done)
		rig.RequireFree(t, nodes...)
	})
}

func TestAShutdownThatIsGivenUpEndsAutomaticExtension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k, held := rig.Keep(t, l, 3*time.Second)
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.ErrorIs(t, l.Shutdown(ctx), context.DeadlineExceeded)
		require.NoError(t, held.Err(), "nothing is released under a holder")
		require.True(t, k.Valid())
		time.Sleep(3 * time.Second)
		requireLost(t, context.Cause(held))
		rig.RequireFree(t, nodes...)
		require.NoError(t, l.Shutdown(t.Context()))
	})
}
