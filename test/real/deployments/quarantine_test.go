package deployments_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// lockWhenUp locks a resource once enough servers have been up for long enough.
func lockWhenUp(t *testing.T, l *redlock.Locker, key string) (lock *redlock.Lock) {
	t.Helper()
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
		var err error
		lock, err = l.TryLock(t.Context(), key, rig.LongTTL)
		require.NoError(c, err)
	})
	return lock
}

func TestANodeThatWasRestartedVotesAgainAfterAWhile(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3)
	l := on.Locker(t, redlock.WithRestartQuarantine(2*time.Second))
	lock := lockWhenUp(t, l, "a")
	rig.DrainCalls(t, l)
	for _, s := range on.Servers[:2] { // a majority has forgotten it
		s.Restart()
	}
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
		_, err := on.Other(t).TryLock(t.Context(), "b", rig.LongTTL)
		require.NoError(c, err, "others do not heed it")
	})
	_, err := l.TryLock(t.Context(), "c", rig.LongTTL)
	require.ErrorIs(t, err, redlock.ErrNoQuorum)
	require.ErrorContains(t, err, "QUARANTINE")
	require.ErrorIs(t, lock.Unlock(t.Context()), redlock.ErrLockLost)
	lock = lockWhenUp(t, l, "c")
	require.NoError(t, lock.Unlock(t.Context()))
}

func TestAQuarantineNeedsTwoPermissionsMore(t *testing.T) {
	t.Parallel()
	server, admin := newACLServer(t)
	plain, _ := aclOfReadme(t)
	try := func(more ...any) error {
		for _, words := range [][]any{{"ACL", "DELUSER", plain[2]}, command(plain), append([]any{"ACL", "SETUSER", plain[2]}, more...)} {
			require.NoError(t, admin.Do(t.Context(), words...).Err())
		}
		require.NoError(t, admin.FlushAll(t.Context()).Err())
		l := rig.NewRealLocker(t, []*redis.Client{server.Client(t, asUser("locks", "secret"))}, redlock.WithRestartQuarantine(time.Second), redlock.WithRetry(0, 0))
		defer rig.Drain(t, l)
		lock, err := l.Lock(t.Context(), "lock:k", rig.LongTTL)
		if err != nil {
			return err
		}
		return lock.Unlock(t.Context())
	}
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) { require.NoError(c, try("~redlock:up", "+info")) })
	for _, more := range [][]any{{"~redlock:up"}, {"+info"}} {
		require.ErrorIs(t, try(more...), redlock.ErrNoQuorum)
	}
}
