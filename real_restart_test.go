package redlock_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

func TestLockOutlivesTheRestartOfEveryNodeAndStaysExclusive(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 3)
	l, rival := rig.locker(t), rig.other(t)
	lock, err := l.Lock(t.Context(), "k", realTTL)
	require.NoError(t, err)
	drainCalls(t, l) // the rival could take the third node first: a bare majority can't spare one
	require.Equal(t, 3, rig.holders(t, "k", lock.Value()))

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
			_, err := rival.TryLock(t.Context(), "k", realTTL)
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
		for node, s := range rig.servers {
			s.Kill()
			require.NoError(t, lock.Extend(t.Context(), realTTL), "with node %d down", node)
			s.Restart()
			require.Empty(t, s.Client(t).Get(t.Context(), "none").Val())
			extends := 0
			for ; rig.get(t, node, "k") != lock.Value(); extends++ {
				require.NoError(t, lock.Extend(t.Context(), realTTL), "with node %d empty", node)
				require.Less(t, extends, 10_000)
			}
			t.Logf("node %d has the key again after %d extensions", node, extends)
			require.NoError(t, lock.Extend(t.Context(), realTTL))
			drainCalls(t, l)
			require.True(t, lock.Valid())
		}
	}
	seen := tries.Load()
	require.Eventually(t, func() bool { return tries.Load() > seen+10 || len(stopped) > 0 }, realPatience, realTick)
	close(stop)
	require.NoError(t, <-stopped)
	t.Logf("the rival was refused %d times, %d times by too few nodes", contended.Load(), noQuorum.Load())
	require.NoError(t, lock.Unlock(t.Context()))
	drain(t, l)
	drain(t, rival)
	rig.requireEmpty(t, realTTL/3)
}

func TestExtendOfAWipedLockSaysLostAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3, 5} {
		rig := newRealRig(t, n)
		l := rig.locker(t)
		lock, err := l.Lock(t.Context(), "k", realTTL)
		require.NoError(t, err)
		drainCalls(t, l)
		for _, c := range rig.direct {
			require.NoError(t, c.FlushAll(t.Context()).Err())
		}
		ctx, cancel := lock.Context(t.Context())
		require.ErrorIs(t, lock.Extend(t.Context(), realTTL), redlock.ErrLockLost, "%d nodes", n)
		<-ctx.Done()
		cancel()
		require.ErrorIs(t, lock.Unlock(t.Context()), redlock.ErrLockLost, "%d nodes", n)
		drain(t, l)
		require.Zero(t, rig.keys(t), "%d nodes", n)
	}
}

func TestMinorityThatDiesAfterTheGrantDoesNoHarm(t *testing.T) {
	t.Parallel()
	for _, n := range []int{3, 5} {
		rig := newRealRig(t, n)
		l := rig.locker(t)
		lock, err := l.Lock(t.Context(), "k", realTTL)
		require.NoError(t, err)
		drainCalls(t, l)
		for _, s := range rig.servers[:n/2] {
			s.Kill()
		}
		for range 3 {
			start := time.Now()
			require.NoError(t, lock.Extend(t.Context(), realTTL), "%d of %d dead", n/2, n)
			assert.Less(t, time.Since(start), 3*time.Second)
		}
		start := time.Now()
		require.NoError(t, lock.Unlock(t.Context()), "%d of %d dead", n/2, n)
		assert.Less(t, time.Since(start), 3*time.Second)
		lockOnce(t, l, "another")
		drain(t, l)
		for i := n / 2; i < n; i++ {
			require.Empty(t, rig.get(t, i, "k"))
		}
	}
}
