package fencing_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

func TestABadKeepIsRejected(t *testing.T) {
	t.Parallel()
	for _, keep := range []time.Duration{0, -2, -time.Hour} {
		_, err := redlock.New(rig.Clients(rig.New(t, 1)), redlock.WithFencing(keep))
		require.ErrorIs(t, err, redlock.ErrInvalidArgument, keep)
	}
}

func TestANameThatAllowsNoCounterIsRefusedBeforeAnythingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes, redlock.WithFencing(rig.FenceKeep))
		for _, name := range []string{"}", "{}", "a}b", "{}{a}"} {
			_, err := l.Lock(t.Context(), name, fenceTTL)
			require.ErrorIs(t, err, redlock.ErrInvalidArgument, name)
			require.ErrorContains(t, err, "fencing token")
			require.Zero(t, nodes[0].Commands())
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
		nodes := rig.New(t, 3)
		for _, n := range nodes {
			n.SetCounter(t, last-1)
		}
		l := rig.NewLocker(t, nodes, redlock.WithFencing(redlock.Forever), redlock.WithRetry(0, 0))
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		require.Equal(t, int64(last), k.Token())
		require.NoError(t, k.Extend(t.Context(), fenceTTL))
		require.NoError(t, k.Unlock(t.Context()))
		_, err = l.Lock(t.Context(), "k", fenceTTL)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		require.ErrorIs(t, err, redlock.ErrTokenLimit)
		failed, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		require.Equal(t, "token_limit", failed.ErrorType())
		require.ErrorContains(t, err, `redlock: lock "k": no fencing tokens left: 0 of 3 nodes agreed, 2 needed`)
		node, ok := errors.AsType[*redlock.NodeError](err)
		require.True(t, ok)
		require.Equal(t, "TOKENLIMIT", node.ErrorType())
		synctest.Wait()
		for _, n := range nodes {
			require.Equal(t, int64(last), n.Counter(t))
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
		nodes := rig.New(t, 3)
		nodes[0].SetCounter(t, 1<<53-1)
		l := rig.NewLocker(t, nodes, redlock.WithFencing(rig.FenceKeep), redlock.WithRetry(0, 0))
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err, "the others have tokens")
		require.NoError(t, k.Unlock(t.Context()))
		nodes[1].Stop()
		_, err = l.Lock(t.Context(), "k", fenceTTL)
		failed, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		require.Equal(t, "no_quorum", failed.ErrorType())
		require.ErrorIs(t, err, redlock.ErrTokenLimit, "on one node")
	})
}

func TestTheClockOfANodeThatHasLostItsCounterMayBeAlmostADayBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes, redlock.WithFencing(redlock.Forever))
		last := int64(0)
		for _, behind := range []time.Duration{0, time.Hour, 23 * time.Hour, -time.Hour, -48 * time.Hour} {
			nodes[0].FlushAll()
			nodes[0].SetTime(time.Now().Add(-behind))
			k := rig.Lock(t, l)
			require.Greater(t, k.Token(), last)
			last = k.Token()
			require.NoError(t, k.Unlock(t.Context()))
			time.Sleep(time.Minute)
		}
	})
}

func TestAClockThatIsFarAheadDoesNotUseUpTheTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		jump := 48 * time.Hour
		ahead := rig.NewLocker(t, nodes, redlock.WithFencing(rig.FenceKeep))
		seam.SetWallJump(ahead, func() time.Duration { return jump })
		behind := rig.NewLocker(t, nodes, redlock.WithFencing(rig.FenceKeep))
		seam.SetWallJump(behind, func() time.Duration { return -jump })
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
