package redlock_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

func TestWithHandsItsFunctionALockWithAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		var fence redlock.Fence
		with := func(fn func(*redlock.Lock) error, opts ...redlock.LockOption) error {
			return l.With(t.Context(), "k", fenceTTL, func(_ context.Context, k *redlock.Lock) error {
				return errors.Join(fence.Admit(k.Token()), fn(k))
			}, func(err error) { assert.NoError(t, err) }, opts...)
		}
		fenced, last := redlock.WithFencing(fenceKeep), int64(0)
		grows := func(k *redlock.Lock) error {
			require.Greater(t, k.Token(), last)
			last = k.Token()
			return nil
		}
		require.NoError(t, with(grows, fenced))
		require.ErrorIs(t, with(func(k *redlock.Lock) error {
			_ = grows(k)
			return errBody
		}, fenced), errBody)
		require.PanicsWithValue(t, "boom", func() {
			_ = with(func(k *redlock.Lock) error {
				_ = grows(k)
				panic("boom")
			}, fenced)
		})
		require.NoError(t, with(grows, fenced))
		require.ErrorIs(t, with(func(k *redlock.Lock) error {
			require.Zero(t, k.Token())
			return nil
		}), redlock.ErrInvalidArgument, "the fence admits nobody without a token")
	})
}

func TestAHolderThatWakesUpTooLateIsTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		fenced := redlock.WithFencing(fenceKeep)
		paused, next := newLocker(t, nodes, fenced), newLocker(t, nodes, fenced)
		var fence redlock.Fence
		err := paused.With(t.Context(), "k", fenceTTL, func(_ context.Context, k *redlock.Lock) error {
			require.NoError(t, fence.Admit(k.Token()))
			time.Sleep(fenceTTL + time.Second)
			require.NoError(t, next.With(t.Context(), "k", fenceTTL, func(_ context.Context, k *redlock.Lock) error {
				return fence.Admit(k.Token())
			}, nil))
			return fence.Admit(k.Token())
		}, nil)
		require.ErrorIs(t, err, redlock.ErrLockLost)
		require.ErrorIs(t, err, redlock.ErrStaleToken)
	})
}

func TestAnExtensionKeepsTheTokenAndRenewsTheCounter(t *testing.T) {
	for _, automatic := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			nodes := newNodes(t, 3)
			opts := []redlock.LockOption{redlock.WithFencing(fenceKeep)}
			if automatic {
				opts = append(opts, redlock.WithAutoExtend(redlock.Forever))
			}
			k, err := newLocker(t, nodes).Lock(t.Context(), "k", fenceTTL, opts...)
			require.NoError(t, err)
			token, until := k.Token(), k.Until()
			for range 5 {
				time.Sleep(fenceTTL * 4 / 5)
				if !automatic {
					require.NoError(t, k.Extend(t.Context(), fenceTTL))
				}
				synctest.Wait()
				require.True(t, k.Until().After(until))
				until = k.Until()
				require.Equal(t, token, k.Token())
				for _, n := range nodes {
					require.Equal(t, token, n.counter(t))
					require.Greater(t, n.TTL(tokenKey), fenceKeep-fenceTTL)
				}
			}
			require.NoError(t, k.Unlock(t.Context()))
		})
	}
}

func TestALockThatIsPutBackOnANodeBringsItsCounter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		k, err := l.Lock(t.Context(), "k", fenceTTL, redlock.WithFencing(fenceKeep))
		require.NoError(t, err)
		synctest.Wait()
		nodes[0].FlushAll()
		seen := 0
		nodes[0].onSend(func() {
			if nodes[0].Exists("k") { // before the extension that comes after it
				assert.Equal(t, k.Token(), nodes[0].counter(t))
				seen++
			}
		})
		require.NoError(t, k.Extend(t.Context(), fenceTTL))
		synctest.Wait()
		require.Positive(t, seen)
		require.True(t, nodes[0].Exists("k"))
		require.Equal(t, k.Token(), nodes[0].counter(t))
		require.Equal(t, fenceKeep, nodes[0].TTL(tokenKey))
	})
}

func TestATTLThatTheCounterWouldNotOutliveIsRefusedBeforeAnythingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		l := newLocker(t, nodes, redlock.WithFencing(2*fenceTTL))
		long := fenceTTL + time.Millisecond
		_, err := l.Lock(t.Context(), "k", long)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		_, err = l.TryLock(t.Context(), "k", long)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		err = l.With(t.Context(), "k", long, func(context.Context, *redlock.Lock) error { return errBody }, nil)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		require.Zero(t, nodes[0].commands())

		k, err := l.Lock(t.Context(), "k", fenceTTL+time.Millisecond-time.Nanosecond) // is cut to whole milliseconds
		require.NoError(t, err)
		sent, until := nodes[0].commands(), k.Until()
		require.ErrorIs(t, k.Extend(t.Context(), long), redlock.ErrInvalidArgument)
		require.Equal(t, sent, nodes[0].commands())
		require.Equal(t, until, k.Until())
		require.True(t, k.Valid())
		require.NoError(t, k.Unlock(t.Context()))

		k, err = l.Lock(t.Context(), "k", long, redlock.WithoutFencing())
		require.NoError(t, err)
		require.NoError(t, k.Extend(t.Context(), 2*long))
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestAPlainLockLeavesTheCounterAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes, redlock.WithFencing(fenceKeep))
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		require.NoError(t, k.Unlock(t.Context()))
		synctest.Wait()
		time.Sleep(time.Hour)
		plain, err := l.Lock(t.Context(), "k", fenceTTL, redlock.WithoutFencing())
		require.NoError(t, err)
		require.NoError(t, plain.Extend(t.Context(), fenceTTL))
		require.NoError(t, plain.Unlock(t.Context()))
		synctest.Wait()
		for _, n := range nodes {
			require.Equal(t, k.Token(), n.counter(t))
			require.LessOrEqual(t, n.TTL(tokenKey), fenceKeep-time.Hour)
		}
		again, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		require.Greater(t, again.Token(), k.Token())
		require.NoError(t, again.Unlock(t.Context()))
	})
}
