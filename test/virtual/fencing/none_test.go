package fencing_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// What ends without a token.

func TestAnAttemptThatFailsBecauseARaiseIsNotAnsweredDoesNotSayThatEnoughAgreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithFencing(rig.FenceKeep), redlock.WithRetry(0, 0))
		warmFenced(t, l)
		far := time.Now().Add(time.Hour).UnixMicro()
		nodes[0].SetCounter(t, far)
		for _, n := range nodes[1:] {
			n.Slow(time.Millisecond) // the other one counts
			n.OnSend(n.Freeze)       // from the next request on, which is the raise
		}
		_, err := l.Lock(t.Context(), "k", fenceTTL)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		t.Log(err)
		for _, n := range nodes {
			n.OnSend(nil)
			n.Thaw()
		}
		synctest.Wait()
		require.Less(t, e.Agreed, e.Quorum)
	})
}

func TestACallThatWaitsForEverIsToldThatThereAreNoTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		for _, n := range nodes {
			n.SetCounter(t, 1<<53-1) // without an expiry
		}
		l := rig.NewLocker(t, nodes, redlock.WithFencing(redlock.Forever), redlock.WithRetry(redlock.Forever, time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := l.Lock(ctx, "k", fenceTTL)
		require.ErrorIs(t, err, redlock.ErrTokenLimit)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "it tried for a minute")
	})
}

func warmFenced(t *testing.T, l *redlock.Locker) {
	t.Helper()
	k, err := l.Lock(t.Context(), "warm", time.Minute, redlock.WithFencing(time.Hour))
	require.NoError(t, err)
	synctest.Wait()
	require.NoError(t, k.Extend(t.Context(), time.Minute))
	require.NoError(t, k.Unlock(t.Context()))
	synctest.Wait()
}
