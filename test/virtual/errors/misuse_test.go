package errors_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// Where the nodes' counters differ, a token takes one more round.
func TestAnAttemptWithATokenTakesTwoNodeTimeoutsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithFencing(redlock.Forever))
		rig.WarmUp(t, l)
		k, err := l.Lock(t.Context(), "a", rig.TTL)
		require.NoError(t, err)
		require.NoError(t, k.Unlock(t.Context()))
		synctest.Wait()
		for _, n := range nodes {
			n.Slow(950 * time.Millisecond)
		}
		nodes[0].FlushAll()
		nodes[1].FlushAll()
		start := time.Now()
		k, err = l.TryLock(t.Context(), "a", rig.TTL)
		assert.NoError(t, err)
		assert.LessOrEqual(t, time.Since(start), 2*time.Second)
		_ = k.Unlock(t.Context())
		time.Sleep(5 * time.Second)
	})
}

func TestMisuseIsAnErrorAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		for _, c := range []redlock.Client{nil, (*redis.Client)(nil), nodes[0].Client.Pipeline()} {
			_, err := redlock.NewSingle(c)
			assert.ErrorIs(t, err, redlock.ErrInvalidArgument)
		}
		l, err := redlock.NewSingle(nodes[0].Client)
		require.NoError(t, err)
		_, err = redlock.NewSingle(nodes[0].Client, redlock.WithUnlockErrorHandler(nil))
		assert.ErrorIs(t, err, redlock.ErrInvalidArgument)
		assert.ErrorIs(t, l.Do(t.Context(), "a", rig.TTL, nil), redlock.ErrInvalidArgument)
		assert.ErrorIs(t, l.Do(nil, "a", rig.TTL, func(context.Context) error { return nil }), redlock.ErrInvalidArgument) //nolint:staticcheck // on purpose
		assert.ErrorIs(t, (*redlock.Locker)(nil).Do(t.Context(), "a", rig.TTL, func(context.Context) error { return nil }), redlock.ErrInvalidArgument)
		assert.ErrorIs(t, new(redlock.Locker).Do(t.Context(), "a", rig.TTL, func(context.Context) error { return nil }), redlock.ErrInvalidArgument)
		assert.Nil(t, redlock.FromContext(nil)) //nolint:staticcheck // on purpose
		assert.Nil(t, redlock.FromContext(t.Context()))
		assert.NoError(t, redlock.FromContext(t.Context()).Unlock(t.Context()))
		ended, cancel := redlock.FromContext(t.Context()).Context(t.Context())
		cancel()
		assert.ErrorIs(t, context.Cause(ended), redlock.ErrUnlocked)
		assert.Nil(t, redlock.FromContext(ended))

		var news []error
		told := redlock.WithUnlockErrorHandler(func(err error) { news = append(news, err); panic("handler") })
		assert.PanicsWithValue(t, "handler", func() {
			_ = l.Do(t.Context(), "a", rig.TTL, func(context.Context) error { nodes[0].FlushAll(); panic("fn") }, told)
		})
		var all sync.WaitGroup
		all.Go(func() {
			_ = l.Do(t.Context(), "a", rig.TTL, func(ctx context.Context) error {
				nodes[0].FlushAll()
				defer func() { assert.True(t, redlock.FromContext(ctx).Valid()) }()
				runtime.Goexit()
				return nil
			}, redlock.WithUnlockErrorHandler(func(err error) { news = append(news, err); runtime.Goexit() }))
		})
		all.Wait()
		assert.Len(t, news, 2)
		k, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.NoError(t, err)
		require.NoError(t, k.Unlock(t.Context()))
		assert.NoError(t, l.Shutdown(t.Context()))
		assert.ErrorIs(t, l.Do(t.Context(), "a", rig.TTL, func(context.Context) error { return nil }), redlock.ErrShutdown)
	})
}

// A lost lock, and fn's errors of all kinds, while the caller's ctx is alive.
func TestNoErrorOfALostLockIsAContextError(t *testing.T) {
	for name, of := range map[string]func(ctx context.Context) error{
		"its error": context.Context.Err,
		"its cause": context.Cause,
		"joined":    func(ctx context.Context) error { return errors.Join(errors.New("x"), ctx.Err()) },
		"of Unlock": func(ctx context.Context) error { return redlock.FromContext(ctx).Unlock(ctx) },
		"of Extend": func(ctx context.Context) error { return redlock.FromContext(ctx).Extend(ctx, rig.TTL) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l, inner := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
				err := l.Do(t.Context(), "a", time.Second, func(ctx context.Context) error {
					return inner.Do(ctx, "b", rig.TTL, func(ctx context.Context) error {
						ctx, cancel := context.WithTimeout(ctx, time.Hour)
						defer cancel()
						<-ctx.Done()
						_, err := inner.Lock(ctx, "c", rig.TTL)
						return errors.Join(err, of(ctx))
					})
				})
				assert.ErrorIs(t, err, redlock.ErrLockLost)
				assert.NotErrorIs(t, err, context.Canceled)
				assert.NotErrorIs(t, err, context.DeadlineExceeded)
				ce, ok := errors.AsType[interface {
					error
					Temporary() bool
				}](err)
				assert.False(t, ok, "%v", ce)
			})
		})
	}
}

func TestANodeWhereNobodyListensIsToldSoByTheFirstTry(t *testing.T) {
	for _, pipelines := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 1)
			nodes[0].Stop()
			var opts []redlock.Option
			if pipelines {
				opts = append(opts, redlock.WithAutoPipeline())
			}
			l := rig.NewLocker(t, nodes, opts...)
			_, err := l.TryLock(t.Context(), "invoice:42", time.Minute)
			require.ErrorIs(t, err, redlock.ErrNoQuorum)
			assert.ErrorContains(t, err, "connection refused")
			assert.NotContains(t, err.Error(), "no answer")
		})
	}
}
