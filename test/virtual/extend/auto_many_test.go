package extend_test

import (
	"strconv"
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

// admitted is how many automatic extensions begin at the same time.
const admitted = 256

// keepMany takes locks that are extended automatically, all at one instant, for
// 15 s.
func keepMany(t *testing.T, l *redlock.Locker, n int) []*redlock.Lock {
	t.Helper()
	rig.WarmUp(t, l)
	locks := make([]*redlock.Lock, n)
	for i := range locks {
		k, err := l.Lock(t.Context(), strconv.Itoa(i), 15*time.Second, rig.Forever)
		require.NoError(t, err)
		locks[i] = k
	}
	synctest.Wait()
	return locks
}

// openConnections has the clients open n connections to each node, so that
// commands take one exchange from then on.
func openConnections(t *testing.T, l *redlock.Locker, nodes []*rig.Node, n int) {
	t.Helper()
	for _, n := range nodes {
		n.Slow(time.Millisecond)
	}
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			k, err := l.TryLock(t.Context(), "warm up "+strconv.Itoa(i), time.Minute)
			if assert.NoError(t, err) {
				assert.NoError(t, k.Unlock(t.Context()))
			}
		})
	}
	all.Wait()
	synctest.Wait()
	for _, n := range nodes {
		n.Slow(0)
	}
}

func unlockAll(t *testing.T, locks []*redlock.Lock) {
	t.Helper()
	for _, k := range locks {
		require.NoError(t, k.Unlock(t.Context()), k.Resource())
	}
}

func TestLocksThatFallDueTogetherAreExtendedSomeAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const locks, latency = 2*admitted + 50, 20 * time.Millisecond
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		openConnections(t, l, nodes, 2*admitted)
		held := keepMany(t, l, locks)
		before := nodes[0].Commands()
		for _, n := range nodes {
			n.Slow(latency)
		}
		time.Sleep(5*time.Second + time.Millisecond)
		for sent := min(admitted, locks); ; sent = min(sent+admitted, locks) {
			synctest.Wait()
			assert.LessOrEqual(t, seam.OpenCalls(l), (len(nodes)+1)*admitted)
			assert.Equal(t, sent, nodes[0].Commands()-before)
			if sent == locks {
				break
			}
			time.Sleep(latency)
		}
		time.Sleep(latency)
		for _, k := range held {
			assert.Greater(t, time.Until(k.Until()), 14*time.Second)
		}
		time.Sleep(15 * time.Second)
		unlockAll(t, held)
	})
}

func TestAFrozenMajorityKeepsNoLockFromBeingTried(t *testing.T) {
	rig.Long(t)
	synctest.Test(t, func(t *testing.T) {
		const locks, timeout = 2*admitted + 50, 100 * time.Millisecond
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithNodeTimeout(timeout))
		held := keepMany(t, l, locks)
		before := nodes[2].Commands()
		nodes[0].Freeze()
		nodes[1].Freeze()
		time.Sleep(5*time.Second + 2*timeout + time.Millisecond)
		assert.GreaterOrEqual(t, nodes[2].Commands()-before, locks)
		time.Sleep(4 * time.Second)
		nodes[0].Thaw()
		nodes[1].Thaw()
		time.Sleep(15 * time.Second)
		unlockAll(t, held)
	})
}

func TestALockThatWaitsForTooLongIsExtendedOutOfTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithNodeTimeout(8*time.Second))
		held := keepMany(t, l, admitted+50)
		before := nodes[2].Commands()
		nodes[0].Freeze()
		nodes[1].Freeze()
		time.Sleep(9900 * time.Millisecond) // half of the 9.848 s that it was valid for when it was due are left
		assert.Equal(t, admitted, nodes[2].Commands()-before)
		time.Sleep(25 * time.Millisecond)
		synctest.Wait()
		assert.Equal(t, admitted+50, nodes[2].Commands()-before)
		nodes[0].Thaw()
		nodes[1].Thaw()
		time.Sleep(15 * time.Second)
		unlockAll(t, held)
	})
}

func TestALockThatWaitsToBeExtendedCanEndOrBeExtendedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithNodeTimeout(8*time.Second))
		held := keepMany(t, l, admitted+2)
		nodes[0].Freeze()
		nodes[1].Freeze()
		time.Sleep(6 * time.Second) // those that wait are the last two, and nothing of theirs is under way
		waiting := held[admitted:]
		nodes[0].Thaw()
		nodes[1].Thaw()
		require.NoError(t, waiting[0].Unlock(t.Context()))
		require.NoError(t, waiting[1].Extend(t.Context(), time.Minute))
		synctest.Wait()
		before := nodes[2].Commands()
		time.Sleep(3 * time.Second)
		assert.Equal(t, before, nodes[2].Commands(), "the others are extended, and these need not be")
		assert.Greater(t, time.Until(waiting[1].Until()), 55*time.Second)
		time.Sleep(time.Minute)
		for i, n := range nodes {
			assert.False(t, n.Exists(waiting[0].Resource()), "node %d", i)
		}
		unlockAll(t, append(held[:admitted], waiting[1]))
	})
}

func TestAnExtendThatSucceedsAfterItsShorterTTLIsOverEndsTheLockThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		var jump atomic.Int64
		seam.SetWallJump(l, func() time.Duration { return time.Duration(jump.Load()) })
		rig.WarmUp(t, l)
		k := rig.Lock(t, l)
		end := time.Now().Add(200 * time.Millisecond)
		for _, n := range nodes {
			n.OnSend(func() { jump.Store(int64(time.Second)) }) // the machine was suspended
		}
		require.ErrorIs(t, k.Extend(t.Context(), 200*time.Millisecond), redlock.ErrLockLost)
		assert.False(t, k.Until().After(end))
		for _, n := range nodes {
			n.OnSend(nil)
		}
		synctest.Wait()
		rig.RequireFree(t, nodes...)
	})
}

func TestALockThatReachedItsLimitBeforeItsFirstRoundHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const long = time.Hour // due after 20 minutes
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithNodeTimeout(2*time.Second))
		rig.WarmUp(t, l)
		var limited []*redlock.Lock
		for i := range admitted {
			k, err := l.Lock(t.Context(), "limited "+strconv.Itoa(i), long, redlock.WithAutoExtend(long/3+time.Second/2), redlock.WithRetry(0, 0))
			require.NoError(t, err)
			limited = append(limited, k)
		}
		synctest.Wait()
		time.Sleep(long/3 - time.Second)
		nodes[0].Freeze()
		nodes[1].Freeze()
		var all sync.WaitGroup
		for _, k := range limited {
			all.Go(func() { assert.ErrorIs(t, k.Extend(t.Context(), long+time.Minute), redlock.ErrNoQuorum) })
		}
		all.Wait()
		nodes[0].Thaw()
		nodes[1].Thaw()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Zero(t, seam.OpenCalls(l)-len(limited), "one renewal each waits, all nodes are well")
		k, err := l.Lock(t.Context(), "a", 15*time.Second, rig.Forever)
		require.NoError(t, err)
		until := k.Until()
		time.Sleep(5*time.Second + time.Millisecond)
		synctest.Wait()
		assert.True(t, k.Until().After(until), "it was not extended when it was due")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		assert.True(t, k.Until().After(until), "nor out of turn")
		require.NoError(t, k.Unlock(t.Context()))
		unlockAll(t, limited)
	})
}

// With a drift factor over 1/3 the validity is over before two thirds of the TTL.
func TestALockOfLargeDriftLeavesTheQueueBeforeItsValidityEnds(t *testing.T) {
	rig.Long(t)
	synctest.Test(t, func(t *testing.T) {
		const locks = 3*admitted + 1
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithDriftFactor(0.4), redlock.WithNodeTimeout(2*time.Second))
		openConnections(t, l, nodes, locks)
		held := keepMany(t, l, locks)
		for _, n := range nodes {
			n.Slow(time.Second)
		}
		time.Sleep(14 * time.Second)
		lost := 0
		for _, k := range held {
			if !k.Valid() {
				lost++
			}
		}
		assert.Zero(t, lost, "of %d; each takes a second of the four there are", locks)
		for _, n := range nodes {
			n.Slow(0)
		}
		time.Sleep(5 * time.Second)
		for _, k := range held {
			_ = k.Unlock(t.Context())
		}
	})
}
