package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	clusterSlots   = 16384
	maxClusterPort = 65535 - 10000 // the bus listens on the port 10000 further
)

// A Cluster is a Redis Cluster of masters without replicas. Its methods are for
// the goroutine that runs the test, and end the test when they fail.
type Cluster struct {
	Servers []*Server

	tb    testing.TB
	nodes []*redis.Client // by server
	ids   []string        // by server: its name in the Cluster
}

// StartCluster runs a Cluster of n servers, at least three, which share the
// slots evenly, waits until each of them serves and stops them when tb ends.
func StartCluster(tb testing.TB, n int, opts ...Option) *Cluster {
	tb.Helper()
	servers := Start(tb, n, append([]Option{optionFunc(func(c *config) {
		c.cluster = true
		c.args = append(c.args,
			"--cluster-enabled", "yes",
			"--cluster-announce-ip", "127.0.0.1",
			"--cluster-config-file", "nodes.conf",
		)
	})}, opts...)...)
	c := &Cluster{Servers: servers, tb: tb}
	for _, s := range servers {
		c.nodes = append(c.nodes, s.Client(tb))
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	c.check(c.join(ctx))
	return c
}

// join makes a Cluster of the servers and waits until all of them know it.
func (c *Cluster) join(ctx context.Context) error {
	for i, node := range c.nodes {
		first, next := i*clusterSlots/len(c.nodes), (i+1)*clusterSlots/len(c.nodes)
		if err := node.ClusterAddSlotsRange(ctx, first, next-1).Err(); err != nil {
			return err
		}
		// Each epoch has to be an other one; the servers would come to that
		// too, but only after conflicts.
		if err := node.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			return err
		}
		id, err := node.Do(ctx, "CLUSTER", "MYID").Text()
		if err != nil {
			return err
		}
		c.ids = append(c.ids, id)
	}
	for _, s := range c.Servers[1:] {
		host, port, err := net.SplitHostPort(s.Addr())
		if err != nil {
			return err
		}
		if err := c.nodes[0].ClusterMeet(ctx, host, port).Err(); err != nil {
			return err
		}
	}
	for _, node := range c.nodes {
		if err := await(ctx, func() error { return c.serves(ctx, node) }); err != nil {
			return err
		}
	}
	return nil
}

// serves returns nil if a server knows the whole Cluster and serves its part.
func (c *Cluster) serves(ctx context.Context, node *redis.Client) error {
	info, err := node.ClusterInfo(ctx).Result()
	if err != nil {
		return err
	}
	for _, line := range []string{"cluster_state:ok", "cluster_slots_ok:" + strconv.Itoa(clusterSlots), "cluster_size:" + strconv.Itoa(len(c.nodes))} {
		if !strings.Contains(info, line+"\r\n") {
			return fmt.Errorf("no %s in %q", line, info)
		}
	}
	return nil
}

// Client returns a client of the Cluster which is closed when tb ends. Its
// options are those of [Server.Client].
func (c *Cluster) Client(tb testing.TB, opts ...func(*redis.ClusterOptions)) *redis.ClusterClient {
	tb.Helper()
	o := &redis.ClusterOptions{
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	for _, s := range c.Servers {
		o.Addrs = append(o.Addrs, s.Addr())
	}
	for _, opt := range opts {
		opt(o)
	}
	client := redis.NewClusterClient(o)
	tb.Cleanup(func() { _ = client.Close() }) // the test may have closed it already
	return client
}

// Freeze freezes every server.
func (c *Cluster) Freeze() {
	c.tb.Helper()
	for _, s := range c.Servers {
		s.Freeze()
	}
}

// Thaw lets every server go on.
func (c *Cluster) Thaw() {
	c.tb.Helper()
	for _, s := range c.Servers {
		s.Thaw()
	}
}

// Owner returns which server key belongs to.
func (c *Cluster) Owner(key string) int {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	owner, err := c.ownerBy(ctx, c.nodes[0], c.slot(ctx, key))
	c.check(err)
	return owner
}

// ownerBy returns which server a slot belongs to, as one of them knows it.
func (c *Cluster) ownerBy(ctx context.Context, node *redis.Client, slot int) (int, error) {
	ranges, err := node.ClusterSlots(ctx).Result() //nolint:staticcheck // servers before Redis 7.0 have no CLUSTER SHARDS
	if err != nil {
		return 0, err
	}
	for _, r := range ranges {
		for i, id := range c.ids {
			if r.Start <= slot && slot <= r.End && r.Nodes[0].ID == id {
				return i, nil
			}
		}
	}
	return 0, fmt.Errorf("nobody has slot %d", slot)
}

// BeginMove begins to move the slot of key to another server. Until [Cluster.EndMove],
// its owner answers for the keys that it still has and sends askers for any
// other one to the new server.
func (c *Cluster) BeginMove(key string, to int) {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	from, slot := c.Owner(key), c.slot(ctx, key)
	c.check(c.nodes[to].Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", c.ids[from]).Err())
	c.check(c.nodes[from].Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", c.ids[to]).Err())
}

// MoveKeys takes the keys of the slot of key to the new server. It returns how
// many there were.
func (c *Cluster) MoveKeys(key string, to int) int {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	from, slot := c.Owner(key), c.slot(ctx, key)
	host, port, err := net.SplitHostPort(c.Servers[to].Addr())
	c.check(err)
	keys, err := c.nodes[from].ClusterGetKeysInSlot(ctx, slot, 1000).Result()
	c.check(err)
	for _, k := range keys {
		c.check(c.nodes[from].Migrate(ctx, host, port, k, 0, stateTimeout).Err())
	}
	return len(keys)
}

// EndMove gives the slot of key to the new server, and returns when all know it,
// and have the same epoch: another move before that could make two servers
// claim their slots under one epoch, and the Cluster take one claim back.
func (c *Cluster) EndMove(key string, to int) {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	slot := c.slot(ctx, key)
	c.check(c.nodes[to].Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", c.ids[to]).Err())
	for _, node := range c.nodes {
		c.check(node.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", c.ids[to]).Err())
	}
	c.check(await(ctx, func() error { return c.agrees(ctx, slot, to) }))
}

// agrees returns nil if all servers have the same epoch, and the same owner for
// a slot.
func (c *Cluster) agrees(ctx context.Context, slot, owner int) error {
	first := ""
	for i, node := range c.nodes {
		info, err := node.ClusterInfo(ctx).Result()
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(info, "cluster_current_epoch:")
		epoch, _, _ := strings.Cut(rest, "\r\n")
		if i == 0 {
			first = epoch
		}
		if epoch != first {
			return fmt.Errorf("server %d has epoch %s, server 0 %s", i, epoch, first)
		}
		switch got, err := c.ownerBy(ctx, node, slot); {
		case err != nil:
			return err
		case got != owner:
			return fmt.Errorf("server %d takes %d for the owner of slot %d", i, got, slot)
		}
	}
	return nil
}

func (c *Cluster) slot(ctx context.Context, key string) int {
	c.tb.Helper()
	slot, err := c.nodes[0].ClusterKeySlot(ctx, key).Result()
	c.check(err)
	return int(slot)
}

func (c *Cluster) check(err error) {
	if err != nil {
		c.tb.Helper()
		c.tb.Fatalf("servers: Cluster: %v", err)
	}
}

// await polls check until it returns nil, or until ctx is done: then it returns
// check's error.
func await(ctx context.Context, check func() error) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}
