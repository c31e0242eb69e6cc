package extend_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestExtendSetsTheTTLAnewAndMovesUntilOfTheSameLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		start := time.Now()
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		value := k.Value()
		time.Sleep(4 * time.Second)
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
		assert.Equal(t, start.Add(4*time.Second+rig.TTL-rig.Drift), k.Until(), "from now, not added")
		assert.Equal(t, value, k.Value())
		rig.RequireLocked(t, k, nodes...)
		for _, n := range nodes {
			assert.Equal(t, rig.TTL, n.TTL("a"))
		}
		time.Sleep(rig.TTL - rig.Drift - time.Millisecond)
		assert.True(t, k.Valid())
		time.Sleep(time.Millisecond)
		assert.False(t, k.Valid())
	})
}

func TestExtendToASmallerTTLMovesUntilAtOnceAndShortensNoKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		require.NoError(t, k.Extend(t.Context(), time.Second))
		assert.Equal(t, time.Now().Add(time.Second-12*time.Millisecond), k.Until())
		synctest.Wait()
		for _, n := range nodes {
			assert.Equal(t, rig.TTL, n.TTL("a"))
		}
		time.Sleep(time.Second)
		assert.False(t, k.Valid())
		rig.RequireLocked(t, k, nodes...)
	})
}

func TestExtendAfterUnlockSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		require.NoError(t, k.Unlock(t.Context()))
		sent := nodes[0].Commands()
		err := k.Extend(t.Context(), rig.TTL)
		require.ErrorIs(t, err, redlock.ErrUnlocked)
		assert.NotErrorIs(t, err, redlock.ErrLockLost)
		assert.Equal(t, sent, nodes[0].Commands())
	})
}

func TestExtendAfterExpirySendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		time.Sleep(rig.TTL - rig.Drift)
		sent := nodes[0].Commands()
		require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrLockLost)
		assert.Equal(t, sent, nodes[0].Commands())
	})
}

func TestExtendOfALockThatIsGoneFromAMajorityIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 5)
		l := rig.NewLocker(t, nodes)
		k := rig.Lock(t, l)
		held, cancel := k.Context(t.Context())
		defer cancel()
		synctest.Wait()
		nodes[0].Del("a")
		nodes[1].Del("a")
		require.NoError(t, nodes[2].Set("a", "theirs"))
		start := time.Now()
		err := k.Extend(t.Context(), rig.TTL)
		require.ErrorIs(t, err, redlock.ErrLockLost)
		assert.NotErrorIs(t, err, redlock.ErrNoQuorum)
		assert.Zero(t, time.Since(start), "no retries")
		assert.False(t, k.Valid())
		require.ErrorIs(t, context.Cause(held), redlock.ErrLockLost)
		synctest.Wait()
		rig.RequireFree(t, nodes[3:]...)
		value, _ := nodes[2].Get("a")
		assert.Equal(t, "theirs", value)
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
	})
}

func TestLossIsAddedUpOverTheRoundsOfOneExtend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithRetry(5, 100*time.Millisecond), redlock.WithJitter(0))
		synctest.Wait()
		nodes[0].Del("a")
		nodes[1].SetError("ERR broken")
		nodes[2].SetError("ERR broken")
		time.AfterFunc(150*time.Millisecond, func() {
			// What the first node said stands, even if the value is back there.
			_ = nodes[0].Set("a", k.Value())
			nodes[1].Del("a")
			nodes[1].SetError("")
		})
		require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrLockLost)
	})
}

func TestAFailedExtensionReleasesNothingAndStaysValidUntilTheOldUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithRetry(2, 100*time.Millisecond))
		synctest.Wait()
		until := k.Until()
		nodes[0].SetError("ERR broken")
		nodes[1].SetError("ERR broken")
		err := k.Extend(t.Context(), rig.TTL)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.NotErrorIs(t, err, redlock.ErrLockLost)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, redlock.OpExtend, e.Op)
		assert.Equal(t, 3, e.Attempts)
		assert.LessOrEqual(t, e.Agreed, 1)
		assert.Len(t, e.Nodes, 2)
		assert.True(t, k.Valid())
		assert.Equal(t, until, k.Until())
		nodes[0].SetError("")
		nodes[1].SetError("")
		rig.RequireLocked(t, k, nodes...)
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
	})
}

func TestAFailedExtensionToASmallerTTLEndsValidityEarlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		k := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithRetry(0, 0))
		nodes[0].SetError("ERR broken")
		start := time.Now()
		require.ErrorIs(t, k.Extend(t.Context(), 100*time.Second), redlock.ErrNoQuorum)
		assert.Equal(t, start.Add(rig.TTL-rig.Drift), k.Until())
		start = time.Now()
		require.ErrorIs(t, k.Extend(t.Context(), 2*time.Second), redlock.ErrNoQuorum)
		assert.LessOrEqual(t, k.Until(), time.Now().Add(2*time.Second))
		assert.GreaterOrEqual(t, k.Until(), start)
		time.Sleep(2 * time.Second)
		assert.False(t, k.Valid())
	})
}

func TestExtendIsRepeatedWhileTheLockIsValid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		k := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithRetry(redlock.Forever, 500*time.Millisecond))
		warm := time.Now()
		nodes[0].SetError("ERR broken")
		time.AfterFunc(5*time.Second, func() { nodes[0].SetError("") })
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
		assert.GreaterOrEqual(t, time.Since(warm), 5*time.Second)
		assert.True(t, k.Valid())
	})
}

func TestAHungExtensionEndsWithTheValidity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithRetry(redlock.Forever, time.Millisecond), redlock.WithJitter(0), redlock.WithNodeTimeout(time.Hour))
		held, cancel := k.Context(t.Context())
		defer cancel()
		synctest.Wait()
		nodes[0].Freeze()
		nodes[1].Freeze()
		start := time.Now()
		require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrLockLost)
		assert.Equal(t, rig.TTL-rig.Drift, time.Since(start))
		require.ErrorIs(t, context.Cause(held), redlock.ErrLockLost)
	})
}

func TestExtendNeverCreatesAKeyAndArmsEmptyNodesOnlyAfterSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithRetry(0, 0))
		synctest.Wait()
		nodes[0].Del("a")
		nodes[1].SetError("ERR broken")
		require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrNoQuorum)
		synctest.Wait()
		require.False(t, nodes[0].Exists("a"), "not after a failure")

		nodes[1].SetError("")
		time.Sleep(time.Second)
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
		rig.RequireLocked(t, k, nodes...)
		assert.Equal(t, rig.TTL, nodes[0].TTL("a"))
	})
}

func TestALockLivesThroughTheRestartOfEveryNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		for _, n := range nodes {
			synctest.Wait()
			n.Stop()
			time.Sleep(time.Second)
			n.Restart()
			require.NoError(t, k.Extend(t.Context(), rig.TTL))
			time.Sleep(2 * time.Second) // go-redis finds its connection broken, pauses, and dials
			rig.RequireLocked(t, k, nodes...)
		}
		require.NoError(t, k.Unlock(t.Context()))
		rig.RequireFree(t, nodes...)
	})
}

func TestASlowNodeThatComesBackEmptyIsArmedByItsLateVote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		synctest.Wait()
		nodes[2].Del("a")
		nodes[2].Slow(50 * time.Millisecond)
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
		time.Sleep(time.Second)
		rig.RequireLocked(t, k, nodes...)
		assert.Greater(t, nodes[2].TTL("a"), 8*time.Second)
	})
}

// The holder's third node grants late; meanwhile another node loses the value,
// so that a second holder comes and goes. The vote of the third node must not
// bridge that gap.
func TestAnExtensionNeverBridgesAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		nodes[2].Freeze() // the acquire waits in the network
		k, err := l.Lock(t.Context(), "a", time.Minute, redlock.WithRetry(0, 0))
		require.NoError(t, err)
		time.Sleep(1500 * time.Millisecond)

		nodes[1].Del("a") // restarted empty; now somebody else has 1 and 2 for a while
		nodes[2].Thaw()
		synctest.Wait()
		rig.RequireLocked(t, k, nodes[0], nodes[2])

		err = k.Extend(t.Context(), time.Minute)
		require.ErrorIs(t, err, redlock.ErrNoQuorum, "node 2 may have been free in between")
		require.NotErrorIs(t, err, redlock.ErrLockLost)
	})
}

func TestALateGrantCountsOnceTheOthersAreKnownToHaveTheLockBesideIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		nodes[2].Freeze()
		k, err := l.Lock(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		until := k.Until()
		time.Sleep(1500 * time.Millisecond)
		nodes[2].Thaw()
		synctest.Wait() // in the background, without moving the end of the lock
		assert.Equal(t, until, k.Until())
		nodes[1].Del("a")
		require.NoError(t, k.Extend(t.Context(), time.Minute))
		rig.RequireLocked(t, k, nodes...)
	})
}

func TestALossFoundInTheBackgroundIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		nodes[2].Freeze()
		k, err := l.Lock(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		held, cancel := k.Context(t.Context())
		defer cancel()
		time.Sleep(1500 * time.Millisecond)
		nodes[0].Del("a")
		nodes[1].Del("a")
		nodes[2].Thaw()
		synctest.Wait()
		require.ErrorIs(t, context.Cause(held), redlock.ErrLockLost)
		rig.RequireFree(t, nodes...)
	})
}

func TestUnlockDuringAnExtendLeavesNoKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		for i := range 40 {
			for j, n := range nodes {
				n.Slow(time.Duration(j+1) * time.Millisecond)
			}
			k := rig.Lock(t, l)
			nodes[i%3].Del("a") // so that it is armed
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := k.Extend(t.Context(), rig.TTL); err != nil {
					assert.ErrorIs(t, err, redlock.ErrUnlocked)
				}
			})
			time.Sleep(time.Duration(i) * 200 * time.Microsecond)
			assert.NoError(t, k.Unlock(t.Context()))
			wg.Wait()
			time.Sleep(time.Second)
			rig.RequireFree(t, nodes...)
		}
	})
}

func TestExtendTakesNoTTLThatLockWouldNotTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		for _, bad := range []time.Duration{-1, 0, 10, time.Millisecond, 2 * time.Millisecond} {
			require.ErrorIs(t, k.Extend(t.Context(), bad), redlock.ErrInvalidArgument)
		}
		require.ErrorIs(t, k.Extend(nil, rig.TTL), redlock.ErrInvalidArgument) //nolint:staticcheck // what is tested
		assert.True(t, k.Valid())
	})
}
