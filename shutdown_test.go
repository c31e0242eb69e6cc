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

func TestAfterShutdownNewCallsFailAndSendNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		l := newLocker(t, nodes)
		require.NoError(t, l.Shutdown(t.Context()))
		require.NoError(t, l.Shutdown(t.Context()), "again")
		_, err := l.Lock(t.Context(), "a", ttl)
		require.ErrorIs(t, err, redlock.ErrShutdown)
		assert.NotErrorIs(t, err, redlock.ErrNotAcquired)
		_, err = l.TryLock(t.Context(), "a", ttl)
		require.ErrorIs(t, err, redlock.ErrShutdown)
		require.ErrorIs(t, l.With(t.Context(), "a", ttl, func(context.Context, *redlock.Lock) error {
			t.Error("called")
			return nil
		}, nil), redlock.ErrShutdown)
		assert.Zero(t, nodes[0].commands())
		require.NoError(t, nodes[0].client.Ping(t.Context()).Err(), "the clients stay open")
	})
}

func TestShutdownWakesCallersThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		holder := newLocker(t, nodes)
		k := lock(t, holder)
		l := newLocker(t, nodes)
		start := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := l.Lock(t.Context(), "a", ttl, redlock.WithRetry(redlock.Forever, time.Hour), redlock.WithJitter(0))
				assert.ErrorIs(t, err, redlock.ErrShutdown)
				assert.NotErrorIs(t, err, redlock.ErrNotAcquired)
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
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		start := time.Now()
		unlocked, dropped := lock(t, l), mustLock(t, l, "b")
		_ = dropped
		time.AfterFunc(3*time.Second, func() { assert.NoError(t, unlocked.Extend(context.Background(), time.Minute)) })
		time.AfterFunc(20*time.Second, func() { assert.NoError(t, unlocked.Unlock(context.Background())) })
		require.NoError(t, l.Shutdown(t.Context()))
		assert.Equal(t, 20*time.Second, time.Since(start))
		requireFree(t, nodes...)
	})
}

func mustLock(t *testing.T, l *redlock.Locker, resource string) *redlock.Lock {
	t.Helper()
	k, err := l.Lock(t.Context(), resource, ttl)
	require.NoError(t, err)
	return k
}

func TestShutdownTellsWhatIsLeftWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		k := lock(t, l)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := l.Shutdown(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "1 locks held")
		assert.True(t, k.Valid(), "nothing is released under a holder")
		requireLocked(t, k, nodes...)
		require.NoError(t, k.Unlock(t.Context()))
		require.NoError(t, l.Shutdown(t.Context()))
	})
}

func TestShutdownWaitsForTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		nodes[2].slow(time.Second)
		k := lock(t, l)
		require.NoError(t, k.Unlock(t.Context()))
		start := time.Now()
		require.NoError(t, l.Shutdown(t.Context()))
		assert.Equal(t, 2*time.Second, time.Since(start), "the acquire and its release")
		synctest.Wait()
		requireFree(t, nodes...)
	})
}

func TestShutdownRefusesBadArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		require.ErrorIs(t, newLocker(t, nodes).Shutdown(nil), redlock.ErrInvalidArgument) //nolint:staticcheck // what is tested
		for _, l := range []*redlock.Locker{nil, {}} {
			require.ErrorIs(t, l.Shutdown(t.Context()), redlock.ErrInvalidArgument)
		}
	})
}
