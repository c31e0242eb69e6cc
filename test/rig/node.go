package rig

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/memory"
)

// ErrRefused is how dialling a stopped node fails.
var ErrRefused = memory.ErrRefused

// Unreachable makes the node refuse connections and drop the ones it has, or take them
// again with the data it had.
func (n *Node) Unreachable(down bool) {
	if down {
		n.Down()
	} else {
		n.Up()
	}
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
	*memory.Node

	mu   sync.Mutex
	sent int
	hook func()
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
	n := &Node{Node: memory.New(i)}
	n.Node.OnSend(n.sends)
	t.Cleanup(n.Close)
	return n
}

// sends counts the commands of locks in a request.
func (n *Node) sends(request []byte) {
	n.mu.Lock()
	for _, name := range []string{"\r\neval", "\r\nset\r\n", "\r\ndelex\r\n"} {
		n.sent += bytes.Count(request, []byte(name))
	}
	hook := n.hook
	n.mu.Unlock()
	if hook != nil {
		hook()
	}
}

// OnSend has f called before each request is sent, instead of what was given before.
func (n *Node) OnSend(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hook = f
}

// Commands returns how many commands of locks the node was sent.
func (n *Node) Commands() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent
}

// Stop makes the node refuse connections and drop the ones it has.
func (n *Node) Stop() { n.Down() }

// Restart brings a stopped node back, empty.
func (n *Node) Restart() {
	n.FlushAll()
	n.Up()
}

// A Forbidding is a node that may refuse to let anybody listen.
type Forbidding struct {
	allows  atomic.Bool
	refused atomic.Int32
}

// Allow has the node let everybody listen.
func (f *Forbidding) Allow() { f.allows.Store(true) }

// Refused returns how often the node has refused.
func (f *Forbidding) Refused() int { return int(f.refused.Load()) }

// Forbid has the node refuse SUBSCRIBE as an ACL does, which ends the connections that
// listen, until it is told otherwise.
func (n *Node) Forbid() *Forbidding {
	f := new(Forbidding)
	n.Server().SetPreHook(func(p *server.Peer, cmd string, _ ...string) bool {
		if f.allows.Load() || !slices.Contains([]string{"SUBSCRIBE", "subscribe"}, cmd) {
			return false
		}
		f.refused.Add(1)
		p.WriteError("NOPERM this user has no permissions to access one of the channels used as arguments")
		return true
	})
	n.Cut()
	return f
}
