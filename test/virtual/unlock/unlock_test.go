package unlock_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

func TestUnlockRemovesTheValueFromEveryNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		require.NoError(t, k.Unlock(t.Context()))
		assert.False(t, k.Valid())
		rig.RequireFree(t, nodes...)
	})
}

func TestUnlockingTwiceIsNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		require.NoError(t, k.Unlock(t.Context()))
		sent := nodes[0].Commands()
		require.NoError(t, k.Unlock(t.Context()))
		assert.Equal(t, sent, nodes[0].Commands())
	})
}

func TestUnlockReturnsAsSoonAsAMajorityHasRemovedTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 5)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		k := rig.Lock(t, l)
		synctest.Wait()
		nodes[3].Freeze()
		nodes[4].Freeze()
		start := time.Now()
		require.NoError(t, k.Unlock(t.Context()))
		assert.Zero(t, time.Since(start))

		for range 20 { // the release still under way never refuses the next one
			k, err := l.TryLock(t.Context(), "a", rig.TTL)
			require.NoError(t, err)
			require.NoError(t, k.Unlock(t.Context()))
		}
		assert.Zero(t, time.Since(start))
		nodes[3].Thaw()
		nodes[4].Thaw()
		synctest.Wait()
		rig.RequireFree(t, nodes...)
	})
}

func TestUnlockOfAnExpiredLockThatNobodyTookIsNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		time.Sleep(rig.TTL - rig.Drift + time.Millisecond)
		require.False(t, k.Valid())
		require.NoError(t, k.Unlock(t.Context()), "the nodes decide, not the clock")
		rig.RequireFree(t, nodes...)
	})
}

func TestUnlockOfALockThatIsGoneIsErrLockLostAfterOneRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		time.Sleep(rig.TTL)
		thief := rig.Lock(t, rig.NewLocker(t, nodes))
		start := time.Now()
		err := k.Unlock(t.Context())
		require.ErrorIs(t, err, redlock.ErrLockLost)
		assert.Zero(t, time.Since(start))
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost, "again")
		rig.RequireLocked(t, thief, nodes...)
	})
}

func TestUnlockWithoutAQuorumFailsAndCanBeRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k := rig.Lock(t, l)
		synctest.Wait()
		nodes[0].SetError("ERR broken")
		nodes[1].SetError("ERR broken")
		err := k.Unlock(t.Context())
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.NotErrorIs(t, err, redlock.ErrLockLost)
		assert.Contains(t, err.Error(), "ERR broken")
		assert.False(t, k.Valid())
		require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrUnlocked)

		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrNoQuorum)
		nodes[0].SetError("")
		nodes[1].SetError("")
		require.NoError(t, k.Unlock(t.Context()))
		rig.RequireFree(t, nodes...)
	})
}

func TestUnlockWithoutAnswersGivesUpAfterTheNodeTimeoutAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		k := rig.Lock(t, l)
		synctest.Wait()
		for _, n := range nodes {
			n.Freeze()
		}
		start := time.Now()
		err := k.Unlock(t.Context())
		assert.Equal(t, time.Second, time.Since(start))
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.Contains(t, err.Error(), "no answer within 1s")
		synctest.Wait() // that is told
		open := seam.OpenCalls(l)
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrNoQuorum, "waits again")
		synctest.Wait()
		// By another connection, which counts as a call, and as what has it made.
		assert.LessOrEqual(t, seam.OpenCalls(l), open+2*len(nodes), "what is under way is sent once more at most")
		for _, n := range nodes {
			n.Thaw()
		}
		require.NoError(t, k.Unlock(t.Context()))
		rig.RequireFree(t, nodes...)
	})
}

func TestUnlockDoesNotWaitForASilentNodeThatCouldTellALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		k := rig.Lock(t, l)
		nodes[2].Freeze()
		other, err := l.TryLock(t.Context(), "b", rig.TTL)
		require.NoError(t, err)
		time.Sleep(time.Second) // now node 2 is silent
		nodes[1].Del("a")
		start := time.Now()
		require.NoError(t, k.Unlock(t.Context()), "a majority has answered")
		assert.Zero(t, time.Since(start))
		require.NoError(t, other.Unlock(t.Context()))
		nodes[2].Thaw()
	})
}

func TestUnlockUnderACancelledContextStillReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		for _, n := range nodes {
			n.Slow(time.Millisecond)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := k.Unlock(ctx)
		require.ErrorIs(t, err, context.Canceled)
		assert.NotErrorIs(t, err, redlock.ErrNoQuorum)
		require.NoError(t, k.Unlock(t.Context()), "joins the release under way")
		time.Sleep(time.Second)
		rig.RequireFree(t, nodes...)
	})
}

func TestConcurrentUnlocksShareOneRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		k := rig.Lock(t, l)
		synctest.Wait()
		sent := nodes[0].Commands()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { assert.NoError(t, k.Unlock(t.Context())) })
		}
		wg.Wait()
		synctest.Wait()
		assert.Equal(t, sent+1, nodes[0].Commands())
	})
}

func TestAReleaseFollowsTheAcquireThatItUndoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		nodes[2].Slow(500 * time.Millisecond)
		k := rig.Lock(t, l)
		require.NoError(t, k.Unlock(t.Context()))
		time.Sleep(400 * time.Millisecond)
		require.False(t, nodes[2].Exists("a"))
		time.Sleep(200 * time.Millisecond)
		require.True(t, nodes[2].Exists("a"), "the late grant")
		time.Sleep(500 * time.Millisecond)
		rig.RequireFree(t, nodes...)
	})
}

func TestALockThatIsNeverUnlockedLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		nodes[2].Freeze()
		k, err := l.Lock(t.Context(), "a", time.Second)
		require.NoError(t, err)
		held, cancel := k.Context(t.Context())
		_ = cancel // a dropped cancel
		time.Sleep(time.Second)
		require.ErrorIs(t, context.Cause(held), redlock.ErrLockLost)
		nodes[2].Thaw() // the acquire that waited there is undone
		time.Sleep(100 * time.Millisecond)
		rig.RequireFree(t, nodes...)
		require.NoError(t, l.Shutdown(t.Context()))
	})
}

func TestANilOrZeroLockIsOneThatHasBeenUnlocked(t *testing.T) {
	for _, k := range []*redlock.Lock{nil, {}} {
		require.NoError(t, k.Unlock(t.Context()))
		require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrUnlocked)
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
