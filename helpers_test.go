package redlock_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/redistest"
)

func TestMain(m *testing.M) {
	redistest.Silence()
	code := m.Run()
	if code == 0 {
		if err := leftRunning(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// leftRunning tells what goroutines do not end by themselves.
func leftRunning() (err error) {
	// A Locker that nobody shuts down tries a release that has failed once more after
	// a second, and calls of it may go on for some more.
	for range 10 {
		// A pool whose dials have failed tries on its own, and ends up to a second
		// after it was closed.
		err = goleak.Find(goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
		if err == nil {
			return nil
		}
		time.Sleep(time.Second)
	}
	return err
}

// A node is an in-memory Redis in virtual time, and the network to it.
type node struct {
	*miniredis.Miniredis
	client *redis.Client

	mu     sync.Mutex
	frozen chan struct{} // closed when the node goes on; nil if it is not frozen
	delay  time.Duration
	down   bool
	conns  []net.Conn
	sent   int
	hook   func()
}

// onSend has f called before each request is sent.
func (n *node) onSend(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hook = f
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
		PoolSize:                 5000, // waiting for a connection uses timers that go-redis shares between bubbles
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
	n.mu.Lock()
	n.conns = append(n.conns, c)
	n.mu.Unlock()
	return &slowConn{Conn: c, node: n}, ctx.Err()
}

var errRefused = errors.New("connection refused")

// commands returns how many scripts the node was sent by name.
func (n *node) commands() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent
}

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
	defer n.mu.Unlock()
	n.down = true
	for _, c := range n.conns {
		_ = c.Close()
	}
	n.conns = nil
}

// restart brings a stopped node back, empty.
func (n *node) restart() {
	n.FlushAll()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = false
}

// A slowConn is a client's connection to a node; it holds the requests back
// while the node is frozen or slow, until the deadline of the write, which does
// not know of the reply to come: so it waits in Read.
type slowConn struct {
	net.Conn
	node     *node
	mu       sync.Mutex
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
	return asTCP(c.Conn.SetReadDeadline(t))
}

func (c *slowConn) SetWriteDeadline(t time.Time) error {
	return asTCP(c.Conn.SetWriteDeadline(t))
}

// asTCP returns what a closed TCP connection says for what a closed pipe says.
func asTCP(err error) error {
	if errors.Is(err, io.ErrClosedPipe) {
		return io.EOF
	}
	return err
}

func (c *slowConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	return asTCP(c.Conn.SetDeadline(t))
}

// Read lets the requests through once the node is up to them, then reads.
func (c *slowConn) Read(b []byte) (int, error) {
	if err := c.hold(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	return n, asTCP(err)
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
	for _, b := range held {
		c.node.sent += bytes.Count(b, []byte("evalsha"))
	}
	hook := c.node.hook
	c.node.mu.Unlock()
	if hook != nil {
		hook()
	}
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
	go func() { // a pipe holds nothing: the first replies may have to be read before all is written
		for _, b := range held {
			if _, err := c.Conn.Write(b); err != nil {
				return // reading fails too
			}
		}
	}()
	return nil
}

// warmUp has l open its connections and load its scripts, so that a command
// takes one exchange from then on.
func warmUp(t *testing.T, l *redlock.Locker) {
	t.Helper()
	k, err := l.Lock(t.Context(), "warm up", time.Hour)
	require.NoError(t, err)
	synctest.Wait() // a node that has not answered yet would not be asked to extend
	require.NoError(t, k.Extend(t.Context(), time.Hour))
	require.NoError(t, k.Unlock(t.Context()))
	synctest.Wait()
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
	// Whatever is under way ends, in virtual time: nothing may be left.
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour) // ends what a failed test holds for ever
		defer cancel()
		_ = l.Shutdown(ctx)
		assert.NoError(t, l.Shutdown(context.Background()))
	})
	return l
}
