package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	sentinelFile   = "sentinel.conf"
	sentinelMaster = "group"
)

// How soon Sentinels act. They would take a stall of this machine for an outage
// if it were much sooner.
const (
	downAfter        = time.Second
	failoverTimeout  = 3 * time.Second
	failoverPatience = time.Minute // elections may fail and be held again
)

// A SentinelGroup is a master, its replica and three Sentinels that put the
// replica in its place when it is down. Its methods are for the goroutine that
// runs the test, and end the test when they fail.
type SentinelGroup struct {
	Master    *Server // the first one; a failover does not change it
	Replica   *Server
	Sentinels []*Server

	tb       testing.TB
	master   *redis.Client
	replica  *redis.Client
	watchers []*redis.SentinelClient // of each Sentinel
}

// StartSentinelGroup runs the five processes, waits until the replica has what
// the master has and the Sentinels know all of them, and stops them when tb
// ends. opts are for the master and the replica.
func StartSentinelGroup(tb testing.TB, opts ...Option) *SentinelGroup {
	tb.Helper()
	// Without the delay, the master waits 5 s for more replicas to come.
	servers := Start(tb, 2, append([]Option{WithArgs("--repl-diskless-sync-delay", "0")}, opts...)...)
	g := &SentinelGroup{Master: servers[0], Replica: servers[1], tb: tb}
	g.master, g.replica = g.Master.Client(tb), g.Replica.Client(tb)
	g.Sentinels = Start(tb, 3, optionFunc(func(c *config) { c.sentinel = true }))
	for _, s := range g.Sentinels {
		w := redis.NewSentinelClient(&redis.Options{Addr: s.Addr()})
		tb.Cleanup(func() { _ = w.Close() }) // only read from
		g.watchers = append(g.watchers, w)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	g.check(g.join(ctx))
	return g
}

func (g *SentinelGroup) join(ctx context.Context) error {
	host, port, err := net.SplitHostPort(g.Master.Addr())
	if err != nil {
		return err
	}
	if err := g.replica.ReplicaOf(ctx, host, port).Err(); err != nil {
		return err
	}
	for i, w := range g.watchers {
		after := downAfter
		if i == 0 {
			// Three that notice at once vote for themselves, and all of them have
			// to wait for another election. Two of them settle it with the third.
			after *= 4
		}
		// Servers before Redis 7.0 don't know this, and take some seconds longer.
		// PING-PERIOD stays: a replica whose state is older than five of them
		// is passed over, and that is asked for once a second.
		_ = w.Process(ctx, redis.NewStatusCmd(ctx, "SENTINEL", "DEBUG", "INFO-PERIOD", 100,
			"ASK-PERIOD", 100, "PUBLISH-PERIOD", 100, "TILT-TRIGGER", 20_000))
		if err := errors.Join(
			w.Monitor(ctx, sentinelMaster, host, port, "2").Err(),
			w.Set(ctx, sentinelMaster, "down-after-milliseconds", millis(after)).Err(),
			w.Set(ctx, sentinelMaster, "failover-timeout", millis(failoverTimeout)).Err(),
		); err != nil {
			return err
		}
	}
	for _, w := range g.watchers {
		if err := await(ctx, func() error { return g.knowsAll(ctx, w) }); err != nil {
			return err
		}
	}
	return nil
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// knowsAll returns nil if a Sentinel knows the others and takes the replica for
// one that could follow the master.
func (g *SentinelGroup) knowsAll(ctx context.Context, w *redis.SentinelClient) error {
	if err := w.CkQuorum(ctx, sentinelMaster).Err(); err != nil {
		return err
	}
	others, err := w.Sentinels(ctx, sentinelMaster).Result()
	if err != nil {
		return err
	}
	replicas, err := w.Replicas(ctx, sentinelMaster).Result()
	if err != nil {
		return err
	}
	if len(others) != 2 || len(replicas) != 1 || replicas[0]["master-link-status"] != "ok" || replicas[0]["flags"] != "slave" {
		return fmt.Errorf("a Sentinel knows %v and %v", others, replicas)
	}
	return nil
}

// Client returns a client of whatever server is the master, which is closed
// when tb ends. Its options are the defaults of go-redis; each of opts may
// change them.
func (g *SentinelGroup) Client(tb testing.TB, opts ...func(*redis.FailoverOptions)) *redis.Client {
	tb.Helper()
	o := &redis.FailoverOptions{MasterName: sentinelMaster}
	for _, s := range g.Sentinels {
		o.SentinelAddrs = append(o.SentinelAddrs, s.Addr())
	}
	for _, opt := range opts {
		opt(o)
	}
	c := redis.NewFailoverClient(o)
	tb.Cleanup(func() { _ = c.Close() }) // the test may have closed it already
	return c
}

// WaitForReplica waits until the replica has what the master has now. The WAIT
// command tells only of what its own connection has written.
func (g *SentinelGroup) WaitForReplica() {
	g.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	const key = "the latest write" // they arrive in order
	mark := rand.Text()
	err := g.master.Set(ctx, key, mark, startTimeout).Err()
	if err == nil {
		err = await(ctx, func() error {
			got, err := g.replica.Get(ctx, key).Result()
			if err == nil && got != mark {
				err = errors.New("the replica lags behind")
			}
			return err
		})
	}
	g.check(err)
}

// CutReplication waits until the replica has what the master has, freezes the
// replica and ends the connection through which it hears of more.
// [Server.Thaw] lets it go on: it comes back if the master is still there.
func (g *SentinelGroup) CutReplication() {
	g.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	g.WaitForReplica()
	g.Replica.Freeze()
	n, err := g.master.ClientKillByFilter(ctx, "TYPE", "replica").Result()
	if err == nil && n != 1 {
		err = fmt.Errorf("%d connections to replicas, want one", n)
	}
	g.check(err)
}

// Freeze freezes all five processes. Nobody notices that the others are gone.
func (g *SentinelGroup) Freeze() {
	g.tb.Helper()
	for _, s := range append([]*Server{g.Master, g.Replica}, g.Sentinels...) {
		defer s.Freeze() // the Sentinels first
	}
}

// Thaw lets all five go on.
func (g *SentinelGroup) Thaw() {
	g.tb.Helper()
	for _, s := range append([]*Server{g.Master, g.Replica}, g.Sentinels...) {
		s.Thaw() // the Sentinels last
	}
}

// FailedOver reports whether all Sentinels take the replica for the master and
// it takes itself for one.
func (g *SentinelGroup) FailedOver() bool {
	g.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	return g.failedOver(ctx) == nil
}

// WaitForFailover waits until [SentinelGroup.FailedOver] is true.
func (g *SentinelGroup) WaitForFailover() {
	g.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), failoverPatience)
	defer cancel()
	if err := await(ctx, func() error { return g.failedOver(ctx) }); err != nil {
		g.check(fmt.Errorf("no failover: %w\n%s", err, g.Sentinels[1].proc.log()))
	}
}

func (g *SentinelGroup) failedOver(ctx context.Context) error {
	for _, w := range g.watchers {
		addr, err := w.GetMasterAddrByName(ctx, sentinelMaster).Result()
		if err != nil {
			return err
		}
		if got := net.JoinHostPort(addr[0], addr[1]); got != g.Replica.Addr() {
			return fmt.Errorf("the master is %s", got)
		}
	}
	return g.replica.Set(ctx, "a write that only a master takes", "", time.Millisecond).Err()
}

func (g *SentinelGroup) check(err error) {
	if err != nil {
		g.tb.Helper()
		g.tb.Fatalf("servers: Sentinel: %v", err)
	}
}
