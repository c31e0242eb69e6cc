package redlock_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// What ends without a token.

func TestAnAttemptThatFailsBecauseARaiseIsNotAnsweredDoesNotSayThatEnoughAgreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes, redlock.WithFencing(fenceKeep), redlock.WithRetry(0, 0))
		warmFenced(t, l)
		far := time.Now().Add(time.Hour).UnixMicro()
		nodes[0].setCounter(t, far)
		for _, n := range nodes[1:] {
			n.onSend(n.freeze) // from the next request on, which is the raise
		}
		_, err := l.Lock(t.Context(), "k", fenceTTL)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		t.Log(err)
		for _, n := range nodes {
			n.onSend(nil)
			n.thaw()
		}
		synctest.Wait()
		require.Less(t, e.Agreed, e.Quorum)
	})
}

func TestACallThatWaitsForEverIsToldThatThereAreNoTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		for _, n := range nodes {
			n.setCounter(t, 1<<53-1) // without an expiry
		}
		l := newLocker(t, nodes, redlock.WithFencing(redlock.Forever), redlock.WithRetry(redlock.Forever, time.Second))
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
