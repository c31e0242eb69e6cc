package redlock_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// autoPipeline returns an AutoPipeliner of each client, closed when t ends.
func autoPipeline(t *testing.T, clients []*redis.Client, build func(*redis.Client) (*redis.AutoPipeliner, error)) []*redis.AutoPipeliner {
	t.Helper()
	all := make([]*redis.AutoPipeliner, len(clients))
	for i, c := range clients {
		p, err := build(c)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, p.Close()) })
		all[i] = p
	}
	return all
}

// relock locks and unlocks one key again and again, with one attempt each time.
func relock(t *testing.T, l *redlock.Locker, rounds int) {
	t.Helper()
	begun := time.Now()
	for round := range rounds {
		lock, err := l.TryLock(t.Context(), "k", realTTL)
		require.NoError(t, err, "round %d", round)
		require.NoError(t, lock.Unlock(t.Context()), "round %d", round)
	}
	t.Logf("%d rounds: %v each", rounds, time.Since(begun)/time.Duration(rounds))
	drain(t, l)
}

func TestOwnReleaseNeverRefusesTheNextLock(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		rounds int
		locker func(t *testing.T, clients []*redis.Client) *redlock.Locker
	}{
		{"plain clients", 20_000, func(t *testing.T, clients []*redis.Client) *redlock.Locker {
			t.Helper()
			return newRealLocker(t, clients)
		}},
		{"auto-pipelined", 20_000, func(t *testing.T, clients []*redis.Client) *redlock.Locker {
			t.Helper()
			return newRealLocker(t, autoPipeline(t, clients, (*redis.Client).AutoPipeline))
		}},
		{"auto-pipelined, deferred", 300, func(t *testing.T, clients []*redis.Client) *redlock.Locker {
			t.Helper()
			return newRealLocker(t, autoPipeline(t, clients, (*redis.Client).AsyncAutoPipeline))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rig := newRealRig(t, 3)
			relock(t, tt.locker(t, rig.clients), tt.rounds)
			rig.requireEmpty(t, realTTL/3)
		})
	}
}

func TestOwnReleaseOnASlowMinorityNeverRefusesTheNextLock(t *testing.T) {
	t.Parallel()
	rig := newRealProxiedRig(t, 3)
	rig.loadScripts(t)
	rig.proxies[1].Latency(20 * time.Millisecond)
	relock(t, rig.locker(t), 500)
	rig.requireEmpty(t, realTTL/3)
}
