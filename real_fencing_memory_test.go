package redlock_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

func TestAFencedLockIsExtendedOnNodesWithoutMemoryAsAPlainOneIs(t *testing.T) {
	for _, opts := range [][]redlock.LockOption{{}, {redlock.WithFencing(fenceKeep)}} {
		rig := newRealRig(t, 3)
		l := rig.locker(t, redlock.WithRetry(0, 0))
		lock, err := l.Lock(t.Context(), "k", realTTL, opts...)
		require.NoError(t, err)
		drainCalls(t, l)
		for _, c := range rig.direct {
			require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "1").Err())
		}
		err = lock.Extend(t.Context(), realTTL)
		t.Logf("token %d: %v", lock.Token(), err)
		for _, c := range rig.direct {
			require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "0").Err())
		}
		require.NoError(t, err)
		require.NoError(t, lock.Unlock(t.Context()))
		drain(t, l)
	}
}

func TestAnAutomaticallyExtendedFencedLockOutlivesNodesWithoutMemory(t *testing.T) {
	const short = time.Second
	for _, opts := range [][]redlock.LockOption{{redlock.WithAutoExtend(redlock.Forever)}, {redlock.WithAutoExtend(redlock.Forever), redlock.WithFencing(fenceKeep)}} {
		rig := newRealRig(t, 3)
		l := rig.locker(t)
		lock, err := l.Lock(t.Context(), "k", short, opts...)
		require.NoError(t, err)
		drainCalls(t, l)
		for _, c := range rig.direct {
			require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "1").Err())
		}
		until := lock.Until()
		poll(realPatience, func() bool { return !lock.Valid() || lock.Until().After(until.Add(2*short)) })
		valid := lock.Valid()
		for _, c := range rig.direct {
			require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "0").Err())
		}
		require.True(t, valid, "token %d", lock.Token())
		require.NoError(t, lock.Unlock(t.Context()))
		drain(t, l)
	}
}
