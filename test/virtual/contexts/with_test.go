package contexts_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestWithReleasesAfterFnAndReturnsItsErrorAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		for _, want := range []error{nil, rig.ErrBody} {
			var k *redlock.Lock
			got := l.With(t.Context(), "a", rig.TTL, func(ctx context.Context, lock *redlock.Lock) error {
				k = lock
				assert.NoError(t, ctx.Err())
				assert.True(t, lock.Valid())
				rig.RequireLocked(t, lock, nodes...)
				return want
			}, func(err error) { assert.NoError(t, err, "no news") })
			assert.Equal(t, want, got)
			assert.False(t, k.Valid())
			rig.RequireFree(t, nodes...)
			require.NoError(t, k.Unlock(t.Context()))
		}
	})
}

func TestWithReleasesAnExtendedLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		require.NoError(t, rig.NewLocker(t, nodes).With(t.Context(), "a", rig.TTL, func(ctx context.Context, lock *redlock.Lock) error {
			time.Sleep(8 * time.Second)
			require.NoError(t, lock.Extend(ctx, rig.TTL))
			time.Sleep(8 * time.Second)
			return ctx.Err()
		}, nil))
		rig.RequireFree(t, nodes...)
	})
}

func TestWithReturnsLocksErrorIfFnWasNotCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		rig.Lock(t, rig.NewLocker(t, nodes))
		err := rig.NewLocker(t, nodes).With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error {
			t.Error("called")
			return nil
		}, func(error) { t.Error("called") }, redlock.WithRetry(0, 0))
		require.ErrorIs(t, err, redlock.ErrContended)
	})
}

func TestWithReleasesOnPanicAndGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		assert.PanicsWithValue(t, "boom", func() {
			_ = l.With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error { panic("boom") }, nil)
		})
		rig.RequireFree(t, nodes...)

		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = l.With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error {
				runtime.Goexit()
				return nil
			}, nil)
		}()
		<-ended
		rig.RequireFree(t, nodes...)
	})
}

func TestWithReleasesUnderACancelledContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		ctx, cancel := context.WithCancel(t.Context())
		err := rig.NewLocker(t, nodes).With(ctx, "a", rig.TTL, func(ctx context.Context, _ *redlock.Lock) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}, func(err error) { assert.NoError(t, err) })
		assert.Equal(t, context.Canceled, err)
		rig.RequireFree(t, nodes...)
	})
}

func TestWithReportsALossThatFnDidNotSee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		for _, want := range []error{nil, rig.ErrBody} {
			err := l.With(t.Context(), "a", rig.TTL, func(ctx context.Context, _ *redlock.Lock) error {
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
		spoil func(nodes []*rig.Node)
		want  error
	}{
		"too few nodes answer":   {func(nodes []*rig.Node) { nodes[0].SetError("ERR broken"); nodes[1].SetError("ERR broken") }, redlock.ErrNoQuorum},
		"the lock has been gone": {func(nodes []*rig.Node) { nodes[0].Del("a"); nodes[1].Del("a") }, redlock.ErrLockLost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				var told []error
				err := rig.NewLocker(t, nodes).With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error {
					synctest.Wait()
					c.spoil(nodes)
					return rig.ErrBody
				}, func(err error) { told = append(told, err) })
				assert.Equal(t, rig.ErrBody, err)
				require.Len(t, told, 1)
				require.ErrorIs(t, told[0], c.want)
			})
		})
	}
}

func TestWithIgnoresTheReleasesErrorWithoutAHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		require.NoError(t, rig.NewLocker(t, nodes).With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error {
			nodes[0].Del("a")
			return nil
		}, nil))
	})
}

func TestAPanicInOnUnlockErrComesAfterTheCleanUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		var held context.Context
		assert.PanicsWithValue(t, "handler", func() {
			//nolint:contextcheck // the context is kept to see that it ends
			_ = l.With(t.Context(), "a", rig.TTL, func(ctx context.Context, _ *redlock.Lock) error {
				held = ctx //nolint:fatcontext // likewise
				synctest.Wait()
				nodes[0].Del("a")
				nodes[1].Del("a")
				return nil
			}, func(error) { panic("handler") })
		})
		require.Error(t, held.Err())
		rig.RequireFree(t, nodes...)
	})
}

func TestWithAcceptsALockThatFnUnlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		require.NoError(t, rig.NewLocker(t, nodes).With(t.Context(), "a", rig.TTL, func(ctx context.Context, lock *redlock.Lock) error {
			require.NoError(t, lock.Unlock(ctx))
			require.ErrorIs(t, context.Cause(ctx), redlock.ErrUnlocked)
			time.Sleep(2 * rig.TTL)
			return nil
		}, func(err error) { t.Error(err) }))
	})
}

func TestMaxWaitInWithBoundsTheWaitingOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l, other := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
		require.NoError(t, l.With(t.Context(), "a", rig.TTL, func(ctx context.Context, _ *redlock.Lock) error {
			time.Sleep(5 * time.Second)
			err := other.With(ctx, "a", rig.TTL, func(context.Context, *redlock.Lock) error { return nil }, nil,
				redlock.WithMaxWait(time.Second))
			require.ErrorIs(t, err, redlock.ErrContended)
			return ctx.Err()
		}, nil, redlock.WithMaxWait(time.Second)))
	})
}

func TestWithSendsNothingForBadArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		body := func(context.Context, *redlock.Lock) error { t.Error("called"); return nil }
		over, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, l.With(t.Context(), "a", rig.TTL, nil, nil), redlock.ErrInvalidArgument)
		require.ErrorIs(t, l.With(t.Context(), "", rig.TTL, body, nil), redlock.ErrInvalidArgument)
		require.ErrorIs(t, l.With(t.Context(), "a", 10, body, nil), redlock.ErrInvalidArgument)
		require.ErrorIs(t, l.With(t.Context(), "a", rig.TTL, body, nil, nil), redlock.ErrInvalidArgument)
		require.ErrorIs(t, l.With(over, "a", rig.TTL, body, nil), context.Canceled)
		assert.Zero(t, nodes[0].Commands())
	})
}
