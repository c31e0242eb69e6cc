package redlock_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

func TestAClusterLocksSeveralResourcesOfOneSlot(t *testing.T) {
	c := newRealCluster(t)
	l, other := c.locker(t), c.locker(t)
	_, err := l.LockAll(t.Context(), []string{"a", "b"}, realTTL)
	require.ErrorIs(t, err, redlock.ErrInvalidArgument)
	c.requireEmpty(t)
	for _, opts := range [][]redlock.LockOption{nil, {redlock.WithFencing(2 * realTTL)}} {
		for _, set := range [][]string{realMany(16), {"tag", "{tag}1", "before{tag}after"}, {"a", oneSlot}} {
			lock, err := l.LockAll(t.Context(), set, realTTL, opts...)
			require.NoError(t, err)
			for _, resource := range set {
				require.Len(t, c.where(t, resource), 1)
			}
			require.NoError(t, lock.Extend(t.Context(), realTTL))
			_, err = other.TryLock(t.Context(), set[1], realTTL)
			require.ErrorIs(t, err, redlock.ErrContended)
			var wg sync.WaitGroup
			wg.Go(func() { lockOnce(t, other, set[1], redlock.WithRetry(redlock.Forever, time.Hour)) })
			realEventually(t, realPatience, func(ct *assert.CollectT) {
				line := "{" + set[1] + "}:redlock:line"
				if set[1][0] == '{' {
					line = set[1] + ":redlock:line"
				}
				assert.Len(ct, c.where(t, line), 1, "nobody waits in line")
			})
			require.NoError(t, lock.Unlock(t.Context()))
			wg.Wait()
		}
	}
	for _, d := range c.direct {
		require.NoError(t, d.FlushAll(t.Context()).Err())
	}
	drain(t, l)
	drain(t, other)
}

func TestTheACLOfTheReadmeIsEnoughForSeveralResources(t *testing.T) {
	rig := &realRig{}
	server, admin := newACLServer(t)
	plain, line := aclOfReadme(t)
	require.NoError(t, admin.Do(t.Context(), command(plain)...).Err())
	rig.servers, rig.direct = append(rig.servers, server), append(rig.direct, admin)
	var log realLog
	names := []string{"lock:a", "lock:b", "lock:{c}"}
	for _, permitted := range []bool{false, true} {
		if permitted {
			require.NoError(t, admin.Do(t.Context(), command(line)...).Err())
		}
		l := newRealLocker(t, rig.newClients(t, asUser("locks", "secret")), log.option())
		other := newRealLocker(t, rig.newClients(t, asUser("locks", "secret")), log.option())
		lock, err := l.LockAll(t.Context(), names, realTTL)
		require.NoError(t, err)
		_, err = other.LockAll(t.Context(), names[1:], realTTL, oneTry)
		require.ErrorIs(t, err, redlock.ErrContended)
		require.NoError(t, lock.Extend(t.Context(), realTTL))
		if permitted {
			handOver(t, rig, lock, other, names[1])
		} else {
			require.NoError(t, lock.Unlock(t.Context()))
		}
		rig.requireEmpty(t, realPatience)
		drain(t, l)
		drain(t, other)
		require.Empty(t, log.take(0), "nothing was refused")
		_, err = newRealLocker(t, rig.newClients(t, asUser("locks", "secret"))).LockAll(t.Context(), []string{"lock:a", "other"}, realTTL, oneTry)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.ErrorContains(t, err, "NOPERM")
		assert.Zero(t, rig.keys(t), "a part was locked")
	}
}
