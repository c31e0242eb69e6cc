package redlock_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

func TestABadKeepIsRejected(t *testing.T) {
	t.Parallel()
	for _, keep := range []time.Duration{0, -2, -time.Hour} {
		_, err := redlock.New(clients(newNodes(t, 1)), redlock.WithFencing(keep))
		require.ErrorIs(t, err, redlock.ErrInvalidArgument, keep)
	}
}

func TestANameThatAllowsNoCounterIsRefusedBeforeAnythingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		l := newLocker(t, nodes, redlock.WithFencing(fenceKeep))
		for _, name := range []string{"}", "{}", "a}b", "{}{a}"} {
			_, err := l.Lock(t.Context(), name, fenceTTL)
			require.ErrorIs(t, err, redlock.ErrInvalidArgument, name)
			require.ErrorContains(t, err, "fencing token")
			require.Zero(t, nodes[0].commands())
		}
		for _, name := range []string{"{a}b", "b{a}", "{", "a{b"} {
			k, err := l.Lock(t.Context(), name, fenceTTL)
			require.NoError(t, err, name)
			require.Positive(t, k.Token())
			require.NoError(t, k.Unlock(t.Context()))
		}
		k, err := l.Lock(t.Context(), "a}b", fenceTTL, redlock.WithoutFencing())
		require.NoError(t, err)
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestTheLastTokenIsSaidToBeTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const last = 1<<53 - 1
		nodes := newNodes(t, 3)
		for _, n := range nodes {
			n.setCounter(t, last-1)
		}
		l := newLocker(t, nodes, redlock.WithFencing(redlock.Forever), redlock.WithRetry(0, 0))
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		require.Equal(t, int64(last), k.Token())
		require.NoError(t, k.Extend(t.Context(), fenceTTL))
		require.NoError(t, k.Unlock(t.Context()))
		_, err = l.Lock(t.Context(), "k", fenceTTL)
		require.ErrorIs(t, err, redlock.ErrNotAcquired)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		require.ErrorIs(t, err, redlock.ErrTokenLimit)
		failed, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		require.Equal(t, "token_limit", failed.ErrorType())
		require.ErrorContains(t, err, `redlock: lock "k": no fencing tokens left: 0 of 2 required nodes agreed`)
		node, ok := errors.AsType[*redlock.NodeError](err)
		require.True(t, ok)
		require.Equal(t, "TOKENLIMIT", node.ErrorType())
		synctest.Wait()
		for _, n := range nodes {
			require.Equal(t, int64(last), n.counter(t))
			require.False(t, n.Exists("k"))
		}
		_, err = l.Lock(t.Context(), "other", fenceTTL)
		require.NoError(t, err)
		require.NotErrorIs(t, &redlock.NodeError{Err: errors.New("TOKEN")}, redlock.ErrTokenLimit)
		require.NotErrorIs(t, &redlock.NodeError{}, redlock.ErrTokenLimit)
	})
}

func TestAMinorityWithoutTokensIsNotTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		nodes[0].setCounter(t, 1<<53-1)
		l := newLocker(t, nodes, redlock.WithFencing(fenceKeep), redlock.WithRetry(0, 0))
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err, "the others have tokens")
		require.NoError(t, k.Unlock(t.Context()))
		nodes[1].stop()
		_, err = l.Lock(t.Context(), "k", fenceTTL)
		failed, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		require.Equal(t, "no_quorum", failed.ErrorType())
		require.ErrorIs(t, err, redlock.ErrTokenLimit, "on one node")
	})
}

func TestAClockThatIsFarAheadDoesNotUseUpTheTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		jump := 48 * time.Hour
		ahead := newLocker(t, nodes, redlock.WithFencing(fenceKeep))
		redlock.SetWallJump(ahead, func() time.Duration { return jump })
		behind := newLocker(t, nodes, redlock.WithFencing(fenceKeep))
		redlock.SetWallJump(behind, func() time.Duration { return -jump })
		last := int64(0)
		for i := range 10 {
			l := []*redlock.Locker{ahead, behind}[i%2]
			k, err := l.Lock(t.Context(), "k", fenceTTL)
			require.NoError(t, err)
			require.Greater(t, k.Token(), last)
			require.Less(t, k.Token(), time.Now().UnixMicro(), "ignored where it is a day ahead")
			last = k.Token()
			require.NoError(t, k.Unlock(t.Context()))
		}
		jump = 23 * time.Hour
		k, err := ahead.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		require.Equal(t, time.Now().Add(jump).UnixMicro(), k.Token())
		require.NoError(t, k.Unlock(t.Context()))
	})
}
