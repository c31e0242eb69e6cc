package waiting_test

import (
	"context"
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

func TestRetryAfterIsWhatTheNodesWouldTell(t *testing.T) {
	const trip = 4 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l, other := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		rig.WarmUp(t, other)
		for _, n := range nodes {
			n.Slow(trip)
		}
		same := func(of try, free time.Time) {
			t.Helper()
			here := refusedHere(t, l, nodes, of).RetryAfter
			assert.Equal(t, time.Until(free), here)
			assert.InDelta(t, refusedThere(t, other, nodes, of).RetryAfter, here, float64(2*trip))
		}
		k, err := l.Lock(t.Context(), "a", 10*time.Second, rig.OneTry)
		require.NoError(t, err)
		free := time.Now().Add(10 * time.Second)
		same(tryOne("a"), free)
		time.Sleep(3 * time.Second)
		same(tryOne("a"), free)
		require.NoError(t, k.Extend(t.Context(), 20*time.Second))
		free = time.Now().Add(20 * time.Second)
		same(tryOne("a"), free)
		time.Sleep(time.Second)
		same(tryOne("a"), free)

		b, err := l.Lock(t.Context(), "b", 40*time.Second)
		require.NoError(t, err)
		longest := time.Now().Add(40 * time.Second)
		z, err := l.Lock(t.Context(), "z", 5*time.Second)
		require.NoError(t, err)
		same(tryAll("a", "b", "c", "z"), longest)
		same(tryAll("a", "c"), free)
		require.NoError(t, b.Unlock(t.Context()))
		require.NoError(t, z.Unlock(t.Context()))
	})
}

func TestATryAfterRetryAfterIsGranted(t *testing.T) {
	for name, extended := range map[string]bool{"as it was granted": false, "after an extension": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l := rig.NewLocker(t, nodes)
				rig.WarmUp(t, l)
				for _, n := range nodes {
					n.Slow(4 * time.Millisecond)
				}
				k := rig.Lock(t, l)
				if extended {
					time.Sleep(time.Second)
					require.NoError(t, k.Extend(t.Context(), rig.TTL))
				}
				for _, n := range nodes {
					n.Slow(0) // what comes now comes sooner
				}
				time.Sleep(refusedHere(t, l, nodes, tryOne("a")).RetryAfter)
				grantedThere(t, l, nodes, tryOne("a"))
			})
		})
	}
}

// The machine was suspended, and no timer has fired since.
func TestALockPastItsValidityRefusesNobodyWithoutTheNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		var jump atomic.Int64
		seam.SetWallJump(l, func() time.Duration { return time.Duration(jump.Load()) })
		k := rig.Lock(t, l)
		jump.Store(int64(rig.TTL - rig.Drift - time.Millisecond))
		assert.Equal(t, rig.Drift+time.Millisecond, refusedHere(t, l, nodes, tryOne("a")).RetryAfter)
		jump.Store(int64(rig.TTL - rig.Drift))
		refusedThere(t, l, nodes, tryOne("a"))
		refusedThere(t, l, nodes, tryAll("a", "b"))
		for _, n := range nodes {
			n.Del("a")
		}
		grantedThere(t, l, nodes, tryAll("a", "b"))
		next, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.NoError(t, err)
		refusedHere(t, l, nodes, tryOne("a")) // by the next one, beside the one that is as good as over
		require.NoError(t, next.Unlock(t.Context()))
		grantedThere(t, l, nodes, tryOne("a"))
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
		synctest.Wait()
		assert.Zero(t, seam.Queues(l))
	})
}

func TestATryUnderALockOfItsLockerIsCheckedAsEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k := rig.Lock(t, l)
		before := rig.Sent(nodes)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := tryOne("a")(ctx, l)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, redlock.ErrContended)
		_, err = l.TryLock(t.Context(), "a", 0)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		require.NotErrorIs(t, err, redlock.ErrContended)
		late, stop := context.WithCancel(t.Context())
		stop()
		require.ErrorIs(t, l.Shutdown(late), context.Canceled)
		_, err = tryAll("a", "b")(t.Context(), l)
		require.ErrorIs(t, err, redlock.ErrShutdown)
		require.NotErrorIs(t, err, redlock.ErrContended)
		synctest.Wait()
		assert.Zero(t, rig.Sent(nodes)-before)
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestATryWhileTheReleaseIsUnderWayComesAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		k := rig.Lock(t, l)
		for _, n := range nodes {
			n.Slow(4 * time.Millisecond)
		}
		done := make(chan error, 1)
		go func() { done <- k.Unlock(t.Context()) }()
		synctest.Wait()
		require.Empty(t, done)
		grantedThere(t, l, nodes, tryOne("a"))
		require.NoError(t, <-done)
	})
}
