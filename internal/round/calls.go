package round

import (
	"context"
	"time"

	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/quorum"
)

// send has each node called that has a place, when its turn comes, and returns. What
// the nodes say is filed as their votes.
func (g *Grant) send(ctx context.Context, c func(node int) *node.Command, places []lane.Place, to node.Ballot) []node.Call {
	calls := g.calls(ctx, c, places, to)
	begin(calls)
	return calls
}

// calls prepares the calls of the nodes, by node.
func (g *Grant) calls(ctx context.Context, c func(node int) *node.Command, places []lane.Place, to node.Ballot) []node.Call {
	values, now, all := context.WithoutCancel(ctx), time.Now(), make([]node.Call, len(places))
	for i := range all {
		v := &all[i]
		v.Owner, v.Ctx, v.Command, v.Node, v.Place, v.To, v.Sent = g, values, c(i), g.nodes.each[i], &places[i], to, now
	}
	return all
}

// alike returns c for each node.
func alike(c *node.Command) func(node int) *node.Command {
	return func(int) *node.Command { return c }
}

// begin is send for calls that are prepared.
func begin(calls []node.Call) {
	for i := range calls {
		calls[i].Begin()
	}
}

// Until returns how long the value may be on a node at most; see [node.Owner].
func (g *Grant) Until(node int) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ledger.Until(node)
}

// GivenUp counts what a call that was given up may do yet; see [node.Owner].
func (g *Grant) GivenUp(v *node.Call) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i, c := v.Node.Index, v.Command
	g.ledger.GivenUp(i, c.Op, c.TTL, time.Now())
	if g.ledger.Call(i) == v {
		g.resend(v)
	}
}

// resend has a release sent again, by another connection, that a node has not answered.
func (g *Grant) resend(v *node.Call) {
	i, w := v.Node.Index, g.wave
	err := w.silence(i)
	g.ledger.Resend(i, err)
	if w.waited.Load() && w.record.Outcome() == quorum.Undecided {
		v.Tell(err)
	}
	v.Owe(v.Command, g.ledger.Until(i))
	g.settle()
}

// Concluded takes note of what a command has done; see [node.Owner]. An acquire that comes
// after its release, as it was given up, is released again.
func (g *Grant) Concluded(v *node.Call, in node.Vote, givenUp bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i, c := v.Node.Index, v.Command
	if g.ledger.Concluded(i, c.Op, c.TTL, in, givenUp, time.Now()) {
		v.Owe(g.commands.Release(i), g.ledger.Until(i))
	}
}

// Retrying notes that a release is sent again; see [node.Owner].
func (g *Grant) Retrying(node int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ledger.Retrying(node)
}

// Retried notes what that has done; see [node.Owner].
func (g *Grant) Retried(node int, said node.Kind, e node.Effect) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ledger.Retried(node, said, e)
	if g.wave != nil { // else what was left in a line is undone
		g.settle()
	}
}
