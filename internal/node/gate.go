package node

import (
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
)

// muted is for how long a node keeps no lines after it has refused to keep one: its user
// may not use the keys or the channel of lines.
const muted = time.Minute

// A line is what a node is as one that keeps lines of waiting Lockers.
type line struct {
	deaf   bool                      // its client cannot listen, so it keeps none
	single bool                      // one server, that can tell who is still there
	silent atomic.Pointer[time.Time] // until when it keeps none; nil if it always has
	moves  moves

	notices   notices     // to Lockers that are next
	listening atomic.Bool // it refuses to let the client listen
	messages  atomic.Bool // it refuses the client's messages
}

func (l *line) detect(c client.Client) {
	switch c.(type) {
	case *redis.Client:
		l.single = true // a node of a Cluster knows only its own clients
	case *redis.Ring:
		l.deaf = true // a message would go to the shard of the resource, which nobody listens to
	default:
		_, listens := c.(client.Subscriber)
		l.deaf = !listens
	}
}

// KeepsLine reports whether the node can keep the line of a resource at the moment.
func (n *Node) KeepsLine(resource string) bool {
	until := n.line.silent.Load()
	return !n.line.deaf && (until == nil || !time.Now().Before(*until)) && !n.line.moves.has(resource)
}

// Mute has the node keep no lines for a while, which it returns.
func (n *Node) Mute() time.Duration {
	until := time.Now().Add(muted)
	n.line.silent.Store(&until)
	return muted
}

// RefuseListening notes whether the node refuses to let the client listen.
func (n *Node) RefuseListening(refuses bool) { n.line.listening.Store(refuses) }

// ListeningRefused reports whether the node refuses to let the client listen.
func (n *Node) ListeningRefused() bool { return n.line.listening.Load() }

// RefuseMessages notes whether the node refuses the client's messages: most likely those of its peers,
// too.
func (n *Node) RefuseMessages(refuses bool) { n.line.messages.Store(refuses) }

// MessagesRefused reports whether the node refuses the client's messages.
func (n *Node) MessagesRefused() bool { return n.line.messages.Load() }

// Looks reports whether who stands in a line there has to look when its turn is, as nobody
// can tell it.
func (n *Node) Looks() bool { return n.ListeningRefused() || n.MessagesRefused() }

// Single reports whether the node is one server, that can tell who listens to it.
func (n *Node) Single() bool { return n.line.single }
