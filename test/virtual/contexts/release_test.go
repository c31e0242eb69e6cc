package contexts_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
)

// A willing node says yes to every command.
type willing struct{}

func (willing) Process(_ context.Context, cmd redis.Cmder) error {
	cmd.(interface{ SetVal(v any) }).SetVal(int64(1)) //nolint:forcetypeassert // as every command of the library
	return nil
}

// A watchman is a node that says yes to everything, or that the lock is gone, and calls
// look when it is told to release.
type watchman struct {
	willing
	gone atomic.Bool
	look atomic.Pointer[func()]
}

func (w *watchman) Process(ctx context.Context, cmd redis.Cmder) error {
	if look := w.look.Load(); look != nil && cmd.NoRetry() {
		(*look)()
	}
	if w.gone.Load() {
		cmd.(interface{ SetVal(v any) }).SetVal(int64(-1)) //nolint:forcetypeassert // as every command of the library
		return nil
	}
	return w.willing.Process(ctx, cmd)
}

// watched returns a lock on a watchman that counts, when the release is sent, the contexts
// that have not ended: many, so that it takes a while to end them, and one with many
// derived from it.
func watched(t *testing.T, w *watchman, opts ...redlock.LockOption) (k *redlock.Lock, all []context.Context, late *atomic.Int64) {
	t.Helper()
	l, err := redlock.New([]redlock.Client{w})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, l.Shutdown(context.Background())) })
	k, err = l.Lock(t.Context(), "a", time.Minute, opts...)
	require.NoError(t, err)
	for range 10_000 {
		ctx, cancel := k.Context(t.Context())
		_ = cancel // it ends with the lock
		all = append(all, ctx)
	}
	for range 10_000 {
		ctx, cancel := context.WithCancel(all[0]) //nolint:gosec // it ends with the lock
		_ = cancel
		all = append(all, ctx)
	}
	late = new(atomic.Int64)
	look := func() { late.Add(int64(alive(all))) }
	w.look.Store(&look)
	return k, all, late
}

func TestContextsHaveEndedWhenTheReleaseIsSentWhoeverSendsIt(t *testing.T) {
	for name, release := range map[string]func(t *testing.T, w *watchman, k *redlock.Lock){
		"the second Unlock": func(t *testing.T, _ *watchman, k *redlock.Lock) {
			t.Helper()
			var first sync.WaitGroup
			defer first.Wait()
			first.Go(func() { assert.NoError(t, k.Unlock(t.Context())) })
			for k.Valid() { // until the first one has begun
				runtime.Gosched()
			}
			require.NoError(t, k.Unlock(t.Context()))
		},
		"two at once": func(t *testing.T, _ *watchman, k *redlock.Lock) {
			t.Helper()
			var both sync.WaitGroup
			defer both.Wait()
			for range 2 {
				both.Go(func() { assert.NoError(t, k.Unlock(t.Context())) })
			}
		},
		"an extension that finds the lock lost": func(t *testing.T, w *watchman, k *redlock.Lock) {
			t.Helper()
			w.gone.Store(true)
			require.ErrorIs(t, k.Extend(t.Context(), time.Minute), redlock.ErrLockLost)
			require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 5 {
				w := new(watchman)
				k, all, late := watched(t, w)
				release(t, w, k)
				require.Zero(t, late.Load(), "of %d contexts", len(all))
			}
		})
	}
}

func TestContextsHaveEndedWhenAnUnlockAtTheLimitSendsTheRelease(t *testing.T) {
	for range 5 {
		k, all, late := watched(t, new(watchman), redlock.WithAutoExtend(100*time.Millisecond))
		for !isDone(all[0]) { // until the limit is reached
			runtime.Gosched()
		}
		require.NoError(t, k.Unlock(t.Context()))
		require.Zero(t, late.Load(), "of %d contexts", len(all))
	}
}

func TestTheSameLockerCanLockAgainAtOnceAfterTheSecondOfTwoUnlocks(t *testing.T) {
	w := new(watchman)
	l, err := redlock.New([]redlock.Client{w})
	require.NoError(t, err)
	for range 2000 {
		k, err := l.Lock(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		var first sync.WaitGroup
		first.Go(func() { assert.NoError(t, k.Unlock(t.Context())) })
		for k.Valid() { // until the first one has begun
			runtime.Gosched()
		}
		require.NoError(t, k.Unlock(t.Context()))
		require.Zero(t, seam.Queues(l), "the resource is still taken here")
		first.Wait()
	}
	require.NoError(t, l.Shutdown(t.Context()))
}
