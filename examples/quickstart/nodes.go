package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
)

// embeddedNodes is the smallest number that survives the loss of one.
const embeddedNodes = 3

// nodes are the Redis servers of a run.
type nodes struct {
	addrs    []string
	embedded []*embedded // none with -addrs
}

// An embedded node runs in this process.
type embedded struct {
	*miniredis.Miniredis
	frozen sync.RWMutex // whoever has it for writing keeps the node from answering
}

func startNodes(addrs []string) (*nodes, error) {
	if len(addrs) > 0 {
		return &nodes{addrs: addrs}, nil
	}
	n := &nodes{}
	for range embeddedNodes {
		m := miniredis.NewMiniRedis()
		m.ClockTTL(true) // keys expire with the wall clock, as in a real server
		if err := m.Start(); err != nil {
			n.close()
			return nil, fmt.Errorf("embedded node: %w", err)
		}
		e := &embedded{Miniredis: m}
		m.Server().SetPreHook(func(*server.Peer, string, ...string) bool {
			e.frozen.RLock()
			defer e.frozen.RUnlock()
			return false
		})
		n.embedded = append(n.embedded, e)
		n.addrs = append(n.addrs, m.Addr())
	}
	return n, nil
}

// name returns how node i is called on the screen.
func (n *nodes) name(i int) string {
	return fmt.Sprintf("node %d (%s)", i+1, n.addrs[i])
}

// freeze keeps node i from answering, as SIGSTOP would: its connections stay open.
// What it was sent meanwhile it answers after thaw.
func (n *nodes) freeze(i int) (thaw func()) {
	n.embedded[i].frozen.Lock()
	return n.embedded[i].frozen.Unlock
}

// keepLine reports whether node i keeps the line of those who wait.
func (n *nodes) keepLine(i int) bool {
	return n.embedded[i].Exists("{" + resource + "}:redlock:line")
}

// stop stops node i, as a crash would: connections are cut, new ones refused.
func (n *nodes) stop(i int) { n.embedded[i].Close() }

func (n *nodes) close() {
	for _, m := range n.embedded {
		m.Close()
	}
}

// A member is what one process of a real deployment would have: a client for
// each node and a Locker on them.
type member struct {
	locker  *redlock.Locker
	clients []*redis.Client
}

// newMember connects to the nodes with go-redis' default options.
func newMember(n *nodes, onNodeError func(context.Context, *redlock.NodeError)) (*member, error) {
	m := &member{}
	for _, addr := range n.addrs {
		m.clients = append(m.clients, redis.NewClient(&redis.Options{Addr: addr}))
	}
	var err error
	m.locker, err = redlock.New(m.clients,
		// A worker never gives up before the run ends. The default pause of
		// 400 ms suits work of seconds; with sections of 50 to 250 ms it would
		// leave the lock idle for as long as it is held. The jitter stays at its
		// default, the pause itself, so the workers' attempts spread by themselves.
		redlock.WithRetry(redlock.Forever, 100*time.Millisecond),
		redlock.WithNodeErrorHandler(onNodeError),
	)
	if err != nil {
		m.close()
		return nil, fmt.Errorf("-addrs: %w", err)
	}
	return m, nil
}

func (m *member) close() {
	for _, c := range m.clients {
		_ = c.Close()
	}
}

// shutdownTimeout covers what go-redis does by default to reach a node that
// refuses connections.
const shutdownTimeout = 5 * time.Second

// dismiss ends the members, in the order that loses nothing: first the Lockers,
// then the clients. It does so when ctx has ended, too.
func dismiss(ctx context.Context, members []*member) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	errs := make([]error, len(members))
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() {
			defer m.close()
			errs[i] = m.locker.Shutdown(ctx)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Times of the probe. Its node timeout leaves slow nodes time to connect, and
// ends before its context, so that the error tells what each node said.
const (
	probeWait        = 3 * time.Second
	probeNodeTimeout = 2500 * time.Millisecond
	probeTTL         = 10 * time.Second
)

// probe checks the ttl and that a majority of the nodes answers.
func (m *member) probe(ctx context.Context, n *nodes, ttl time.Duration) error {
	over, cancel := context.WithCancel(ctx)
	cancel() // nothing is sent, but the arguments are checked
	if _, err := m.locker.TryLock(over, resource, ttl); errors.Is(err, redlock.ErrInvalidArgument) {
		return fmt.Errorf("-ttl: %w", err)
	}

	bounded, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	lock, err := m.locker.TryLock(bounded, resource+":probe", probeTTL, redlock.WithNodeTimeout(probeNodeTimeout))
	switch {
	case err == nil:
		_ = lock.Unlock(bounded) // it was got, which is all that was asked
		return nil
	case ctx.Err() != nil:
		return errors.New("interrupted before it began")
	case errors.Is(err, redlock.ErrContended): // another quickstart is starting: they do answer
		return nil
	}
	return unreachable(n, err)
}

// unreachable tells in one line why there is no majority.
func unreachable(n *nodes, err error) error {
	failed, ok := errors.AsType[*redlock.LockError](err)
	if !ok || len(failed.Nodes) == 0 {
		return err
	}
	var reasons []string
	for _, f := range failed.Nodes {
		reasons = append(reasons, n.name(f.Node-1)+": "+f.Err.Error())
	}
	return fmt.Errorf("too few nodes answer, %d of %d are needed: %s", failed.Quorum, len(n.addrs), strings.Join(reasons, "; "))
}
