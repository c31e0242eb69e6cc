package deployments_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestAClusterLocksSeveralResourcesOfOneSlot(t *testing.T) {
	c := newRealCluster(t)
	l, other := c.locker(t), c.locker(t)
	_, err := l.LockAll(t.Context(), []string{"a", "b"}, rig.LongTTL)
	require.ErrorIs(t, err, redlock.ErrInvalidArgument)
	c.requireEmpty(t)
	for _, opts := range [][]redlock.LockOption{nil, {redlock.WithFencing(2 * rig.LongTTL)}} {
		for _, set := range [][]string{rig.Tagged(16), {"tag", "{tag}1", "before{tag}after"}, {"a", rig.OneSlot}} {
			lock, err := l.LockAll(t.Context(), set, rig.LongTTL, opts...)
			require.NoError(t, err)
			for _, resource := range set {
				require.Len(t, c.where(t, resource), 1)
			}
			require.NoError(t, lock.Extend(t.Context(), rig.LongTTL))
			_, err = other.TryLock(t.Context(), set[1], rig.LongTTL)
			require.ErrorIs(t, err, redlock.ErrContended)
			line := "{" + set[1] + "}:redlock:line"
			if set[1][0] == '{' {
				line = set[1] + ":redlock:line"
			}
			served := rig.StandInLine(t, func() bool { return len(c.where(t, line)) == 1 }, rig.LockSeldom(other, set[1]))
			require.NoError(t, lock.Unlock(t.Context()))
			require.NoError(t, rig.Within(t, served))
		}
	}
	for _, d := range c.direct {
		require.NoError(t, d.FlushAll(t.Context()).Err())
	}
	rig.Drain(t, l)
	rig.Drain(t, other)
}

func TestTheACLOfTheDocsIsEnoughForSeveralResources(t *testing.T) {
	on := &rig.Real{}
	server, admin := newACLServer(t)
	plain, line := aclOfDocs(t)
	require.NoError(t, admin.Do(t.Context(), command(plain)...).Err())
	on.Servers, on.Direct = append(on.Servers, server), append(on.Direct, admin)
	var log rig.ErrorLog
	names := []string{"lock:a", "lock:b", "lock:{c}"}
	for _, permitted := range []bool{false, true} {
		if permitted {
			require.NoError(t, admin.Do(t.Context(), command(line)...).Err())
		}
		l := rig.NewRealLocker(t, on.NewClients(t, asUser("locks", "secret")), log.Option())
		other := rig.NewRealLocker(t, on.NewClients(t, asUser("locks", "secret")), log.Option())
		lock, err := l.LockAll(t.Context(), names, rig.LongTTL)
		require.NoError(t, err)
		_, err = other.LockAll(t.Context(), names[1:], rig.LongTTL, rig.OneTry)
		require.ErrorIs(t, err, redlock.ErrContended)
		require.NoError(t, lock.Extend(t.Context(), rig.LongTTL))
		if permitted {
			handOver(t, on, lock, other, names[1])
		} else {
			require.NoError(t, lock.Unlock(t.Context()))
		}
		on.RequireEmpty(t, rig.Patience)
		rig.Drain(t, l)
		rig.Drain(t, other)
		require.Empty(t, log.Take(0), "nothing was refused")
		_, err = rig.NewRealLocker(t, on.NewClients(t, asUser("locks", "secret"))).LockAll(t.Context(), []string{"lock:a", "other"}, rig.LongTTL, rig.OneTry)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.ErrorContains(t, err, "NOPERM")
		assert.Zero(t, on.Keys(t), "a part was locked")
	}
}
