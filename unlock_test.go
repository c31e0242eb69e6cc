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

func TestUnlockRemovesTheValueFromEveryNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k := lock(t, newLocker(t, nodes))
		require.NoError(t, k.Unlock(t.Context()))
		assert.False(t, k.Valid())
		requireFree(t, nodes...)
	})
}

func TestUnlockingTwiceIsNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k := lock(t, newLocker(t, nodes))
		require.NoError(t, k.Unlock(t.Context()))
		sent := nodes[0].commands()
		require.NoError(t, k.Unlock(t.Context()))
		assert.Equal(t, sent, nodes[0].commands())
	})
}

func TestUnlockReturnsAsSoonAsAMajorityHasRemovedTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 5)
		l := newLocker(t, nodes)
		warmUp(t, l)
		k := lock(t, l)
		synctest.Wait()
		nodes[3].freeze()
		nodes[4].freeze()
		start := time.Now()
		require.NoError(t, k.Unlock(t.Context()))
		assert.Zero(t, time.Since(start))

		for range 20 { // the release still under way never refuses the next one
			k, err := l.TryLock(t.Context(), "a", ttl)
			require.NoError(t, err)
			require.NoError(t, k.Unlock(t.Context()))
		}
		assert.Zero(t, time.Since(start))
		nodes[3].thaw()
		nodes[4].thaw()
		synctest.Wait()
		requireFree(t, nodes...)
	})
}

func TestUnlockOfAnExpiredLockThatNobodyTookIsNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k := lock(t, newLocker(t, nodes))
		time.Sleep(ttl - drift + time.Millisecond)
		require.False(t, k.Valid())
		require.NoError(t, k.Unlock(t.Context()), "the nodes decide, not the clock")
		requireFree(t, nodes...)
	})
}

func TestUnlockOfALockThatIsGoneIsErrLockLostAfterOneRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k := lock(t, newLocker(t, nodes))
		time.Sleep(ttl)
		thief := lock(t, newLocker(t, nodes))
		start := time.Now()
		err := k.Unlock(t.Context())
		require.ErrorIs(t, err, redlock.ErrLockLost)
		assert.Zero(t, time.Since(start))
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost, "again")
		requireLocked(t, thief, nodes...)
	})
}

func TestUnlockWithoutAQuorumFailsAndCanBeRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		k := lock(t, l)
		synctest.Wait()
		nodes[0].SetError("ERR broken")
		nodes[1].SetError("ERR broken")
		err := k.Unlock(t.Context())
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.NotErrorIs(t, err, redlock.ErrLockLost)
		assert.Contains(t, err.Error(), "ERR broken")
		assert.False(t, k.Valid())
		require.ErrorIs(t, k.Extend(t.Context(), ttl), redlock.ErrUnlocked)

		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrNoQuorum)
		nodes[0].SetError("")
		nodes[1].SetError("")
		require.NoError(t, k.Unlock(t.Context()))
		requireFree(t, nodes...)
	})
}

func TestUnlockWithoutAnswersGivesUpAfterTheNodeTimeoutAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		k := lock(t, l)
		synctest.Wait()
		for _, n := range nodes {
			n.freeze()
		}
		start := time.Now()
		err := k.Unlock(t.Context())
		assert.Equal(t, time.Second, time.Since(start))
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.Contains(t, err.Error(), "no answer within 1s")
		open := redlock.OpenCalls(l)
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrNoQuorum, "waits again")
		assert.Equal(t, open, redlock.OpenCalls(l), "what is under way is not sent twice")
		for _, n := range nodes {
			n.thaw()
		}
		require.NoError(t, k.Unlock(t.Context()))
		requireFree(t, nodes...)
	})
}

func TestUnlockDoesNotWaitForASilentNodeThatCouldTellALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		k := lock(t, l)
		nodes[2].freeze()
		other, err := l.TryLock(t.Context(), "b", ttl)
		require.NoError(t, err)
		time.Sleep(time.Second) // now node 2 is silent
		nodes[1].Del("a")
		start := time.Now()
		require.NoError(t, k.Unlock(t.Context()), "a majority has answered")
		assert.Zero(t, time.Since(start))
		require.NoError(t, other.Unlock(t.Context()))
		nodes[2].thaw()
	})
}

func TestUnlockUnderACancelledContextStillReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k := lock(t, newLocker(t, nodes))
		for _, n := range nodes {
			n.slow(time.Millisecond)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := k.Unlock(ctx)
		require.ErrorIs(t, err, context.Canceled)
		assert.NotErrorIs(t, err, redlock.ErrNoQuorum)
		require.NoError(t, k.Unlock(t.Context()), "joins the release under way")
		time.Sleep(time.Second)
		requireFree(t, nodes...)
	})
}

func TestConcurrentUnlocksShareOneRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		k := lock(t, l)
		synctest.Wait()
		sent := nodes[0].commands()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { assert.NoError(t, k.Unlock(t.Context())) })
		}
		wg.Wait()
		synctest.Wait()
		assert.Equal(t, sent+1, nodes[0].commands())
	})
}

func TestAReleaseFollowsTheAcquireThatItUndoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		nodes[2].slow(500 * time.Millisecond)
		k := lock(t, l)
		require.NoError(t, k.Unlock(t.Context()))
		time.Sleep(400 * time.Millisecond)
		require.False(t, nodes[2].Exists("a"))
		time.Sleep(200 * time.Millisecond)
		require.True(t, nodes[2].Exists("a"), "the late grant")
		time.Sleep(500 * time.Millisecond)
		requireFree(t, nodes...)
	})
}

func TestALockThatIsNeverUnlockedLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		nodes[2].freeze()
		k, err := l.Lock(t.Context(), "a", time.Second)
		require.NoError(t, err)
		held, cancel := k.Context(t.Context())
		_ = cancel // a dropped cancel
		time.Sleep(time.Second)
		require.ErrorIs(t, context.Cause(held), redlock.ErrLockLost)
		nodes[2].thaw() // the acquire that waited there is undone
		time.Sleep(100 * time.Millisecond)
		requireFree(t, nodes...)
		require.NoError(t, l.Shutdown(t.Context()))
	})
}

func TestANilOrZeroLockIsOneThatHasBeenUnlocked(t *testing.T) {
	for _, k := range []*redlock.Lock{nil, {}} {
		require.NoError(t, k.Unlock(t.Context()))
		require.ErrorIs(t, k.Extend(t.Context(), ttl), redlock.ErrUnlocked)
		assert.False(t, k.Valid())
		assert.Zero(t, k.Until())
		assert.Empty(t, k.Resource())
		assert.Empty(t, k.Value())
		held, cancel := k.Context(t.Context())
		require.ErrorIs(t, context.Cause(held), redlock.ErrUnlocked)
		cancel()
		require.ErrorIs(t, k.Unlock(nil), redlock.ErrInvalidArgument) //nolint:staticcheck // what is tested
	}
}
