package unlock_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

// Corners where a lock ends, or a command comes, at an awkward moment.

// pretend lets somebody else have the lock on these nodes for a while.
func pretend(t *testing.T, nodes ...*rig.Node) {
	t.Helper()
	for _, n := range nodes {
		require.NoError(t, n.Set("a", "theirs"))
	}
	time.Sleep(500 * time.Millisecond)
	for _, n := range nodes {
		n.Del("a")
	}
}

func TestAGrantAfterAnotherHolderDoesNotCountEvenWithinTheNodeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		nodes[2].Freeze()
		k, err := l.Lock(t.Context(), "a", time.Minute, redlock.WithRetry(0, 0))
		require.NoError(t, err)
		time.Sleep(100 * time.Millisecond)
		pretend(t, nodes[1], nodes[2]) // node 1 has come back empty, node 2 has not seen our acquire
		nodes[2].Thaw()
		synctest.Wait()
		rig.RequireLocked(t, k, nodes[0], nodes[2])
		require.ErrorIs(t, k.Extend(t.Context(), time.Minute), redlock.ErrNoQuorum)
	})
}

func TestALateExtensionOfANodeThatNeverGrantedDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		nodes[2].Freeze()
		k, err := l.Lock(t.Context(), "a", 10*time.Minute, redlock.WithRetry(0, 0))
		require.NoError(t, err)
		time.Sleep(40 * time.Second) // go-redis gives up the acquire on node 2
		require.Zero(t, seam.OpenCalls(l))
		require.NoError(t, k.Extend(t.Context(), 10*time.Minute)) // its copy for node 2 hangs
		synctest.Wait()                                           // that it is silent is told
		require.Equal(t, 1, seam.OpenCalls(l))
		pretend(t, nodes[1], nodes[2])
		require.NoError(t, nodes[2].Set("a", k.Value())) // a stale copy of the acquire lands
		nodes[2].SetTTL("a", 10*time.Minute)
		nodes[2].Thaw()
		synctest.Wait()
		require.ErrorIs(t, k.Extend(t.Context(), 10*time.Minute), redlock.ErrNoQuorum)
	})
}

func TestAnExtensionThatMeetsTheEndOfTheLockLeavesNoKey(t *testing.T) {
	for range 100 { // the timer and the reply come at the same instant, in either order
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 1)
			l := rig.NewLocker(t, nodes)
			rig.WarmUp(t, l)
			k := rig.Lock(t, l)
			nodes[0].Slow(50 * time.Millisecond)
			time.Sleep(time.Until(k.Until()) - 50*time.Millisecond)
			err := k.Extend(t.Context(), time.Hour)
			if err == nil {
				require.NoError(t, k.Unlock(t.Context()))
			} else {
				require.ErrorIs(t, err, redlock.ErrLockLost)
			}
			time.Sleep(10 * time.Second)
			rig.RequireFree(t, nodes...)
		})
	}
}

func TestAnExtensionOfUnknownOutcomeLeavesNoKeyAfterTheLockIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		k := rig.Lock(t, l)
		for _, n := range nodes {
			n.Slow(20 * time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, k.Extend(ctx, time.Hour), redlock.ErrNoQuorum)
		time.Sleep(rig.TTL) // never unlocked
		rig.RequireFree(t, nodes...)
	})
}

func TestALateGrantDoesNotOutlastALockThatIsNeverUnlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		nodes[2].Freeze()
		k, err := l.Lock(t.Context(), "a", 2*time.Second)
		require.NoError(t, err)
		time.Sleep(1800 * time.Millisecond)
		nodes[2].Thaw()
		time.Sleep(300 * time.Millisecond)
		assert.False(t, k.Valid())
		rig.RequireFree(t, nodes...)
	})
}

func TestExtendOfALockThatRanOutWhileTheMachineSleptSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		k := rig.Lock(t, l)
		sent := nodes[0].Commands()
		seam.SetWallJump(l, func() time.Duration { return time.Hour })
		require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrLockLost)
		synctest.Wait()
		assert.Equal(t, sent, nodes[0].Commands())
	})
}

func TestTheErrorOfALossTellsWhatTheNodesSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		nodes[0].Del("a")
		nodes[1].Del("a")
		err := k.Extend(t.Context(), rig.TTL)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, 1, e.Attempts)
		assert.ErrorContains(t, err, "gone from 2 of 3 nodes")
	})
}

func TestExtendOfATryLockIsRepeatedByTheRetryOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes, redlock.WithRetry(10, 100*time.Millisecond))
		k, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.NoError(t, err)
		nodes[0].SetError("ERR broken")
		time.AfterFunc(150*time.Millisecond, func() { nodes[0].SetError("") })
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
	})
}

func TestTheErrorsKindIsThatOfTheLastAttemptWithAShortTTLToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		require.NoError(t, nodes[0].Set("a", "theirs"))
		time.AfterFunc(200*time.Millisecond, nodes[0].Freeze)
		_, err := l.Lock(t.Context(), "a", 40*time.Millisecond, redlock.WithRetry(5, 400*time.Millisecond), redlock.WithJitter(0))
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.NotErrorIs(t, err, redlock.ErrContended)
	})
}

func TestShutdownOfAnIdleLockerIsNilUnderAnyContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rig.NewLocker(t, rig.New(t, 1))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 50 {
			require.NoError(t, l.Shutdown(ctx))
		}
	})
}

func TestAClientThatDoesNotReturnBlocksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 2)
		l, err := redlock.New([]redlock.Client{nodes[0].Client, nodes[1].Client, &rig.Quitter{}})
		require.NoError(t, err)
		for range 3 {
			k, err := l.TryLock(t.Context(), "a", rig.TTL)
			require.NoError(t, err)
			require.NoError(t, k.Unlock(t.Context()))
		}
		require.NoError(t, l.Shutdown(t.Context()))
	})
}

func TestRacingCallsOnOneLockLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		for i, n := range nodes {
			n.Slow(time.Duration(i) * time.Millisecond)
		}
		for i := range 60 {
			k, err := l.Lock(t.Context(), "a", 100*time.Millisecond, redlock.WithRetry(redlock.Forever, time.Millisecond))
			require.NoError(t, err)
			held, cancel := k.Context(t.Context())
			stop := context.AfterFunc(held, func() { _ = k.Unlock(context.Background()) })
			var wg sync.WaitGroup
			for j := range 3 {
				wg.Go(func() {
					time.Sleep(time.Duration(i*j) * time.Millisecond)
					_ = k.Extend(t.Context(), time.Duration(50+i)*time.Millisecond)
					_, _ = k.Until(), k.Valid()
				})
			}
			time.Sleep(time.Duration(i) * 2 * time.Millisecond)
			_ = k.Unlock(t.Context())
			wg.Wait()
			stop()
			cancel()
		}
		require.NoError(t, l.Shutdown(t.Context()))
		rig.RequireFree(t, nodes...)
	})
}

func TestUnlockOfALockThatRanOutSaysLostEvenIfANodeGrantedItLate(t *testing.T) {
	for _, late := range []time.Duration{0, 100 * time.Millisecond} {
		t.Run(late.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l, other := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
				rig.WarmUp(t, l)
				nodes[2].Slow(late) // beyond the grace
				k, err := l.TryLock(t.Context(), "k", 10*time.Second)
				require.NoError(t, err)
				time.Sleep(time.Second)
				nodes[2].Slow(0)

				time.Sleep(20 * time.Second)
				theirs, err := other.TryLock(t.Context(), "k", 10*time.Second)
				require.NoError(t, err)
				assert.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
				require.NoError(t, theirs.Unlock(t.Context()))
			})
		})
	}
}

func TestALockThatRunsOutLeavesNoKeyWhereTheReplyToALateCommandWasLost(t *testing.T) {
	const ttl = 4 * time.Second
	for name, extends := range map[string]bool{"granted": false, "extended": true} {
		t.Run(name, func(t *testing.T) {
			rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
				t.Helper()
				nodes := rig.New(t, 3)
				hooks := hookAll(nodes[:1])
				l := rig.NewLocker(t, nodes, opts...)
				rig.WarmUp(t, l)
				loseLate := func() {
					hooks[0].Set(func(_ []redis.Cmder, next func() error) error {
						hooks[0].Set(func([]redis.Cmder, func() error) error { return neverRun["no connection"] })
						time.Sleep(time.Second)
						_ = next()
						time.AfterFunc(time.Second, func() { hooks[0].Set(nil) })
						return errReplyLost
					})
				}
				if !extends {
					loseLate()
				}
				k, err := l.Lock(t.Context(), "a", ttl)
				require.NoError(t, err)
				if extends {
					synctest.Wait()
					loseLate()
					require.NoError(t, k.Extend(t.Context(), ttl))
				}
				time.Sleep(ttl - 100*time.Millisecond)
				rig.RequireLocked(t, k, nodes...)
				time.Sleep(100 * time.Millisecond)
				rig.RequireNoKeys(t, nodes)
			})
		})
	}
}
