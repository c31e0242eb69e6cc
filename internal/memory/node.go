// Package memory is a Redis node in the memory of a test, with a client and the network
// between the two, which can fail in the ways that real ones do. It promises that keys expire
// by the clock of the process, which in a bubble of testing/synctest is the virtual one, and
// that nothing of it is outside the bubble. It knows nothing of locks. The kit for users'
// tests and the rig of this library's call it.
package memory

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// ErrRefused is how dialling a node that is down fails.
var ErrRefused = errors.New("connection refused")

// A Node is an in-memory Redis, and the network to it.
type Node struct {
	*miniredis.Miniredis
	Client *redis.Client

	mu     sync.Mutex
	frozen chan struct{} // closed when the node goes on; nil if it is not frozen
	delay  time.Duration
	hurry  chan struct{} // closed when commands under way are not slow any more
	down   bool
	conns  []net.Conn
	onSend []func(request []byte)
	flows  int           // how often the connections were forgotten
	ended  chan struct{} // closed when what forgotten ones swallowed is answered

	began atomic.Pointer[time.Time] // of the server, as INFO tells it
}

// New returns node number i, from 0, of those of a test.
func New(i int) *Node {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	// A literal IP, another one per node: a host name kills the bubble.
	return reach(m, fmt.Sprintf("127.0.%d.%d:6379", i/250, i%250+1))
}

// From returns the same node as a process sees it that is d farther away. Its client is to be
// closed instead of it.
func (n *Node) From(d time.Duration) *Node {
	far := reach(n.Miniredis, n.Client.Options().Addr)
	far.delay = d
	return far
}

// reach returns a node with a network to it, and a client.
func reach(m *miniredis.Miniredis, addr string) *Node {
	n := &Node{Miniredis: m, hurry: make(chan struct{}), ended: make(chan struct{})}
	n.Client = redis.NewClient(&redis.Options{
		Addr:                     addr,
		Dialer:                   n.Dialer,
		PoolSize:                 5000, // waiting for a connection uses timers that go-redis shares between bubbles
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	return n
}

// Close ends the node and its client.
func (n *Node) Close() {
	n.Thaw()
	n.Remember()
	_ = n.Client.Close()
	n.Down() // what is not in the client's pool yet ends, too
	n.Miniredis.Close()
}

// Dialer connects to the node, as a client's Options.Dialer.
func (n *Node) Dialer(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", ErrRefused)}
	}
	c, err := n.Dial()
	if err != nil {
		return nil, err
	}
	slow := newConn(c, n, n.flows)
	n.conns = append(n.conns, slow)
	return slow, ctx.Err()
}

// OnSend has f called before each request is sent, beside those that were given before.
func (n *Node) OnSend(f func(request []byte)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.onSend = append(n.onSend, f)
}

// Freeze makes the node's replies wait until Thaw, as SIGSTOP would.
func (n *Node) Freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frozen == nil {
		n.frozen = make(chan struct{})
	}
}

// Answers reports whether the node is neither frozen nor down.
func (n *Node) Answers() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.frozen == nil && !n.down
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

// Hurry ends Slow, for commands under way, too.
func (n *Node) Hurry() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = 0
	close(n.hurry)
	n.hurry = make(chan struct{})
}

// Slow makes every command that is sent from now on take d longer.
func (n *Node) Slow(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = d
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

// Down makes the node refuse connections and drop the ones it has. It keeps its data.
func (n *Node) Down() {
	n.mu.Lock()
	n.down = true
	n.mu.Unlock()
	n.Cut()
}

// Up ends Down.
func (n *Node) Up() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = false
}

// Cut ends the connections that there are.
func (n *Node) Cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		_ = c.Close()
	}
	n.conns = nil
}
