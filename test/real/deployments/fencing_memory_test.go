package deployments_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestAFencedLockIsExtendedOnNodesWithoutMemoryAsAPlainOneIs(t *testing.T) {
	for _, opts := range [][]redlock.LockOption{{}, {redlock.WithFencing(rig.FenceKeep)}} {
		on := rig.NewReal(t, 3)
		l := on.Locker(t, redlock.WithRetry(0, 0))
		lock, err := l.Lock(t.Context(), "k", rig.LongTTL, opts...)
		require.NoError(t, err)
		rig.DrainCalls(t, l)
		for _, c := range on.Direct {
			require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "1").Err())
		}
		err = lock.Extend(t.Context(), rig.LongTTL)
		t.Logf("token %d: %v", lock.Token(), err)
		for _, c := range on.Direct {
			require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "0").Err())
		}
		require.NoError(t, err)
		require.NoError(t, lock.Unlock(t.Context()))
		rig.Drain(t, l)
	}
}

func TestAnAutomaticallyExtendedFencedLockOutlivesNodesWithoutMemory(t *testing.T) {
	t.Parallel()
	const short = 4 * time.Second
	for _, opts := range [][]redlock.LockOption{{redlock.WithAutoExtend(redlock.Forever)}, {redlock.WithAutoExtend(redlock.Forever), redlock.WithFencing(rig.FenceKeep)}} {
		on := rig.NewReal(t, 3)
		l := on.Locker(t)
		lock, err := l.Lock(t.Context(), "k", short, opts...)
		require.NoError(t, err)
		rig.DrainCalls(t, l)
		for _, c := range on.Direct {
			require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "1").Err())
		}
		until := lock.Until()
		rig.Poll(rig.Patience, func() bool { return !lock.Valid() || lock.Until().After(until.Add(short)) })
		valid := lock.Valid()
		for _, c := range on.Direct {
			require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "0").Err())
		}
		require.True(t, valid, "token %d", lock.Token())
		require.NoError(t, lock.Unlock(t.Context()))
		rig.Drain(t, l)
	}
}
