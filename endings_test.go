package redlock_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// Corners where a lock ends, or a command comes, at an awkward moment.

// pretend lets somebody else have the lock on these nodes for a while.
func pretend(t *testing.T, nodes ...*node) {
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
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		nodes[2].freeze()
		k, err := l.Lock(t.Context(), "a", time.Minute, redlock.WithRetry(0, 0))
		require.NoError(t, err)
		time.Sleep(100 * time.Millisecond)
		pretend(t, nodes[1], nodes[2]) // node 1 has come back empty, node 2 has not seen our acquire
		nodes[2].thaw()
		synctest.Wait()
		requireLocked(t, k, nodes[0], nodes[2])
		require.ErrorIs(t, k.Extend(t.Context(), time.Minute), redlock.ErrNoQuorum)
	})
}

func TestALateExtensionOfANodeThatNeverGrantedDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		nodes[2].freeze()
		k, err := l.Lock(t.Context(), "a", 10*time.Minute, redlock.WithRetry(0, 0))
		require.NoError(t, err)
		time.Sleep(40 * time.Second) // go-redis gives up the acquire on node 2
		require.Zero(t, redlock.OpenCalls(l))
		require.NoError(t, k.Extend(t.Context(), 10*time.Minute)) // its copy for node 2 hangs
		require.Equal(t, 1, redlock.OpenCalls(l))
		pretend(t, nodes[1], nodes[2])
		require.NoError(t, nodes[2].Set("a", k.Value())) // a stale copy of the acquire lands
		nodes[2].SetTTL("a", 10*time.Minute)
		nodes[2].thaw()
		synctest.Wait()
		require.ErrorIs(t, k.Extend(t.Context(), 10*time.Minute), redlock.ErrNoQuorum)
	})
}

func TestAnExtensionThatMeetsTheEndOfTheLockLeavesNoKey(t *testing.T) {
	for range 100 { // the timer and the reply come at the same instant, in either order
		synctest.Test(t, func(t *testing.T) {
			nodes := newNodes(t, 1)
			l := newLocker(t, nodes)
			warmUp(t, l)
			k := lock(t, l)
			nodes[0].slow(50 * time.Millisecond)
			time.Sleep(time.Until(k.Until()) - 50*time.Millisecond)
			err := k.Extend(t.Context(), time.Hour)
			if err == nil {
				require.NoError(t, k.Unlock(t.Context()))
			} else {
				require.ErrorIs(t, err, redlock.ErrLockLost)
			}
			time.Sleep(10 * time.Second)
			requireFree(t, nodes...)
		})
	}
}

func TestAnExtensionOfUnknownOutcomeLeavesNoKeyAfterTheLockIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		k := lock(t, l)
		for _, n := range nodes {
			n.slow(20 * time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, k.Extend(ctx, time.Hour), redlock.ErrNoQuorum)
		time.Sleep(ttl) // never unlocked
		requireFree(t, nodes...)
	})
}

func TestALateGrantDoesNotOutlastALockThatIsNeverUnlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		nodes[2].freeze()
		k, err := l.Lock(t.Context(), "a", 2*time.Second)
		require.NoError(t, err)
		time.Sleep(1800 * time.Millisecond)
		nodes[2].thaw()
		time.Sleep(300 * time.Millisecond)
		assert.False(t, k.Valid())
		requireFree(t, nodes...)
	})
}

func TestExtendOfALockThatRanOutWhileTheMachineSleptSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		l := newLocker(t, nodes)
		k := lock(t, l)
		sent := nodes[0].commands()
		redlock.SetWallJump(l, func() time.Duration { return time.Hour })
		require.ErrorIs(t, k.Extend(t.Context(), ttl), redlock.ErrLockLost)
		synctest.Wait()
		assert.Equal(t, sent, nodes[0].commands())
	})
}

func TestTheErrorOfALossTellsWhatTheNodesSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k := lock(t, newLocker(t, nodes))
		nodes[0].Del("a")
		nodes[1].Del("a")
		err := k.Extend(t.Context(), ttl)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, 1, e.Attempts)
		assert.ErrorContains(t, err, "gone from more than 1 of 3 nodes")
	})
}

func TestExtendOfATryLockIsRepeatedByTheRetryOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		l := newLocker(t, nodes, redlock.WithRetry(10, 100*time.Millisecond))
		k, err := l.TryLock(t.Context(), "a", ttl)
		require.NoError(t, err)
		nodes[0].SetError("ERR broken")
		time.AfterFunc(150*time.Millisecond, func() { nodes[0].SetError("") })
		require.NoError(t, k.Extend(t.Context(), ttl))
	})
}

func TestTheErrorsKindIsThatOfTheLastAttemptWithAShortTTLToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		l := newLocker(t, nodes)
		warmUp(t, l)
		require.NoError(t, nodes[0].Set("a", "theirs"))
		time.AfterFunc(200*time.Millisecond, nodes[0].freeze)
		_, err := l.Lock(t.Context(), "a", 40*time.Millisecond, redlock.WithRetry(5, 400*time.Millisecond), redlock.WithJitter(0))
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.NotErrorIs(t, err, redlock.ErrContended)
	})
}

func TestShutdownOfAnIdleLockerIsNilUnderAnyContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocker(t, newNodes(t, 1))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 50 {
			require.NoError(t, l.Shutdown(ctx))
		}
	})
}

// A quitter is a client that ends its goroutine instead of returning.
type quitter struct{ _ int }

func (*quitter) Process(context.Context, redis.Cmder) error {
	runtime.Goexit()
	return nil
}

func TestAClientThatDoesNotReturnBlocksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 2)
		l, err := redlock.New([]redlock.Client{nodes[0].client, nodes[1].client, &quitter{}})
		require.NoError(t, err)
		for range 3 {
			k, err := l.TryLock(t.Context(), "a", ttl)
			require.NoError(t, err)
			require.NoError(t, k.Unlock(t.Context()))
		}
		require.NoError(t, l.Shutdown(t.Context()))
	})
}

func TestRacingCallsOnOneLockLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		for i, n := range nodes {
			n.slow(time.Duration(i) * time.Millisecond)
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
		requireFree(t, nodes...)
	})
}

func TestUnlockOfALockThatRanOutSaysLostEvenIfANodeGrantedItLate(t *testing.T) {
	for _, late := range []time.Duration{0, 100 * time.Millisecond} {
		t.Run(late.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				l, other := newLocker(t, nodes), newLocker(t, nodes)
				warmUp(t, l)
				nodes[2].slow(late) // beyond the grace
				k, err := l.TryLock(t.Context(), "k", 10*time.Second)
				require.NoError(t, err)
				time.Sleep(time.Second)
				nodes[2].slow(0)

				time.Sleep(20 * time.Second)
				theirs, err := other.TryLock(t.Context(), "k", 10*time.Second)
				require.NoError(t, err)
				assert.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
				require.NoError(t, theirs.Unlock(t.Context()))
			})
		})
	}
}
