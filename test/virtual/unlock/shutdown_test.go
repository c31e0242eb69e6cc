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
	"github.com/b0401464/redlock/test/rig"
)

func TestAfterShutdownNewCallsFailAndSendNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		require.NoError(t, l.Shutdown(t.Context()))
		require.NoError(t, l.Shutdown(t.Context()), "again")
		_, err := l.Lock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrShutdown)
		_, err = l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrShutdown)
		require.ErrorIs(t, l.With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error {
			t.Error("called")
			return nil
		}, nil), redlock.ErrShutdown)
		assert.Zero(t, nodes[0].Commands())
		require.NoError(t, nodes[0].Client.Ping(t.Context()).Err(), "the clients stay open")
	})
}

func TestShutdownWakesCallersThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		holder := rig.NewLocker(t, nodes)
		k := rig.Lock(t, holder)
		l := rig.NewLocker(t, nodes)
		start := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithRetry(redlock.Forever, time.Hour), redlock.WithJitter(0))
				assert.ErrorIs(t, err, redlock.ErrShutdown)
				assert.Equal(t, time.Second, time.Since(start))
			})
		}
		time.Sleep(time.Second)
		require.NoError(t, l.Shutdown(t.Context()))
		wg.Wait()
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestShutdownWaitsForHeldLocksWhichStayUsable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		start := time.Now()
		unlocked, dropped := rig.Lock(t, l), mustLock(t, l, "b")
		_ = dropped
		time.AfterFunc(3*time.Second, func() { assert.NoError(t, unlocked.Extend(context.Background(), time.Minute)) })
		time.AfterFunc(20*time.Second, func() { assert.NoError(t, unlocked.Unlock(context.Background())) })
		require.NoError(t, l.Shutdown(t.Context()))
		assert.Equal(t, 20*time.Second, time.Since(start))
		rig.RequireFree(t, nodes...)
	})
}

func mustLock(t *testing.T, l *redlock.Locker, resource string) *redlock.Lock {
	t.Helper()
	k, err := l.Lock(t.Context(), resource, rig.TTL)
	require.NoError(t, err)
	return k
}

func TestShutdownTellsWhatIsLeftWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k := rig.Lock(t, l)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := l.Shutdown(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "1 lock held, 0 calls waiting, 0 node calls under way")
		assert.True(t, k.Valid(), "nothing is released under a holder")
		rig.RequireLocked(t, k, nodes...)
		require.NoError(t, k.Unlock(t.Context()))
		require.NoError(t, l.Shutdown(t.Context()))
	})
}

func TestShutdownWaitsForTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		nodes[2].Slow(900 * time.Millisecond)
		k := rig.Lock(t, l)
		require.NoError(t, k.Unlock(t.Context()))
		start := time.Now()
		require.NoError(t, l.Shutdown(t.Context()))
		assert.Equal(t, 1800*time.Millisecond, time.Since(start), "the acquire and its release")
		synctest.Wait()
		rig.RequireFree(t, nodes...)
	})
}

func TestShutdownRefusesBadArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		require.ErrorIs(t, rig.NewLocker(t, nodes).Shutdown(nil), redlock.ErrInvalidArgument) //nolint:staticcheck // what is tested
		for _, l := range []*redlock.Locker{nil, {}} {
			require.ErrorIs(t, l.Shutdown(t.Context()), redlock.ErrInvalidArgument)
		}
	})
}
