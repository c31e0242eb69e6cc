package extend_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// What happens at the limit of automatic extension.

func requireLimited(t *testing.T, cause error) {
	t.Helper()
	require.ErrorIs(t, cause, redlock.ErrHoldLimit)
	require.NotErrorIs(t, cause, redlock.ErrLockLost)
	e, ok := errors.AsType[*redlock.LockError](cause)
	require.True(t, ok)
	assert.Equal(t, redlock.OpHold, e.Op)
	assert.Equal(t, "hold_limit", e.ErrorType())
}

func TestAtItsLimitTheContextEndsAndTheLockStaysForItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		start := time.Now()
		k, held := rig.Keep(t, l, 3*time.Second, redlock.WithAutoExtend(10*time.Second+500*time.Millisecond))
		<-held.Done()
		assert.Equal(t, 10500*time.Millisecond, time.Since(start))
		requireLimited(t, context.Cause(held))
		assert.True(t, k.Valid())
		assert.Equal(t, start.Add(13*time.Second-32*time.Millisecond), k.Until(), "last extended after 10 s")
		late, cancel := k.Context(t.Context())
		defer cancel()
		requireLimited(t, context.Cause(late))
		time.Sleep(time.Until(k.Until()) - time.Millisecond)
		assert.True(t, k.Valid())
		rig.RequireLocked(t, k, nodes...)
		time.Sleep(time.Millisecond)
		assert.False(t, k.Valid())
		require.ErrorIs(t, k.Extend(t.Context(), time.Second), redlock.ErrLockLost)
		over, cancel := k.Context(t.Context())
		defer cancel()
		require.ErrorIs(t, context.Cause(over), redlock.ErrLockLost)
		require.ErrorIs(t, context.Cause(over), redlock.ErrHoldLimit)
		time.Sleep(time.Second)
		rig.RequireFree(t, nodes...)
	})
}

func TestALimitBelowTheTTLHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		start := time.Now()
		k, held := rig.Keep(t, rig.NewLocker(t, nodes), 30*time.Second, redlock.WithAutoExtend(time.Second))
		<-held.Done()
		assert.Equal(t, time.Second, time.Since(start))
		requireLimited(t, context.Cause(held))
		before := nodes[0].Commands()
		time.Sleep(20 * time.Second)
		assert.Equal(t, before, nodes[0].Commands(), "no extension is sent")
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestExtendWorksBeyondTheLimitByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k, held := rig.Keep(t, rig.NewLocker(t, nodes), 3*time.Second, redlock.WithAutoExtend(5*time.Second))
		<-held.Done()
		require.NoError(t, k.Extend(t.Context(), 10*time.Second))
		synctest.Wait()
		before := nodes[0].Commands()
		time.Sleep(9 * time.Second)
		assert.True(t, k.Valid())
		assert.Equal(t, before, nodes[0].Commands())
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestWithReturnsTheLimitAndReleasesWhenTheFunctionHasReturned(t *testing.T) {
	errWork := errors.New("work")
	for name, result := range map[string]error{"nil": nil, "error": errWork} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				rec := rig.NewRecorder()
				l := rig.NewLocker(t, nodes, rec.Option())
				err := l.With(t.Context(), "a", 6*time.Second, func(ctx context.Context, lock *redlock.Lock) error {
					<-ctx.Done()
					requireLimited(t, context.Cause(ctx))
					time.Sleep(3 * time.Second) // it takes a while to stop
					require.True(t, lock.Valid())
					rig.RequireLocked(t, lock, nodes...)
					return result
				}, func(err error) { t.Error(err) }, redlock.WithAutoExtend(10*time.Second))
				require.ErrorIs(t, err, redlock.ErrHoldLimit)
				require.NotErrorIs(t, err, redlock.ErrLockLost)
				require.Equal(t, result != nil, errors.Is(err, errWork))
				synctest.Wait()
				rig.RequireFree(t, nodes...)
				for _, s := range rec.Take() {
					if s.Name() == "redlock.with" {
						assert.Equal(t, "hold_limit", rig.Attributes(s)["redlock.result"])
						rig.RequireFailed(t, s, "hold_limit")
					}
				}
			})
		})
	}
}

func TestAFunctionThatOutlastsTheLimitAndTheTTLHasLostTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		err := rig.NewLocker(t, nodes).With(t.Context(), "a", 3*time.Second, func(context.Context, *redlock.Lock) error {
			time.Sleep(time.Minute)
			return nil
		}, func(err error) { t.Error(err) }, redlock.WithAutoExtend(10*time.Second))
		require.ErrorIs(t, err, redlock.ErrHoldLimit)
		require.ErrorIs(t, err, redlock.ErrLockLost)
	})
}

func TestAWaiterGetsALockAtItsLimitOnlyAfterTheFunctionOrTheTTL(t *testing.T) {
	for name, stops := range map[string]time.Duration{"function": 2 * time.Second, "TTL": time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l, rival := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
				returned := make(chan time.Time, 1)
				began := make(chan *redlock.Lock, 1)
				var wg sync.WaitGroup
				wg.Go(func() {
					_ = l.With(t.Context(), "a", 6*time.Second, func(ctx context.Context, lock *redlock.Lock) error {
						began <- lock
						<-ctx.Done()
						time.Sleep(stops)
						returned <- time.Now()
						return nil
					}, nil, redlock.WithAutoExtend(10*time.Second))
				})
				lock := <-began
				k, err := rival.Lock(t.Context(), "a", time.Minute, redlock.WithRetry(redlock.Forever, 50*time.Millisecond))
				require.NoError(t, err)
				if name == "function" {
					assert.False(t, time.Now().Before(<-returned))
				} else {
					assert.False(t, time.Now().Before(lock.Until()))
					assert.Empty(t, returned)
				}
				require.NoError(t, k.Unlock(t.Context()))
				wg.Wait()
			})
		})
	}
}

func TestAnUnlockAfterTheLimitTellsWhetherTheLockWasStillThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		var news []error
		err := rig.NewLocker(t, nodes).With(t.Context(), "a", 6*time.Second, func(ctx context.Context, _ *redlock.Lock) error {
			<-ctx.Done()
			nodes[0].FlushAll()
			nodes[1].FlushAll()
			return nil
		}, func(err error) { news = append(news, err) }, redlock.WithAutoExtend(10*time.Second))
		require.ErrorIs(t, err, redlock.ErrHoldLimit)
		require.Len(t, news, 1)
		require.ErrorIs(t, news[0], redlock.ErrLockLost)
	})
}
