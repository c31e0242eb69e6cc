package round

import (
	"context"
	"slices"
	"time"

	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/script"
)

// An Extension is one call to extend a grant. Its rounds add up what they learn.
type Extension struct {
	grant *Grant
	gone  []bool // by node: the value is away there, said in any round; under Grant.mu
	last  *extension
}

// An extension is one round of an Extension. What its votes say is noted here
// whenever they come; all of it is under Grant.mu but what never changes.
type extension struct {
	grant     *Grant
	gone      []bool // Extension.gone
	ttl       time.Duration
	timeout   time.Duration
	start     time.Time
	mine      []bool // by node: the value was there
	empty     []bool // by node: nothing was there
	fresh     []bool // by node: it was known to have the value when the round began, and did not count
	committed bool   // the round was a success
	arming    bool   // a node that says the value is gone gets it again
}

// NewExtension begins a call to extend the grant.
func (g *Grant) NewExtension() *Extension {
	return &Extension{grant: g, gone: make([]bool, g.fleet.Size())}
}

// Round asks the nodes once to make the value last at least ttl. Its outcome is
// Extended, Lost, Unknown, Undecided, or Released if the grant has been.
func (e *Extension) Round(ctx context.Context, ttl time.Duration, l Limits) Result {
	g := e.grant
	n := g.fleet.Size()
	x := &extension{
		grant: g, gone: e.gone, ttl: ttl, timeout: l.Timeout, start: time.Now(),
		mine: make([]bool, n), empty: make([]bool, n), fresh: make([]bool, n),
	}
	e.last = x
	g.mu.Lock()
	if g.release.begun {
		g.mu.Unlock()
		return Result{Outcome: quorum.Released}
	}
	places := g.train.Take(lane.Follow, l.Timeout, func(node int) bool { return !e.gone[node] })
	for i := range x.fresh {
		x.fresh[i] = g.nodes[i].fresh
	}
	tally := quorum.Extend{Nodes: n}
	for _, gone := range e.gone {
		if gone {
			tally.Gone++
		}
	}
	g.mu.Unlock()
	r := g.fleet.newRound(OpExtend, places, l)
	c := g.call(OpExtend, script.Extend, ttl)
	g.send(ctx, &c, places, func(node int, v vote) {
		x.note(ctx, node, v.kind)
		r.file(node, v)
	})

	outcome := r.await(ctx, func(node int, v vote) {
		switch v.kind {
		case extended:
			if g.holds(node) {
				tally.Held++
			}
		case gone, taken:
			tally.Gone++
		default: // does not count
		}
	}, func(waiting, _ int) quorum.Outcome { return tally.Outcome(waiting) })
	return r.result(outcome, tally.Held, tally.Gone)
}

// note takes note of what a node said.
func (x *extension) note(ctx context.Context, node int, k kind) {
	g := x.grant
	g.mu.Lock()
	n, fresh := &g.nodes[node], false
	switch k {
	case extended:
		x.mine[node] = true
		switch {
		case !x.committed || n.held:
		case x.fresh[node]:
			// It had the value before the round and has it after its success.
			n.held, n.fresh = true, false
		default:
			fresh = true // nobody knows since when
		}
	case gone, taken:
		x.gone[node], x.empty[node] = true, k == gone
		n.held, n.fresh = false, false
	default: // tells nothing
	}
	late := x.arming && x.empty[node]
	g.mu.Unlock()
	if k == extended {
		g.overdue(x.start)
	}
	switch {
	case late:
		x.arm(ctx)
	case fresh:
		g.refresh(ctx, node)
	}
}

// Commit takes note that the last round was a success: nodes that had the value
// in it count from now on.
func (e *Extension) Commit() {
	x, g := e.last, e.grant
	g.mu.Lock()
	defer g.mu.Unlock()
	x.committed = true
	for i, mine := range x.mine {
		if mine {
			g.nodes[i].held, g.nodes[i].fresh = true, false
		}
	}
}

// Arm gives the value, in the background, to the nodes that said in the last
// round that it is gone, or are going to say so. It is for after a success
// only. The nodes do not count until another extension has succeeded beside
// them.
func (e *Extension) Arm(ctx context.Context) {
	x, g := e.last, e.grant
	g.mu.Lock()
	x.arming = true
	empty := slices.Contains(x.empty, true)
	g.mu.Unlock()
	if empty {
		x.arm(ctx)
	}
}

// arm sends the value to the nodes that have said it is gone, once.
func (x *extension) arm(ctx context.Context) {
	g := x.grant
	left := (x.ttl - time.Since(x.start)).Truncate(time.Millisecond)
	if left < time.Millisecond {
		return
	}
	g.mu.Lock()
	if g.release.begun {
		g.mu.Unlock()
		return
	}
	places := g.train.Take(lane.Follow, x.timeout, func(node int) bool { return x.empty[node] })
	clear(x.empty)
	g.mu.Unlock()
	c := g.call(OpAcquire, script.Acquire, left)
	c.until = x.start.Add(x.ttl)
	sent := time.Now()
	g.send(ctx, &c, places, func(node int, v vote) {
		if v.kind == granted {
			g.overdue(sent)
			g.refresh(ctx, node)
		}
	})
}
