package round

import (
	"context"
	"time"

	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/script"
)

// An Extension is one call to extend a grant. Its rounds add up what they
// learn, also from votes that come after a round was given up. Its methods are
// for one goroutine.
type Extension struct {
	grant  *Grant
	news   chan struct{} // holds one: votes that came late decide something
	rounds int
	last   *extension // the last round, or the one that votes have decided late

	// Under Grant.mu.
	after  int        // successes of all calls that had been when the first round began
	gone   []bool     // by node: the value is away there, said in any round
	empty  []bool     // by node: nothing was there, and the value was not sent again
	late   *extension // the latest round that a majority agreed to after it was given up
	arming *extension // the success after which nodes that are empty get the value again
}

// An extension is one round of an Extension. What its votes say is noted here
// whenever they come; all of it is under Grant.mu but what never changes.
type extension struct {
	call      *Extension
	number    int
	after     int // Extension.after
	ttl       time.Duration
	timeout   time.Duration
	start     time.Time
	nodes     []extensionNode
	committed bool // the round was a success
	given     bool // the round was given up
}

// An extensionNode is what one node has to do with one round.
type extensionNode struct {
	mine   bool // the value was there
	counts bool // and was known to have been there since the last success
	fresh  bool // it was known to have the value when the round began, and did not count
}

// NewExtension begins a call to extend the grant.
func (g *Grant) NewExtension() *Extension {
	n := g.fleet.Size()
	said := make([]bool, 2*n)
	g.mu.Lock()
	defer g.mu.Unlock()
	return &Extension{grant: g, news: make(chan struct{}, 1), after: g.successes, gone: said[:n:n], empty: said[n:]}
}

// Round asks the nodes once to make the value last at least ttl. Its outcome is
// Extended, Lost, Unknown, Undecided, or Released if the grant has been.
func (e *Extension) Round(ctx context.Context, ttl time.Duration, l Limits) Result {
	g := e.grant
	n := g.fleet.Size()
	x := &extension{
		call: e, number: e.rounds, ttl: ttl, timeout: l.Timeout, start: time.Now(), nodes: make([]extensionNode, n),
	}
	e.last = x
	e.rounds++
	g.mu.Lock()
	if g.release.begun {
		g.mu.Unlock()
		return Result{Outcome: quorum.Released}
	}
	e.refresh()
	x.after = e.after
	places := g.train.Take(lane.Follow, l.Timeout, func(node int) bool { return !e.gone[node] })
	for i := range x.nodes {
		x.nodes[i].fresh = g.nodes[i].fresh
	}
	tally := quorum.Extend{Nodes: n, Gone: count(e.gone)}
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
	if outcome == quorum.Unknown {
		x.giveUp()
	}
	return r.result(outcome, tally.Held, tally.Gone)
}

// refresh forgets what nodes said before another call succeeded: they may have
// been given the value again.
func (e *Extension) refresh() {
	if successes := e.grant.successes; e.after != successes {
		e.after, e.late = successes, nil
		clear(e.gone)
		clear(e.empty)
	}
}

// note takes note of what a node said.
func (x *extension) note(ctx context.Context, node int, k kind) {
	e, g := x.call, x.call.grant
	g.mu.Lock()
	n, in, fresh := &g.nodes[node], &x.nodes[node], false
	switch k {
	case extended:
		in.mine, in.counts = true, n.held
		switch {
		case !x.committed || n.held:
		case in.fresh:
			// It had the value before the round and has it after its success.
			n.held, n.fresh = true, false
		default:
			fresh = true // nobody knows since when
		}
	case gone, taken:
		e.gone[node], e.empty[node] = true, k == gone
		n.held, n.fresh = false, false
	default: // tells nothing
	}
	x.review()
	success, again := e.arming, e.arming != nil && e.empty[node]
	g.mu.Unlock()
	if k == extended {
		g.overdue(x.start)
	}
	switch {
	case again:
		success.arm(ctx)
	case fresh:
		g.refresh(ctx, node)
	}
}

// giveUp notes that nobody waits for the votes of the round any more.
func (x *extension) giveUp() {
	g := x.call.grant
	g.mu.Lock()
	defer g.mu.Unlock()
	x.given = true
	x.review()
}

// review tells if the votes of a round that was given up decide something.
func (x *extension) review() {
	e, g := x.call, x.call.grant
	if !x.given || x.after != g.successes {
		return
	}
	held := 0
	for i := range x.nodes {
		if x.nodes[i].counts && g.nodes[i].held {
			held++
		}
	}
	if held >= g.fleet.Quorum() && (e.late == nil || e.late.number < x.number) {
		e.late = x
	}
	if e.verdict() != quorum.Unknown {
		select {
		case e.news <- struct{}{}:
		default: // told already
		}
	}
}

func (e *Extension) verdict() quorum.Outcome {
	switch n := e.grant.fleet.Size(); {
	case e.after != e.grant.successes:
		return quorum.Unknown
	case e.late != nil:
		return quorum.Extended
	case count(e.gone) > quorum.Spare(n):
		return quorum.Lost
	default:
		return quorum.Unknown
	}
}

// News returns a channel that tells, once, when Late may have a verdict.
func (e *Extension) News() <-chan struct{} { return e.news }

// Late returns what votes have decided that came after their rounds were given
// up: Extended, and the number of the round counted from 0, or Lost, or
// Unknown. Commit and Arm are for that round then.
func (e *Extension) Late() (outcome quorum.Outcome, round int) {
	g := e.grant
	g.mu.Lock()
	defer g.mu.Unlock()
	outcome = e.verdict()
	if outcome == quorum.Extended {
		e.last, e.late = e.late, nil
		return outcome, e.last.number
	}
	return outcome, 0
}

// Commit takes note that the last round was a success: nodes that had the value
// in it count from now on.
func (e *Extension) Commit() {
	x, g := e.last, e.grant
	g.mu.Lock()
	defer g.mu.Unlock()
	x.committed = true
	g.successes++
	for i := range x.nodes {
		if x.nodes[i].mine {
			g.nodes[i].held, g.nodes[i].fresh = true, false
		}
	}
}

// Arm gives the value, in the background, to the nodes that have said that it
// is gone, or are going to say so. It is for after a success only. The nodes do
// not count until another extension has succeeded beside them.
func (e *Extension) Arm(ctx context.Context) {
	x, g := e.last, e.grant
	g.mu.Lock()
	e.arming = x
	empty := count(e.empty) > 0
	g.mu.Unlock()
	if empty {
		x.arm(ctx)
	}
}

// arm sends the value to the nodes that have said it is gone, once.
func (x *extension) arm(ctx context.Context) {
	e, g := x.call, x.call.grant
	left := (x.ttl - time.Since(x.start)).Truncate(time.Millisecond)
	if left < time.Millisecond {
		return
	}
	g.mu.Lock()
	if g.release.begun {
		g.mu.Unlock()
		return
	}
	places := g.train.Take(lane.Follow, x.timeout, func(node int) bool { return e.empty[node] })
	clear(e.empty)
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

func count(set []bool) int {
	n := 0
	for _, in := range set {
		if in {
			n++
		}
	}
	return n
}
