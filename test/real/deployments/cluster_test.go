package deployments_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

// A realCluster is a Redis Cluster of three masters and the ways to it.
type realCluster struct {
	*servers.Cluster

	client *redis.ClusterClient
	direct []*redis.Client // by server, to look at what it holds
}

func newRealCluster(t *testing.T) *realCluster {
	t.Helper()
	c := &realCluster{Cluster: servers.StartCluster(t, 3)}
	c.client = c.Client(t)
	for _, s := range c.Servers {
		c.direct = append(c.direct, s.Client(t))
	}
	return c
}

// locker returns the Locker of a process that has this Cluster as its one node.
func (c *realCluster) locker(t *testing.T) *redlock.Locker {
	t.Helper()
	return rig.NewRealLocker(t, []*redis.ClusterClient{c.Client(t)})
}

// where returns which servers hold key.
func (c *realCluster) where(t *testing.T, key string) []int {
	t.Helper()
	var servers []int
	for i, d := range c.direct {
		keys, err := d.Keys(t.Context(), "*").Result()
		require.NoError(t, err)
		for _, k := range keys {
			if k == key {
				servers = append(servers, i)
			}
		}
	}
	return servers
}

// requireEmpty requires that no server holds a key, soon.
func (c *realCluster) requireEmpty(t *testing.T) {
	t.Helper()
	rig.Eventually(t, rig.LongTTL/3, func(ct *assert.CollectT) {
		for _, d := range c.direct {
			keys, err := d.Keys(context.Background(), "*").Result()
			assert.NoError(ct, err)
			assert.Empty(ct, keys, "keys left behind")
		}
	})
}

// clusterNames are resources of all shapes, on all masters.
func clusterNames() []string {
	names := []string{
		"{tag}", "{tag}1", "before{tag}after", "{tag}{other}", // one slot
		"{}", "{}braces", "open{", "}{", "{{double}}", "close}", "a{b}c{d}e", "{\x00}", "{ }", "ключ{замок}",
	}
	for i := range 30 {
		names = append(names, fmt.Sprint("invoice:", i))
	}
	return names
}

func TestAClusterGrantsExtendsReleasesAndExcludesOnAllItsMasters(t *testing.T) {
	t.Parallel()
	cluster := newRealCluster(t)
	l, other := cluster.locker(t), cluster.locker(t)
	locks := make(map[string]*redlock.Lock)
	perMaster := make([]int, len(cluster.Servers))
	for _, name := range clusterNames() { // all of them are held at once
		lock, err := l.Lock(t.Context(), name, rig.LongTTL)
		require.NoError(t, err, "%q", name)
		locks[name] = lock
		owner := cluster.Owner(name)
		require.Equal(t, []int{owner}, cluster.where(t, name), "%q", name)
		perMaster[owner]++
	}
	t.Logf("locks by master: %v", perMaster)
	assert.NotContains(t, perMaster, 0)
	for name, lock := range locks {
		_, err := other.TryLock(t.Context(), name, rig.LongTTL)
		require.ErrorIs(t, err, redlock.ErrContended, "%q", name)
		require.NoError(t, lock.Extend(t.Context(), 2*rig.LongTTL), "%q", name)
		require.Greater(t, cluster.client.PTTL(t.Context(), name).Val(), rig.LongTTL, "%q", name)
		require.NoError(t, lock.Unlock(t.Context()), "%q", name)
		rig.LockOnce(t, other, name)
	}
	rig.Drain(t, l)
	rig.Drain(t, other)
	cluster.requireEmpty(t)
}

func TestWithExtendsLocksOnEachMasterOfAClusterByItself(t *testing.T) {
	t.Parallel()
	cluster := newRealCluster(t)
	l, other := cluster.locker(t), cluster.locker(t)
	byMaster := make(map[int]string)
	for i := 0; len(byMaster) < len(cluster.Servers); i++ {
		name := fmt.Sprint("job:", i)
		byMaster[cluster.Owner(name)] = name
	}
	const ttl = 6 * time.Second
	done := make(chan error, len(byMaster))
	for _, name := range byMaster {
		go func() {
			done <- l.With(t.Context(), name, ttl, func(ctx context.Context, lock *redlock.Lock) error {
				first := lock.Until()
				if !rig.Poll(rig.Patience, func() bool { return lock.Until().After(first) || ctx.Err() != nil }) {
					return fmt.Errorf("%s was not extended", name)
				}
				if _, err := other.TryLock(ctx, name, ttl); !assert.ErrorIs(t, err, redlock.ErrContended) {
					return err
				}
				return context.Cause(ctx)
			}, nil, redlock.WithAutoExtend(redlock.Forever))
		}()
	}
	for range byMaster {
		require.NoError(t, <-done)
	}
	rig.Drain(t, l)
	rig.Drain(t, other)
	cluster.requireEmpty(t)
}

// stages are what happens to a slot on its way to another master.
var stages = []struct {
	name  string
	enter func(c *servers.Cluster, key string, to int)
}{
	{"its slot is about to move", (*servers.Cluster).BeginMove},
	{"its key has moved", func(c *servers.Cluster, key string, to int) { c.MoveKeys(key, to) }},
	{"its slot has moved", (*servers.Cluster).EndMove},
}

func TestALockOnAClusterLivesThroughTheMoveOfItsSlot(t *testing.T) {
	t.Parallel()
	cluster := newRealCluster(t)
	l, other := cluster.locker(t), cluster.locker(t)
	rig.LockOnce(t, l, "warm up") // with the Cluster as it is, so that its map of slots gets old
	rig.LockOnce(t, other, "warm up")

	requireHeld := func(lock *redlock.Lock, key, when string) {
		_, err := other.TryLock(t.Context(), key, rig.LongTTL)
		require.ErrorIs(t, err, redlock.ErrContended, when)
		require.NoError(t, lock.Extend(t.Context(), rig.LongTTL), when)
		require.Len(t, cluster.where(t, key), 1, when)
	}
	for last := range stages { // where it is unlocked
		for first := range last + 2 { // where it is locked: 0 is before the move
			key := fmt.Sprintf("moved %d %d", first, last)
			to := (cluster.Owner(key) + 1) % len(cluster.Servers)
			var lock *redlock.Lock
			take := func(when string) {
				var err error
				lock, err = l.TryLock(t.Context(), key, rig.LongTTL)
				require.NoError(t, err, when)
				requireHeld(lock, key, when)
			}
			if first == 0 {
				take("before the move")
			}
			for i, stage := range stages {
				stage.enter(cluster.Cluster, key, to)
				switch {
				case i == first-1:
					take(stage.name)
				case first <= i && i <= last:
					requireHeld(lock, key, stage.name)
				}
				if i == last {
					require.NoError(t, lock.Unlock(t.Context()), stage.name)
					require.Empty(t, cluster.where(t, key), stage.name)
					rig.LockOnce(t, other, key)
				}
			}
			require.Equal(t, to, cluster.Owner(key))
		}
	}
	rig.Drain(t, l)
	rig.Drain(t, other)
	cluster.requireEmpty(t)
}
