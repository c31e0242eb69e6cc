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

// soon is a quarantine, and a TTL, that is over in a moment.
const soon = 2 * time.Second

// lockWhenUp locks a resource once enough servers have been up for long enough.
func lockWhenUp(t *testing.T, l *redlock.Locker) {
	t.Helper()
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
		lock, err := l.TryLock(t.Context(), "a", soon)
		require.NoError(c, err)
		_ = lock.Unlock(t.Context()) // it may be over by now
	})
}

func TestANodeThatWasRestartedVotesAgainAfterAWhile(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3)
	l, late := on.Locker(t, redlock.WithRestartQuarantine(soon)), on.Locker(t, redlock.WithRestartQuarantine(time.Hour))
	lockWhenUp(t, l)
	for _, s := range on.Servers[:2] {
		s.Restart()
	}
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
		_, err := late.TryLock(t.Context(), "a", soon)
		require.ErrorIs(c, err, redlock.ErrNoQuorum)
		require.ErrorContains(c, err, "QUARANTINE")
	})
	lockWhenUp(t, l)
}

func TestAQuarantineNeedsTwoPermissionsMore(t *testing.T) {
	t.Parallel()
	server, admin := newACLServer(t)
	plain, _ := aclOfDocs(t)
	try := func(more ...any) error {
		for _, words := range [][]any{{"ACL", "DELUSER", plain[2]}, command(plain), append([]any{"ACL", "SETUSER", plain[2]}, more...)} {
			require.NoError(t, admin.Do(t.Context(), words...).Err())
		}
		require.NoError(t, admin.FlushAll(t.Context()).Err())
		l := rig.NewRealLocker(t, []*redis.Client{server.Client(t, asUser("locks", "secret"))}, redlock.WithRestartQuarantine(soon), redlock.WithRetry(0, 0))
		defer rig.Drain(t, l)
		lock, err := l.Lock(t.Context(), "lock:k", soon)
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
