package deployments_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

// A deployment is what one node of a Locker can be.
type deployment struct {
	name    string
	client  func() redlock.Client // of another process each time
	look    redis.UniversalClient // to see what it holds
	freeze  func()
	thaw    func()
	servers int
}

func newStandalone(t *testing.T) deployment {
	t.Helper()
	s := servers.StartOne(t)
	return deployment{"a standalone server", func() redlock.Client { return s.Client(t) }, s.Client(t), s.Freeze, s.Thaw, 1}
}

func newCluster(t *testing.T) deployment {
	t.Helper()
	c := servers.StartCluster(t, 3)
	return deployment{"a Cluster", func() redlock.Client { return c.Client(t) }, c.Client(t), c.Freeze, c.Thaw, len(c.Servers)}
}

func newSentinelGroup(t *testing.T) deployment {
	t.Helper()
	g := servers.StartSentinelGroup(t)
	return deployment{"a Sentinel group", func() redlock.Client { return g.Client(t) }, g.Client(t), g.Freeze, g.Thaw, 5}
}

func newDeploymentLocker(t *testing.T, nodes []deployment, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	clients := make([]redlock.Client, len(nodes))
	for i, n := range nodes {
		clients[i] = n.client()
	}
	return rig.NewRealLocker(t, clients, opts...)
}

// requireOne requires that lock is held, is extended, excludes others and is
// released.
func requireOne(t *testing.T, lock *redlock.Lock, other *redlock.Locker, when string) {
	t.Helper()
	_, err := other.TryLock(t.Context(), lock.Resource(), rig.LongTTL)
	require.ErrorIs(t, err, redlock.ErrContended, when)
	require.NoError(t, lock.Extend(t.Context(), rig.LongTTL), when)
	require.NoError(t, lock.Unlock(t.Context()), when)
	rig.LockOnce(t, other, lock.Resource())
}

func TestDeploymentsOfAnyKindAreOneNodeEachAndOneMayFreeze(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		make []func(*testing.T) deployment
	}{
		{"three Clusters", []func(*testing.T) deployment{newCluster, newCluster, newCluster}},
		{"one of each kind", []func(*testing.T) deployment{newCluster, newStandalone, newSentinelGroup}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nodes := make([]deployment, len(tt.make))
			servers := 0
			for i, start := range tt.make {
				nodes[i] = start(t)
				servers += nodes[i].servers
			}
			l, other := newDeploymentLocker(t, nodes), newDeploymentLocker(t, nodes)
			lock, err := l.Lock(t.Context(), "healthy", rig.LongTTL)
			require.NoError(t, err)
			rig.DrainCalls(t, l)
			for _, n := range nodes {
				require.Equal(t, lock.Value(), n.look.Get(t.Context(), "healthy").Val(), n.name)
			}
			requireOne(t, lock, other, "healthy")

			for _, n := range nodes {
				before, err := l.Lock(t.Context(), "before", rig.LongTTL)
				require.NoError(t, err)
				rig.DrainCalls(t, l)
				n.freeze()
				start := time.Now()
				during, err := l.Lock(t.Context(), "during", rig.LongTTL)
				require.NoError(t, err, "%s is frozen", n.name)
				t.Logf("%s of %d processes is frozen: lock after %v", n.name, n.servers, time.Since(start))
				requireOne(t, before, other, n.name)
				requireOne(t, during, other, n.name)
				n.thaw()
				rig.DrainCalls(t, l)
				rig.DrainCalls(t, other)
				lock, err := l.Lock(t.Context(), "after", rig.LongTTL)
				require.NoError(t, err)
				rig.DrainCalls(t, l)
				require.Equal(t, lock.Value(), n.look.Get(t.Context(), "after").Val(), "%s counts again", n.name)
				requireOne(t, lock, other, n.name)
			}
			t.Logf("%d processes", servers)
			rig.Drain(t, l)
			rig.Drain(t, other)
			for _, n := range nodes {
				rig.Eventually(t, rig.LongTTL/3, func(c *assert.CollectT) {
					for _, key := range []string{"healthy", "before", "during", "after"} {
						assert.Zero(c, n.look.Exists(context.Background(), key).Val(), "%s on %s", key, n.name)
					}
				})
			}
		})
	}
}
