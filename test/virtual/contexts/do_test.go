package contexts_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestALockerOfASingleNodeIsCheckedAsAnyOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l, err := redlock.NewSingle(nodes[0].Client, redlock.WithRetry(0, 0))
		require.NoError(t, err)
		k, err := l.Lock(t.Context(), "a", rig.TTL)
		require.NoError(t, err)
		rig.RequireLocked(t, k, nodes...)
		_, err = rig.NewLocker(t, nodes).TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		require.NoError(t, k.Unlock(t.Context()))
		require.NoError(t, l.Shutdown(t.Context()))

		for name, bad := range map[string]redlock.Client{
			"nil": nil, "a typed nil": (*redis.Client)(nil), "a pipeline": nodes[0].Client.Pipeline(),
		} {
			_, err := redlock.NewSingle(bad)
			require.ErrorIs(t, err, redlock.ErrInvalidArgument, name)
		}
		_, err = redlock.NewSingle(nodes[0].Client, nil)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
	})
}

func TestDoIsWithForAFunctionThatNeedsNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, r := rig.New(t, 3), rig.NewRecorder()
		l := rig.NewLocker(t, nodes, r.Option())
		for _, want := range []error{nil, rig.ErrBody} {
			err := l.Do(t.Context(), "a", rig.TTL, func(ctx context.Context) error {
				rig.RequireLocked(t, redlock.FromContext(ctx), nodes...)
				return want
			})
			assert.Equal(t, want, err)
			rig.RequireFree(t, nodes...)
		}
		err := l.Do(t.Context(), "a", rig.TTL, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		require.ErrorIs(t, err, redlock.ErrLockLost)
		require.NotErrorIs(t, err, context.Canceled)
		assert.PanicsWithValue(t, "boom", func() {
			_ = l.Do(t.Context(), "a", rig.TTL, func(context.Context) error { panic("boom") })
		})
		rig.RequireFree(t, nodes...)
		results := map[any]int{}
		for _, s := range r.Take() {
			if s.Name() == "redlock.with" {
				results[rig.Attributes(s)["redlock.result"]]++
			}
		}
		assert.Equal(t, map[any]int{"done": 1, "failed": 1, "lost": 1, "panicked": 1}, results)
	})
}

func TestDoSendsNothingForBadArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		body := func(context.Context) error { t.Error("called"); return nil }
		require.ErrorIs(t, l.Do(t.Context(), "a", rig.TTL, nil), redlock.ErrInvalidArgument)
		require.ErrorIs(t, l.Do(t.Context(), "", rig.TTL, body), redlock.ErrInvalidArgument)
		require.ErrorIs(t, l.Do(nil, "a", rig.TTL, body), redlock.ErrInvalidArgument) //nolint:staticcheck // what is tested
		require.ErrorIs(t, l.Do(t.Context(), "a", rig.TTL, body, redlock.WithUnlockErrorHandler(nil)), redlock.ErrInvalidArgument)
		require.ErrorIs(t, (*redlock.Locker)(nil).Do(t.Context(), "a", rig.TTL, body), redlock.ErrInvalidArgument)
		_, err := redlock.New(rig.Clients(nodes), redlock.WithUnlockErrorHandler(nil))
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		assert.Zero(t, nodes[0].Commands())
	})
}

func TestTheInnermostLockOfAContextIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rig.NewLocker(t, rig.New(t, 1))
		assert.Nil(t, redlock.FromContext(nil)) //nolint:staticcheck // what is tested
		none := redlock.FromContext(t.Context())
		assert.Nil(t, none)
		require.NoError(t, none.Unlock(t.Context()), "it is one that has been unlocked")
		require.NoError(t, l.With(t.Context(), "outer", rig.TTL, func(ctx context.Context, outer *redlock.Lock) error {
			assert.Same(t, outer, redlock.FromContext(ctx))
			derived, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Hour)
			defer cancel()
			assert.Same(t, outer, redlock.FromContext(derived))
			return l.With(derived, "inner", rig.TTL, func(ctx context.Context, inner *redlock.Lock) error {
				assert.Same(t, inner, redlock.FromContext(ctx))
				held, cancel := outer.Context(ctx)
				defer cancel()
				assert.Same(t, outer, redlock.FromContext(held))
				require.NoError(t, inner.Unlock(ctx))
				assert.Same(t, inner, redlock.FromContext(ctx), "also when it is over")
				return nil
			}, nil)
		}, nil))
	})
}

func TestAnUnlockErrorHandlerIsToldTheNewsThatNoOtherHandlerIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		var told, own []error
		l := rig.NewLocker(t, nodes, redlock.WithUnlockErrorHandler(func(err error) { told = append(told, err) }))
		gone := func(context.Context) error { synctest.Wait(); nodes[0].Del("a"); return nil } //nolint:unparam // as Do wants it
		with := func(ctx context.Context, _ *redlock.Lock) error { return gone(ctx) }

		require.NoError(t, l.Do(t.Context(), "a", rig.TTL, gone))
		require.Len(t, told, 1)
		require.ErrorIs(t, told[0], redlock.ErrLockLost)
		require.NoError(t, l.With(t.Context(), "a", rig.TTL, with, nil))
		require.NoError(t, l.WithAll(t.Context(), []string{"a", "b"}, rig.TTL, with, nil))
		require.Len(t, told, 3)

		tell := func(err error) { own = append(own, err) }
		require.NoError(t, l.With(t.Context(), "a", rig.TTL, with, tell))
		require.NoError(t, l.Do(t.Context(), "a", rig.TTL, gone, redlock.WithUnlockErrorHandler(tell)))
		require.Len(t, own, 2)
		assert.Len(t, told, 3)

		require.NoError(t, l.Do(t.Context(), "a", rig.TTL, func(context.Context) error { return nil }))
		_ = l.Do(t.Context(), "a", rig.TTL, func(ctx context.Context) error { <-ctx.Done(); time.Sleep(time.Second); return nil })
		assert.Len(t, told, 3, "no news")

		assert.PanicsWithValue(t, "handler", func() {
			_ = l.Do(t.Context(), "a", rig.TTL, gone, redlock.WithUnlockErrorHandler(func(error) { panic("handler") }))
		})
		rig.RequireFree(t, nodes...)
		require.NoError(t, l.Do(t.Context(), "a", rig.TTL, func(context.Context) error { return nil }))
	})
}
