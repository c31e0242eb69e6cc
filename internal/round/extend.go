package round

import (
	"context"
	"slices"
	"time"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/quorum"
)

// An Extension is one round that makes a grant last. What its votes say is noted
// in the grant whenever they come, so that rounds add up what they learn: a node
// that has agreed lasts at least as long as that round asked, and one where the
// value is gone does not get it back before an extension has succeeded.
type Extension struct {
	grant   *Grant
	ttl     time.Duration
	timeout time.Duration
	start   clock.Time
	number  int    // among the rounds of its grant, from 1
	after   int    // successes before it
	fresh   []bool // by node: it was known to have the value, and did not count

	// Under Grant.mu.
	live      bool // somebody waits for its votes
	gone      int  // nodes that it knows the value to be away from
	committed bool // it was a success
}

// Start returns when the round began.
func (x *Extension) Start() clock.Time { return x.start }

func (x *Extension) end() time.Time { return x.start.Add(x.ttl) }

// Extend asks the nodes once to make the value last until ttl after start, which
// is now. The outcome is Extended, Lost, Unknown, Undecided, or Released if the
// grant has been.
func (g *Grant) Extend(ctx context.Context, start clock.Time, ttl time.Duration, l Limits) (*Extension, Result) {
	n := g.fleet.Size()
	x := &Extension{grant: g, ttl: ttl, timeout: l.Timeout, start: start, fresh: make([]bool, n)}
	g.mu.Lock()
	if g.release.begun {
		g.mu.Unlock()
		return x, Result{Outcome: quorum.Released}
	}
	g.rounds++
	x.number, x.after, x.live, x.gone = g.rounds, g.successes, true, g.gone()
	tally := quorum.Extend{Nodes: n, Gone: x.gone}
	places := g.train.Take(lane.Follow, l.Timeout, func(node int) bool { return !g.nodes[node].gone })
	for i := range x.fresh {
		x.fresh[i] = g.nodes[i].fresh
	}
	g.mu.Unlock()
	r := g.fleet.newRound(OpExtend, l)
	r.ask(places)
	c := g.extends(ttl)
	g.send(ctx, &c, places, &extending{x, r.filed})

	outcome := r.await(ctx, l.wait(), func(node int, v vote) {
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
	if outcome == quorum.Unknown || outcome == quorum.Undecided {
		x.giveUp()
	}
	return x, r.result(outcome, tally.Held, tally.Gone)
}

// giveUp notes that nobody waits for the votes of the round any more.
func (x *Extension) giveUp() {
	g := x.grant
	g.mu.Lock()
	defer g.mu.Unlock()
	x.live = false
	if g.news(x) {
		g.tell()
	}
}

// An extending is the ballot of an extension. It has the votes, as the Extension may
// last as long as the lock.
type extending struct {
	round *Extension
	filed chan filed
}

func (b *extending) file(ctx context.Context, node int, v vote) {
	b.round.note(ctx, node, v)
	b.filed <- filed{node, v}
}

// note takes note of what a node said.
func (x *Extension) note(ctx context.Context, node int, v vote) {
	g := x.grant
	g.mu.Lock()
	n, fresh := &g.nodes[node], false
	switch v.kind {
	case extended:
		fresh = x.agree(node, n)
	case gone, taken:
		x.gone++
		*n = grantNode{gone: true, empty: v.kind == gone, release: n.release}
	default: // tells nothing
	}
	// A round after the last success has to succeed first.
	success, again := g.arming, g.arming != nil && n.empty && x.after < g.successes
	if v.slow || g.news(x) {
		g.tell()
	}
	g.mu.Unlock()
	if v.kind == extended {
		g.overdue(x.start.Add(0))
	}
	switch {
	case again:
		success.arm(ctx, func(i int) bool { return i == node })
	case fresh:
		g.refresh(ctx, node)
	}
}

// agree takes note that a node has the value and keeps it until the end of the
// round. It reports whether nobody knows since when.
func (x *Extension) agree(node int, n *grantNode) (fresh bool) {
	switch {
	case x.after == x.grant.successes:
		if n.since == 0 || x.number < n.since {
			n.since = x.number
		}
		if n.agreed == nil || n.agreed.end().Before(x.end()) {
			n.agreed = x
		}
	case !x.committed || n.held:
	case x.fresh[node]:
		// It had the value before the round and has it after its success.
		n.held, n.fresh = true, false
	default:
		return true
	}
	return false
}

// gone returns on how many nodes the value is known to be away.
func (g *Grant) gone() int {
	gone := 0
	for i := range g.nodes {
		if g.nodes[i].gone {
			gone++
		}
	}
	return gone
}

// agreed returns the round for ttl to whose end a majority keeps the value by
// what the nodes have said since the last success, or nil. They may have said so
// to different rounds.
func (g *Grant) agreed(ttl time.Duration) *Extension {
	var rounds []*Extension
	for i := range g.nodes {
		if n := &g.nodes[i]; n.held && n.agreed != nil && n.agreed.ttl == ttl {
			rounds = append(rounds, n.agreed)
		}
	}
	majority := g.fleet.Quorum()
	if len(rounds) < majority {
		return nil
	}
	slices.SortFunc(rounds, func(a, b *Extension) int { return b.end().Compare(a.end()) })
	return rounds[majority-1]
}

// news reports whether the votes of several rounds together, or of x that nobody
// waits for, have decided something.
func (g *Grant) news(x *Extension) bool {
	if x.after != g.successes {
		return false
	}
	if gone := g.gone(); gone > quorum.Spare(len(g.nodes)) && (!x.live || gone != x.gone) {
		return true
	}
	agreed := g.agreed(x.ttl)
	return agreed != nil && (!x.live || agreed != x)
}

func (g *Grant) tell() {
	select {
	case g.told <- struct{}{}:
	default: // told already, or nobody has asked
	}
}

// News returns a channel that tells when there may be a verdict, or when a node
// has answered that had not for long. It is for one reader.
// What was told before it was first asked for is in the verdict.
func (g *Grant) News() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.told == nil {
		g.told = make(chan struct{}, 1)
	}
	return g.told
}

// Verdict returns what the votes of all rounds since the last success say, late
// ones too: Extended and the round for ttl to whose end a majority keeps the
// value, or Lost, or Unknown.
func (g *Grant) Verdict(ttl time.Duration) (quorum.Outcome, *Extension) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone() > quorum.Spare(len(g.nodes)) {
		return quorum.Lost, nil
	}
	if x := g.agreed(ttl); x != nil {
		return quorum.Extended, x
	}
	return quorum.Unknown, nil
}

// Commit takes note that a round was a success: nodes that have the value by what
// they said count from now on. That is not so for what they said to a later round
// only, which may have begun before late votes made this one a success: a node may
// have been given the value when one that had voted for it had lost it already.
func (x *Extension) Commit() {
	g := x.grant
	g.mu.Lock()
	defer g.mu.Unlock()
	x.committed = true
	g.successes++
	for i := range g.nodes {
		n := &g.nodes[i]
		switch {
		case n.since == 0:
		case n.held, n.since <= x.number:
			n.held, n.fresh = true, false
		default:
			n.fresh = true
		}
		n.since, n.agreed = 0, nil
		n.gone = false // is asked again, as it may be given the value
	}
}

// Arm gives the value, in the background, to the nodes that have said that it
// is gone, or are going to say so. It is for after a success only. The nodes do
// not count until another extension has succeeded beside them.
func (x *Extension) Arm(ctx context.Context) {
	g := x.grant
	g.mu.Lock()
	g.arming = x
	empty := slices.ContainsFunc(g.nodes, func(n grantNode) bool { return n.empty })
	g.mu.Unlock()
	if empty {
		x.arm(ctx, func(int) bool { return true })
	}
}

// arm sends the value, once, to those of the wanted nodes that have said it is
// gone.
func (x *Extension) arm(ctx context.Context, wanted func(node int) bool) {
	g := x.grant
	left := time.Until(x.end()).Truncate(time.Millisecond)
	if left < time.Millisecond {
		return
	}
	g.mu.Lock()
	if g.release.begun {
		g.mu.Unlock()
		return
	}
	places := g.train.Take(lane.Follow, x.timeout, func(node int) bool { return g.nodes[node].empty && wanted(node) })
	for i := range g.nodes {
		if places[i].Taken() {
			g.nodes[i].empty, g.nodes[i].gone, g.nodes[i].unsent = false, false, false
		}
	}
	g.mu.Unlock()
	c := g.arms(left)
	c.until = x.end()
	g.send(ctx, &c, places, &arming{g, time.Now()})
}

// An arming is the ballot of the command that puts a value back.
type arming struct {
	grant *Grant
	began time.Time
}

func (b *arming) file(ctx context.Context, node int, v vote) {
	if v.kind == granted {
		b.grant.overdue(b.began)
		b.grant.refresh(ctx, node)
	}
}
