// Package inspect reads what the nodes have for a resource, tells what follows from it, and has
// the value of one holder removed. Reading changes nothing on the nodes, and no node that does
// not answer keeps anybody waiting for longer than the node timeout. What is read may be
// outdated before it is seen, so that nothing is decided by it but what a compare-and-delete on
// each node decides again. It knows nothing of calls that wait for locks, nor of how a release
// gets to a node. The root package calls it.
package inspect

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/round"
)

// A Reader reads what the nodes of one Locker have. It is safe for concurrent use.
type Reader struct {
	nodes *round.Nodes
	hung  []atomic.Int32 // by node: reads that nobody waits for any more, or somebody does
}

// New returns a reader of nodes.
func New(nodes *round.Nodes) *Reader {
	return &Reader{nodes: nodes, hung: make([]atomic.Int32, nodes.Size())}
}

// maxHung is how many reads of one node may be under way. A node that does not answer keeps
// each for as long as its client is told to wait.
const maxHung = 16

// maxTries is how often a node is asked, by one connection after the other, as a server that
// has restarted has ended those that the client keeps.
const maxTries = 8

// A Sight is what one node has told.
type Sight struct {
	Node  int           // from 0
	Told  bool          // it has; else Err says why not
	Value string        // that is there and stands for a lock, unless There is false
	There bool          //
	Left  time.Duration // how long that lasts; negative if it has no expiry
	Kept  bool          // the resource is kept for the next one in line
	Token int64         // what the fencing counter stands at; 0 if there is none
	Line  []Waiting     // those in line, in order, the one for which the resource is reserved first
	Err   error
	Part  error // why it has not told all of that: not the counter, or not the line
}

// Inspect asks all nodes for all that they have for a resource. It returns what they have told
// when all have, or the timeout is over or ctx ends.
func (r *Reader) Inspect(ctx context.Context, resource string, timeout time.Duration) []Sight {
	return r.read(ctx, timeout, queryAll(resource), func([]Sight) bool { return false })
}

// read asks all nodes at once. It returns when all have told, when enough says that the others
// are not needed, when the timeout is over or when ctx ends. There is a sight of each node,
// which has neither told nor failed if it was not needed.
func (r *Reader) read(ctx context.Context, timeout time.Duration, q query, enough func([]Sight) bool) []Sight {
	n, begun := r.nodes.Size(), time.Now()
	all, done, told := make([]Sight, n), ctx.Done(), make(chan Sight, n) // holds them all: a late one never blocks
	commands := context.WithoutCancel(ctx)
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for i := range n {
		all[i].Node = i
		r.nodes.Go(func() { r.ask(commands, i, q, told) })
	}
	waiting := n
	take := func(s Sight) {
		all[s.Node] = s
		waiting--
	}
	var over time.Duration // after which time nobody has waited any more
	for waiting > 0 && over == 0 && !enough(all) {
		select {
		case s := <-told:
			take(s)
		case <-timer.C:
			over = timeout
		case <-done:
			over = max(time.Since(begun), 1)
		}
	}
	for waiting > 0 && len(told) > 0 { // nobody else reads
		take(<-told)
	}
	for i := range all {
		if over > 0 && !all[i].Told && all[i].Err == nil {
			all[i].Err = r.nodes.Node(i).Silence(over)
		}
	}
	return all
}

// ask asks one node, on a goroutine of its own, as go-redis comes back when it likes.
func (r *Reader) ask(ctx context.Context, i int, q query, told chan<- Sight) {
	s := Sight{Node: i, Err: client.ErrNoReturn}
	defer func() { told <- s }() // if the client calls runtime.Goexit, too
	defer r.hung[i].Add(-1)
	if r.hung[i].Add(1) > maxHung {
		s.Err = fmt.Errorf("not asked as %d reads wait already", maxHung)
		return
	}
	client.GrowStack()
	for range maxTries {
		s = q.sight(client.Each(ctx, r.nodes.Node(i).Client, q.commands(ctx)))
		s.Node = i
		if !client.Disconnected(s.Err) || client.Unconnected(s.Err) {
			return
		}
	}
}

// Failures returns the nodes that have not told.
func Failures(sights []Sight) (all []node.Failure) {
	for i := range sights {
		if s := &sights[i]; s.Err != nil {
			all = append(all, node.Failure{Node: s.Node, Op: node.OpInspect, Err: s.Err})
		}
	}
	return all
}
