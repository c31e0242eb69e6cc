package locking_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// relock locks and unlocks one key again and again, with one attempt each time.
func relock(t *testing.T, l *redlock.Locker, rounds int) {
	t.Helper()
	begun := time.Now()
	for round := range rounds {
		lock, err := l.TryLock(t.Context(), "k", rig.LongTTL)
		require.NoError(t, err, "round %d", round)
		require.NoError(t, lock.Unlock(t.Context()), "round %d", round)
	}
	t.Logf("%d rounds: %v each", rounds, time.Since(begun)/time.Duration(rounds))
	rig.Drain(t, l)
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
			return rig.NewRealLocker(t, clients)
		}},
		{"auto-pipelined", 20_000, func(t *testing.T, clients []*redis.Client) *redlock.Locker {
			t.Helper()
			return rig.NewRealLocker(t, rig.AutoPipeline(t, clients, (*redis.Client).AutoPipeline))
		}},
		{"auto-pipelined, deferred", 300, func(t *testing.T, clients []*redis.Client) *redlock.Locker {
			t.Helper()
			return rig.NewRealLocker(t, rig.AutoPipeline(t, clients, (*redis.Client).AsyncAutoPipeline))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			on := rig.NewReal(t, 3)
			relock(t, tt.locker(t, on.Clients), tt.rounds)
			on.RequireEmpty(t, rig.LongTTL/3)
		})
	}
}

func TestOwnReleaseOnASlowMinorityNeverRefusesTheNextLock(t *testing.T) {
	t.Parallel()
	on := rig.NewProxied(t, 3)
	on.LoadScripts(t)
	on.Proxies[1].Latency(20 * time.Millisecond)
	relock(t, on.Locker(t), 500)
	on.RequireEmpty(t, rig.LongTTL/3)
}
