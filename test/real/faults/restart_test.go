package faults_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestLockOutlivesTheRestartOfEveryNodeAndStaysExclusive(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3)
	l, rival := on.Locker(t), on.Other(t)
	lock, err := l.Lock(t.Context(), "k", rig.LongTTL)
	require.NoError(t, err)
	rig.DrainCalls(t, l) // the rival could take the third node first: a bare majority can't spare one
	require.Equal(t, 3, on.Holders(t, "k", lock.Value()))

	var tries, contended, noQuorum atomic.Int64
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			_, err := rival.TryLock(t.Context(), "k", rig.LongTTL)
			tries.Add(1)
			switch {
			case errors.Is(err, redlock.ErrContended):
				contended.Add(1)
			case errors.Is(err, redlock.ErrNoQuorum):
				noQuorum.Add(1)
			case err == nil:
				stopped <- errors.New("the rival has got the lock too")
				return
			default:
				stopped <- err
				return
			}
		}
	}()

	for range 2 { // a node that was armed again counts when the next one goes
		for node, s := range on.Servers {
			s.Kill()
			require.NoError(t, lock.Extend(t.Context(), rig.LongTTL), "with node %d down", node)
			s.Restart()
			require.Empty(t, s.Client(t).Get(t.Context(), "none").Val())
			extends := 0
			for deadline := time.Now().Add(rig.Patience); on.Get(t, node, "k") != lock.Value(); extends++ {
				require.NoError(t, lock.Extend(t.Context(), rig.LongTTL), "with node %d empty", node)
				require.True(t, time.Now().Before(deadline))
			}
			t.Logf("node %d has the key again after %d extensions", node, extends)
			require.NoError(t, lock.Extend(t.Context(), rig.LongTTL))
			rig.DrainCalls(t, l)
			require.True(t, lock.Valid())
		}
	}
	seen := tries.Load()
	require.Eventually(t, func() bool { return tries.Load() > seen+10 || len(stopped) > 0 }, rig.Patience, rig.Tick)
	close(stop)
	require.NoError(t, <-stopped)
	t.Logf("the rival was refused %d times, %d times by too few nodes", contended.Load(), noQuorum.Load())
	require.NoError(t, lock.Unlock(t.Context()))
	rig.Drain(t, l)
	rig.Drain(t, rival)
	on.RequireEmpty(t, rig.LongTTL/3)
}

func TestExtendOfAWipedLockSaysLostAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3, 5} {
		on := rig.NewReal(t, n)
		l := on.Locker(t)
		lock, err := l.Lock(t.Context(), "k", rig.LongTTL)
		require.NoError(t, err)
		rig.DrainCalls(t, l)
		for _, c := range on.Direct {
			require.NoError(t, c.FlushAll(t.Context()).Err())
		}
		ctx, cancel := lock.Context(t.Context())
		require.ErrorIs(t, lock.Extend(t.Context(), rig.LongTTL), redlock.ErrLockLost, "%d nodes", n)
		<-ctx.Done()
		cancel()
		require.ErrorIs(t, lock.Unlock(t.Context()), redlock.ErrLockLost, "%d nodes", n)
		rig.Drain(t, l)
		require.Zero(t, on.Keys(t), "%d nodes", n)
	}
}

func TestMinorityThatDiesAfterTheGrantDoesNoHarm(t *testing.T) {
	t.Parallel()
	for _, n := range []int{3, 5} {
		on := rig.NewReal(t, n)
		l := on.Locker(t)
		lock, err := l.Lock(t.Context(), "k", rig.LongTTL)
		require.NoError(t, err)
		rig.DrainCalls(t, l)
		for _, s := range on.Servers[:n/2] {
			s.Kill()
		}
		for range 3 {
			require.NoError(t, lock.Extend(t.Context(), rig.LongTTL), "%d of %d dead", n/2, n)
		}
		require.NoError(t, lock.Unlock(t.Context()), "%d of %d dead", n/2, n)
		rig.LockOnce(t, l, "another")
		rig.Drain(t, l)
		for i := n / 2; i < n; i++ {
			require.Empty(t, on.Get(t, i, "k"))
		}
	}
}
