package fencing_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestWithHandsItsFunctionALockWithAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		var fence redlock.Fence
		last := int64(0)
		with := func(end func() error) error {
			return l.With(t.Context(), "k", fenceTTL, func(_ context.Context, k *redlock.Lock) error {
				require.NoError(t, fence.Admit(k.Token()))
				require.Greater(t, k.Token(), last)
				last = k.Token()
				return end()
			}, func(err error) { assert.NoError(t, err) }, redlock.WithFencing(rig.FenceKeep))
		}
		for _, want := range []error{nil, rig.ErrBody, nil} {
			require.ErrorIs(t, with(func() error { return want }), want)
		}
		require.PanicsWithValue(t, "boom", func() { _ = with(func() error { panic("boom") }) })
		require.NoError(t, with(func() error { return nil }))
		require.NoError(t, l.With(t.Context(), "k", fenceTTL, func(_ context.Context, k *redlock.Lock) error {
			require.ErrorIs(t, fence.Admit(k.Token()), redlock.ErrInvalidArgument, "a lock without a token")
			return nil
		}, nil))
	})
}

func TestAHolderThatWakesUpTooLateIsTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		fenced := redlock.WithFencing(rig.FenceKeep)
		paused, next := rig.NewLocker(t, nodes, fenced), rig.NewLocker(t, nodes, fenced)
		var fence redlock.Fence
		err := paused.With(t.Context(), "k", fenceTTL, func(_ context.Context, k *redlock.Lock) error {
			require.NoError(t, fence.Admit(k.Token()))
			time.Sleep(fenceTTL + time.Second)
			other, err := next.Lock(t.Context(), "k", fenceTTL) //nolint:contextcheck // the section's is over
			require.NoError(t, err)
			require.NoError(t, fence.Admit(other.Token()))
			return fence.Admit(k.Token())
		}, nil)
		require.ErrorIs(t, err, redlock.ErrLockLost)
		require.ErrorIs(t, err, redlock.ErrStaleToken)
	})
}

func TestAnExtensionKeepsTheTokenAndRenewsTheCounter(t *testing.T) {
	for _, automatic := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 3)
			opts := []redlock.LockOption{redlock.WithFencing(rig.FenceKeep)}
			if automatic {
				opts = append(opts, redlock.WithAutoExtend(redlock.Forever))
			}
			k, err := rig.NewLocker(t, nodes).Lock(t.Context(), "k", fenceTTL, opts...)
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
					require.Equal(t, token, n.Counter(t))
					require.Greater(t, n.TTL(rig.TokenKey), rig.FenceKeep-fenceTTL)
				}
			}
			require.NoError(t, k.Unlock(t.Context()))
		})
	}
}

func TestALockThatIsPutBackOnANodeBringsItsCounter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k, err := l.Lock(t.Context(), "k", fenceTTL, redlock.WithFencing(rig.FenceKeep))
		require.NoError(t, err)
		synctest.Wait()
		nodes[0].FlushAll()
		seen := 0
		nodes[0].OnSend(func() {
			if nodes[0].Exists("k") { // before the extension that comes after it
				assert.Equal(t, k.Token(), nodes[0].Counter(t))
				seen++
			}
		})
		require.NoError(t, k.Extend(t.Context(), fenceTTL))
		synctest.Wait()
		require.Positive(t, seen)
		require.True(t, nodes[0].Exists("k"))
		require.Equal(t, k.Token(), nodes[0].Counter(t))
		require.Equal(t, rig.FenceKeep, nodes[0].TTL(rig.TokenKey))
	})
}

func TestATTLThatTheCounterWouldNotOutliveIsRefusedBeforeAnythingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes, redlock.WithFencing(2*fenceTTL))
		long := fenceTTL + time.Millisecond
		_, err := l.Lock(t.Context(), "k", long)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		_, err = l.TryLock(t.Context(), "k", long)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		err = l.With(t.Context(), "k", long, func(context.Context, *redlock.Lock) error { return rig.ErrBody }, nil)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		require.Zero(t, nodes[0].Commands())

		k, err := l.Lock(t.Context(), "k", fenceTTL+time.Millisecond-time.Nanosecond) // is cut to whole milliseconds
		require.NoError(t, err)
		sent, until := nodes[0].Commands(), k.Until()
		require.ErrorIs(t, k.Extend(t.Context(), long), redlock.ErrInvalidArgument)
		require.Equal(t, sent, nodes[0].Commands())
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
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithFencing(rig.FenceKeep))
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
			require.Equal(t, k.Token(), n.Counter(t))
			require.LessOrEqual(t, n.TTL(rig.TokenKey), rig.FenceKeep-time.Hour)
		}
		again, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		require.Greater(t, again.Token(), k.Token())
		require.NoError(t, again.Unlock(t.Context()))
	})
}
