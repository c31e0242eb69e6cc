// Package node has one node do a command, and says of it done, not done or maybe done. It
// promises one vote for each command, whatever the client does, that the call is repeated
// where that helps and harms nothing, and that a release which the node has not carried out
// is tried again for as long as the value may be there. It knows nothing of other nodes but
// how fast they answer, and of a value only what its [Owner] tells. Rounds call it.
package node

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/b0401464/redlock/internal/alarm"
	"github.com/b0401464/redlock/internal/batch"
	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/lane"
)

// A Node is one node of a Locker. It is safe for concurrent use.
type Node struct {
	Index  int // among the nodes of its Locker, from 0
	Client client.Client

	peers  []*Node // all nodes, this one too
	lanes  *lane.Table
	alarms *alarm.Clock
	hooks  Hooks
	calls  errgroup.Group // nobody waits for them: the lane table counts them
	ready  ready
	goes   func() error // runNext

	queues  batch.Queues
	batched bool // the client itself makes batches
	native  native
	cache   cache
	pace    pace
	pending pending
	line    line
	lastErr atomic.Pointer[string] // unless the node has answered since
	met     atomic.Bool            // the node has answered
}

// Hooks are told what happens on the nodes, on the goroutines of their calls. ctx has the
// values of the caller's context and is never done.
type Hooks struct {
	// Failed is called once for each command that failed on a node, or that a call
	// did not wait for any more.
	Failed func(ctx context.Context, f Failure)
	// Late is called for each answer that came after the node timeout.
	Late func(ctx context.Context, node int)
}

// New returns the nodes behind clients, which have their places in lanes.
func New(clients []client.Client, lanes *lane.Table, alarms *alarm.Clock, hooks Hooks) []*Node {
	all := make([]*Node, len(clients))
	for i, c := range clients {
		n := &Node{Index: i, Client: c, peers: all, lanes: lanes, alarms: alarms, hooks: hooks, cache: newCache(c)}
		n.goes = n.runNext
		_, n.batched = c.(*redis.AutoPipeliner)
		n.native.detect(c)
		n.pending.node = n
		n.line.detect(c)
		all[i] = n
	}
	return all
}

// EnableBatches has the commands for the node sent in batches, if its client can take them.
func (n *Node) EnableBatches() {
	if n.queues = batch.For(n.Client); n.queues != nil {
		n.native.pairs = true
		n.lanes.Bound(n.Index, batch.Room*len(n.queues))
	}
}

// sendsOnce reports whether go-redis is kept from sending commands to the node again: where
// they share batches, as it repeats a batch as a whole, and until the node has answered, as
// an address where nobody listens is told of at once then, and not after the node timeout.
func (n *Node) sendsOnce() bool { return n.batched || n.queues != nil || !n.met.Load() }

// Silence returns the error of a node that has not answered for d.
func (n *Node) Silence(d time.Duration) error { return n.silence(d) }

func (n *Node) silence(d time.Duration) *silentError {
	return &silentError{silent: d, last: n.lastErr.Load()}
}

// note takes note of how a call ended. It reports whether the node answered.
func (n *Node) note(c *Command, err error) bool {
	if err != nil && !client.IsReply(err) {
		text := c.redact(err).Error()
		n.lastErr.Store(&text)
		return false
	}
	if n.lastErr.Load() != nil {
		n.lastErr.Store(nil)
	}
	if !n.met.Load() {
		n.met.Store(true)
	}
	return true
}
