package deployments_test

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// compares returns the command by which a server compares and deletes, or nothing.
func compares(t *testing.T, admin *redis.Client) string {
	t.Helper()
	for _, cmd := range [][]any{{"delex", "k", "ifeq", "v"}, {"delifeq", "k", "v"}} {
		err := admin.Do(t.Context(), cmd...).Err()
		if err == nil {
			return cmd[0].(string)
		}
		require.ErrorContains(t, err, "unknown command")
	}
	return ""
}

// A user who may run no script locks where the server compares in SET and when it deletes.
// Elsewhere each node says what it takes.
func TestFourCommandsAreEnoughForLocksWithoutScripts(t *testing.T) {
	t.Parallel()
	on, deletes := &rig.Real{}, ""
	for range 3 {
		server, admin := newACLServer(t)
		acl := "ACL SETUSER locks on >secret ~lock:* resetchannels -@all +set +get +pttl"
		if deletes = compares(t, admin); deletes != "" {
			acl += " +" + deletes
		}
		require.NoError(t, admin.Do(t.Context(), command(strings.Fields(acl))...).Err())
		require.NoError(t, admin.Do(t.Context(), "ACL", "SAVE").Err())
		on.Servers, on.Direct = append(on.Servers, server), append(on.Direct, admin)
	}
	const key = "lock:k"
	for _, opts := range [][]redlock.Option{{redlock.WithoutScripts()}, {redlock.WithoutScripts(), redlock.WithAutoPipeline()}} {
		var log rig.ErrorLog
		l := rig.NewRealLocker(t, on.NewClients(t, asUser("locks", "secret")), append(opts, log.Option())...)
		if deletes == "" {
			_, err := l.TryLock(t.Context(), key, rig.LongTTL)
			require.ErrorIs(t, err, redlock.ErrNoQuorum)
			require.ErrorContains(t, err, "Redis 8.4 or Valkey 9.0")
			continue
		}
		lock, err := l.Lock(t.Context(), key, rig.LongTTL)
		require.NoError(t, err)
		rig.DrainCalls(t, l)
		require.Equal(t, 3, on.Holders(t, key, lock.Value()))
		other := rig.NewRealLocker(t, on.Direct)
		for _, refused := range []*redlock.Locker{l, other, rig.NewRealLocker(t, on.Direct, redlock.WithoutScripts())} {
			_, err = refused.TryLock(t.Context(), key, rig.LongTTL)
			require.ErrorIs(t, err, redlock.ErrContended)
		}
		require.NoError(t, lock.Extend(t.Context(), rig.LongTTL))
		rig.DrainCalls(t, l)

		// A node that has lost the lock is given it again.
		on.Servers[1].Restart()
		require.Eventually(t, func() bool {
			return lock.Extend(t.Context(), rig.LongTTL) == nil && on.Holders(t, key, lock.Value()) == 3
		},
			rig.Patience, rig.Patience/1000)
		require.NoError(t, lock.Unlock(t.Context()))
		rig.DrainCalls(t, l)
		require.Equal(t, 0, on.Keys(t))
		rig.LockOnce(t, other, key)
		rig.DrainCalls(t, other)
		for _, err := range log.Take(0) {
			assert.NotEqual(t, "NOPERM", err.ErrorType(), "%v", err)
		}
	}
}
