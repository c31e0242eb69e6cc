package redlock_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/redistest"
)

func TestMain(m *testing.M) {
	redistest.Silence()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// A node is an in-memory Redis in virtual time, and the network to it.
type node struct {
	*miniredis.Miniredis
	client *redis.Client

	mu     sync.Mutex
	frozen chan struct{} // closed when the node goes on; nil if it is not frozen
	delay  time.Duration
	down   bool
}

// newNodes returns in-memory nodes whose key expiry follows the fake clock of
// the surrounding synctest bubble.
func newNodes(t *testing.T, n int) []*node {
	t.Helper()
	nodes := make([]*node, n)
	for i := range nodes {
		nodes[i] = newNode(t, i)
	}
	return nodes
}

func newNode(t *testing.T, i int) *node {
	t.Helper()
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	n := &node{Miniredis: m}
	n.client = redis.NewClient(&redis.Options{
		// A literal IP, another one per node: a host name kills the bubble.
		Addr:                     fmt.Sprintf("127.0.0.%d:6379", i+1),
		Dialer:                   n.dial,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() {
		n.thaw()
		_ = n.client.Close()
		m.Close()
	})
	return n
}

func (n *node) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	down := n.down
	n.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errRefused)}
	}
	c, err := n.Dial()
	if err != nil {
		return nil, err
	}
	return &slowConn{Conn: c, node: n}, ctx.Err()
}

var errRefused = fmt.Errorf("connection refused")

// freeze makes the node's replies wait until thaw, as SIGSTOP would.
func (n *node) freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frozen == nil {
		n.frozen = make(chan struct{})
	}
}

func (n *node) thaw() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frozen != nil {
		close(n.frozen)
		n.frozen = nil
	}
}

// slow makes every command take d longer.
func (n *node) slow(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = d
}

// stop makes the node refuse connections and drop the ones it has.
func (n *node) stop() {
	n.mu.Lock()
	n.down = true
	n.mu.Unlock()
	n.Server().Close()
}

// A slowConn is a client's connection to a node; it holds the requests back
// while the node is frozen or slow, until the deadline of the write, which does
// not know of the reply to come: so it waits in Read.
type slowConn struct {
	net.Conn
	node     *node
	mu       sync.Mutex
	pending  bool
	deadline time.Time
	held     [][]byte
}

func (c *slowConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = append(c.held, append([]byte(nil), b...))
	return len(b), nil
}

func (c *slowConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	return c.Conn.SetReadDeadline(t)
}

func (c *slowConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	return c.Conn.SetDeadline(t)
}

// Read lets the requests through once the node is up to them, then reads.
func (c *slowConn) Read(b []byte) (int, error) {
	if err := c.hold(); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c *slowConn) hold() error {
	c.mu.Lock()
	held, deadline := c.held, c.deadline
	c.held = nil
	c.mu.Unlock()
	if len(held) == 0 {
		return nil
	}
	c.node.mu.Lock()
	frozen, delay := c.node.frozen, c.node.delay
	c.node.mu.Unlock()
	timeout := make(<-chan time.Time)
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		timeout = timer.C
	}
	if frozen != nil {
		select {
		case <-frozen:
		case <-timeout:
			return os.ErrDeadlineExceeded
		}
	}
	time.Sleep(delay)
	for _, b := range held {
		if _, err := c.Conn.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func clients(nodes []*node) []*redis.Client {
	all := make([]*redis.Client, len(nodes))
	for i, n := range nodes {
		all[i] = n.client
	}
	return all
}

func newLocker(t *testing.T, nodes []*node, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	l, err := redlock.New(clients(nodes), opts...)
	require.NoError(t, err)
	return l
}
