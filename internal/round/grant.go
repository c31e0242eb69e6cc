package round

import (
	"context"
	"sync"
	"time"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/command"
	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/ledger"
)

// A Grant is one random value, for one resource or several, and what became of it
// on the nodes, from the attempt to acquire to the release. It is safe for
// concurrent use.
type Grant struct {
	nodes    *Nodes
	value    string
	series   lane.Series
	commands command.Set
	gate     *gate // nil without a line
	yields   bool  // for several resources: what gates have reserved for others is left to them

	mu     sync.Mutex
	won    bool          // a majority has granted
	strays []stray       // what gates have refused it in favour of
	ledger ledger.Ledger // what is known of the value on each node
	wave   *Wave         // the latest of the release
	told   chan struct{} // nil until somebody wants to know
	holder Holder
	missed context.Context //nolint:containedctx // of a grant that came before OnFresh
}

// newGrant returns a grant for resources, a list without duplicates that it keeps.
func newGrant(f *Nodes, resources []string, value string) *Grant {
	g := &Grant{
		nodes: f, value: value,
		series: f.lanes.NewSeries(resources...), ledger: ledger.New(f.Size()),
	}
	g.commands.Init(resources, value)
	return g
}

// Value returns the random value.
func (g *Grant) Value() string { return g.value }

// Pending reports whether a command for the value is sent and not answered, or
// waits to be sent.
func (g *Grant) Pending() bool { return g.series.Pending() }

// decide notes that an attempt that began at start is decided: grants that come much later
// do not count by themselves.
func (g *Grant) decide(start time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ledger.Decide(g.nodes.Clock.Now(), time.Since(start))
}

// granted notes that a node has granted the value.
func (g *Grant) granted(ctx context.Context, node int) {
	g.mu.Lock()
	counts := g.ledger.Granted(node, g.nodes.Clock.Now().Moment())
	g.mu.Unlock()
	if !counts {
		g.refresh(ctx, node)
	}
}

// overdue notes that a node has done what was meant for a moment long ago.
func (g *Grant) overdue(meant clock.Time) {
	if ledger.Overdue(g.nodes.Clock.Now().Since(meant)) {
		g.mu.Lock()
		g.ledger.Delay()
		g.mu.Unlock()
	}
}

// Late reports whether a node acted so late, as far as is known, that it keeps the
// value beyond the end of the lock.
func (g *Grant) Late() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ledger.Late()
}

// A Holder has the lock that a grant has become. Confirm is called, on a
// goroutine of its own, when a node has the value but does not count for
// extensions until one has succeeded beside it.
type Holder interface {
	Confirm(ctx context.Context)
}

// OnFresh says whom to tell of such nodes.
func (g *Grant) OnFresh(h Holder) {
	g.mu.Lock()
	g.holder = h
	missed := g.missed
	g.missed = nil
	g.mu.Unlock()
	if missed != nil {
		g.nodes.lanes.Go(func() { h.Confirm(missed) })
	}
}

// refresh tells that a node has the value but does not count yet. ctx is never done.
func (g *Grant) refresh(ctx context.Context, node int) {
	g.mu.Lock()
	g.ledger.Freshen(node)
	holder := g.holder
	if holder == nil {
		g.missed = ctx
	}
	g.mu.Unlock()
	if holder != nil {
		g.nodes.lanes.Go(func() { holder.Confirm(ctx) })
	}
}

func (g *Grant) holds(node int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ledger.Counts(node)
}
