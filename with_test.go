package redlock_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

var errBody = errors.New("body failed")

func TestWithReleasesAfterFnAndReturnsItsErrorAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		for _, want := range []error{nil, errBody} {
			var k *redlock.Lock
			got := l.With(t.Context(), "a", ttl, func(ctx context.Context, lock *redlock.Lock) error {
				k = lock
				assert.NoError(t, ctx.Err())
				assert.True(t, lock.Valid())
				requireLocked(t, lock, nodes...)
				return want
			}, func(err error) { assert.NoError(t, err, "no news") })
			assert.Equal(t, want, got)
			assert.False(t, k.Valid())
			requireFree(t, nodes...)
			require.NoError(t, k.Unlock(t.Context()))
		}
	})
}

func TestWithReleasesAnExtendedLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		require.NoError(t, newLocker(t, nodes).With(t.Context(), "a", ttl, func(ctx context.Context, lock *redlock.Lock) error {
			time.Sleep(8 * time.Second)
			require.NoError(t, lock.Extend(ctx, ttl))
			time.Sleep(8 * time.Second)
			return ctx.Err()
		}, nil))
		requireFree(t, nodes...)
	})
}

func TestWithReturnsLocksErrorIfFnWasNotCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		lock(t, newLocker(t, nodes))
		err := newLocker(t, nodes).With(t.Context(), "a", ttl, func(context.Context, *redlock.Lock) error {
			t.Error("called")
			return nil
		}, func(error) { t.Error("called") }, redlock.WithRetry(0, 0))
		require.ErrorIs(t, err, redlock.ErrContended)
	})
}

func TestWithReleasesOnPanicAndGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		assert.PanicsWithValue(t, "boom", func() {
			_ = l.With(t.Context(), "a", ttl, func(context.Context, *redlock.Lock) error { panic("boom") }, nil)
		})
		requireFree(t, nodes...)

		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = l.With(t.Context(), "a", ttl, func(context.Context, *redlock.Lock) error {
				runtime.Goexit()
				return nil
			}, nil)
		}()
		<-ended
		requireFree(t, nodes...)
	})
}

func TestWithReleasesUnderACancelledContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		ctx, cancel := context.WithCancel(t.Context())
		err := newLocker(t, nodes).With(ctx, "a", ttl, func(ctx context.Context, _ *redlock.Lock) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}, func(err error) { assert.NoError(t, err) })
		assert.Equal(t, context.Canceled, err)
		requireFree(t, nodes...)
	})
}

func TestWithReportsALossThatFnDidNotSee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		for _, want := range []error{nil, errBody} {
			err := l.With(t.Context(), "a", ttl, func(ctx context.Context, _ *redlock.Lock) error {
				<-ctx.Done()
				require.ErrorIs(t, context.Cause(ctx), redlock.ErrLockLost)
				time.Sleep(time.Second)
				return want
			}, func(error) { t.Error("that is no news") })
			require.ErrorIs(t, err, redlock.ErrLockLost)
			if want != nil {
				require.ErrorIs(t, err, want)
			}
		}
	})
}

func TestWithTellsOnUnlockErrOnceWhileTheResultStands(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(nodes []*node)
		want  error
	}{
		"too few nodes answer":   {func(nodes []*node) { nodes[0].SetError("ERR broken"); nodes[1].SetError("ERR broken") }, redlock.ErrNoQuorum},
		"the lock has been gone": {func(nodes []*node) { nodes[0].Del("a"); nodes[1].Del("a") }, redlock.ErrLockLost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				var told []error
				err := newLocker(t, nodes).With(t.Context(), "a", ttl, func(context.Context, *redlock.Lock) error {
					synctest.Wait()
					c.spoil(nodes)
					return errBody
				}, func(err error) { told = append(told, err) })
				assert.Equal(t, errBody, err)
				require.Len(t, told, 1)
				require.ErrorIs(t, told[0], c.want)
			})
		})
	}
}

func TestWithIgnoresTheReleasesErrorWithoutAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		require.NoError(t, newLocker(t, nodes).With(t.Context(), "a", ttl, func(context.Context, *redlock.Lock) error {
			nodes[0].Del("a")
			return nil
		}, nil))
	})
}

func TestAPanicInOnUnlockErrComesAfterTheCleanUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		var held context.Context
		assert.PanicsWithValue(t, "handler", func() {
			//nolint:contextcheck // the context is kept to see that it ends
			_ = l.With(t.Context(), "a", ttl, func(ctx context.Context, _ *redlock.Lock) error {
				held = ctx //nolint:fatcontext // likewise
				synctest.Wait()
				nodes[0].Del("a")
				nodes[1].Del("a")
				return nil
			}, func(error) { panic("handler") })
		})
		require.Error(t, held.Err())
		requireFree(t, nodes...)
	})
}

func TestWithAcceptsALockThatFnUnlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		require.NoError(t, newLocker(t, nodes).With(t.Context(), "a", ttl, func(ctx context.Context, lock *redlock.Lock) error {
			require.NoError(t, lock.Unlock(ctx))
			require.ErrorIs(t, context.Cause(ctx), redlock.ErrUnlocked)
			time.Sleep(2 * ttl)
			return nil
		}, func(err error) { t.Error(err) }))
	})
}

func TestMaxWaitInWithBoundsTheWaitingOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		l, other := newLocker(t, nodes), newLocker(t, nodes)
		require.NoError(t, l.With(t.Context(), "a", ttl, func(ctx context.Context, _ *redlock.Lock) error {
			time.Sleep(5 * time.Second)
			err := other.With(ctx, "a", ttl, func(context.Context, *redlock.Lock) error { return nil }, nil,
				redlock.WithMaxWait(time.Second))
			require.ErrorIs(t, err, redlock.ErrContended)
			return ctx.Err()
		}, nil, redlock.WithMaxWait(time.Second)))
	})
}

func TestWithSendsNothingForBadArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		l := newLocker(t, nodes)
		body := func(context.Context, *redlock.Lock) error { t.Error("called"); return nil }
		over, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, l.With(t.Context(), "a", ttl, nil, nil), redlock.ErrInvalidArgument)
		require.ErrorIs(t, l.With(t.Context(), "", ttl, body, nil), redlock.ErrInvalidArgument)
		require.ErrorIs(t, l.With(t.Context(), "a", 10, body, nil), redlock.ErrInvalidArgument)
		require.ErrorIs(t, l.With(t.Context(), "a", ttl, body, nil, nil), redlock.ErrInvalidArgument)
		require.ErrorIs(t, l.With(over, "a", ttl, body, nil), context.Canceled)
		assert.Zero(t, nodes[0].commands())
	})
}
