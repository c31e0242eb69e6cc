package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Unreachable makes the node refuse connections and drop the ones it has, or take them
// again with the data it had.
func (n *Node) Unreachable(down bool) {
	if down {
		n.Stop()
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = false
}

// Sends counts what is sent through a hook from now on, and has it end with an error that
// fail returns.
func (h *BatchHook) Sends(fail func() error) (count func() int) {
	n := 0
	h.Set(func(_ []redis.Cmder, next func() error) error {
		h.Mu.Lock()
		n++
		h.Mu.Unlock()
		if err := fail(); err != nil {
			return err
		}
		return next()
	})
	return func() int {
		h.Mu.Lock()
		defer h.Mu.Unlock()
		return n
	}
}

// Commands returns how many scripts the nodes were sent by name.
func Commands(nodes []*Node) int {
	sum := 0
	for _, n := range nodes {
		sum += n.Commands()
	}
	return sum
}

// Sent returns how many commands the nodes were sent.
func Sent(nodes []*Node) (all int) {
	for _, n := range nodes {
		all += n.Commands()
	}
	return all
}

// A Node is an in-memory Redis in virtual time, and the network to it.
type Node struct {
	*miniredis.Miniredis
	Client *redis.Client

	mu     sync.Mutex
	frozen chan struct{} // closed when the node goes on; nil if it is not frozen
	delay  time.Duration
	down   bool
	conns  []net.Conn
	sent   int
	hook   func()
	flows  int           // how often the connections were forgotten
	ended  chan struct{} // closed when the test is over
}

// OnSend has f called before each request is sent.
func (n *Node) OnSend(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hook = f
}

// New returns in-memory nodes whose key expiry follows the fake clock of
// the surrounding synctest bubble.
func New(t *testing.T, n int) []*Node {
	t.Helper()
	nodes := make([]*Node, n)
	for i := range nodes {
		nodes[i] = NewNode(t, i)
	}
	return nodes
}

// NewNode returns node number i, from 0.
func NewNode(t *testing.T, i int) *Node {
	t.Helper()
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	n := &Node{Miniredis: m, ended: make(chan struct{})}
	n.Client = redis.NewClient(&redis.Options{
		// A literal IP, another one per node: a host name kills the bubble.
		Addr:                     fmt.Sprintf("127.0.0.%d:6379", i+1),
		Dialer:                   n.Dialer,
		PoolSize:                 5000, // waiting for a connection uses timers that go-redis shares between bubbles
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() {
		n.Thaw()
		close(n.ended)
		_ = n.Client.Close()
		m.Close()
	})
	return n
}

// Dialer connects to the node, as a client's Options.Dialer.
func (n *Node) Dialer(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	down := n.down
	n.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", ErrRefused)}
	}
	c, err := n.Dial()
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.conns = append(n.conns, c)
	flows := n.flows
	n.mu.Unlock()
	return &slowConn{Conn: c, node: n, flows: flows}, ctx.Err()
}

// ErrRefused is how dialling a stopped node fails.
var ErrRefused = errors.New("connection refused")

// Commands returns how many commands of locks the node was sent.
func (n *Node) Commands() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent
}

// Freeze makes the node's replies wait until Thaw, as SIGSTOP would.
func (n *Node) Freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frozen == nil {
		n.frozen = make(chan struct{})
	}
}

// Thaw has a frozen node go on.
func (n *Node) Thaw() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frozen != nil {
		close(n.frozen)
		n.frozen = nil
	}
}

// Forget makes the connections that there are swallow what is sent, as a load balancer does
// that has forgotten them. New ones are well.
func (n *Node) Forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.flows++
}

// Remember has what forgotten connections have swallowed answered.
func (n *Node) Remember() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.ended)
	n.ended = make(chan struct{})
}

// Slow makes every command take d longer.
func (n *Node) Slow(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = d
}

// Stop makes the node refuse connections and drop the ones it has.
func (n *Node) Stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = true
	for _, c := range n.conns {
		_ = c.Close()
	}
	n.conns = nil
}

// Restart brings a stopped node back, empty.
func (n *Node) Restart() {
	n.FlushAll()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = false
}

// A Forbidding is a node that may refuse to let anybody listen.
type Forbidding struct {
	Forbids bool
	Refused int
}

// Forbid has the node refuse SUBSCRIBE as an ACL does, which ends the connections that
// listen, until it is told otherwise.
func (n *Node) Forbid() *Forbidding {
	f := &Forbidding{Forbids: true}
	n.Server().SetPreHook(func(p *server.Peer, cmd string, _ ...string) bool {
		if !f.Forbids || !slices.Contains([]string{"SUBSCRIBE", "subscribe"}, cmd) {
			return false
		}
		f.Refused++
		p.WriteError("NOPERM this user has no permissions to access one of the channels used as arguments")
		return true
	})
	n.cut()
	return f
}

// cut ends the connections that there are.
func (n *Node) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		_ = c.Close()
	}
	n.conns = nil
}
