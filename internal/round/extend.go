package round

import (
	"context"
	"time"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/ledger"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/quorum"
)

// Extend asks the nodes once to make the value last until ttl after start, which
// is now. The outcome is Extended, Lost, Unknown, Undecided, or Released if the
// grant has been. What the votes say is noted in the grant whenever they come.
func (g *Grant) Extend(ctx context.Context, start clock.Time, ttl time.Duration, l Limits) (*ledger.Round, Result) {
	x := &ledger.Round{Start: start, TTL: ttl, Timeout: l.Timeout}
	g.mu.Lock()
	if g.ledger.Releasing() {
		g.mu.Unlock()
		return x, Result{Outcome: quorum.Released}
	}
	tally := g.ledger.Begin(x)
	places := g.series.Take(lane.Follow, l.Timeout, func(i int) bool { return !g.ledger.Away(i) })
	g.mu.Unlock()
	r := g.nodes.newRound(node.OpExtend, l)
	r.ask(places)
	r.sent(g.send(ctx, alike(g.commands.Extend(ttl)), places, &extending{g, x, r.filed}))

	outcome := r.await(ctx, l.wait(), func(i int, v node.Vote) {
		switch v.Kind {
		case node.Extended:
			if g.holds(i) {
				tally.Held++
			}
		case node.Gone, node.Taken:
			tally.Gone++
		default: // does not count
		}
	}, func(waiting, _ int) quorum.Outcome { return tally.Outcome(waiting) })
	if outcome == quorum.Unknown || outcome == quorum.Undecided {
		g.giveUp(x)
	}
	if gone := g.Gone(); outcome == quorum.Unknown && gone > quorum.Spare(g.nodes.Size()) {
		outcome, tally.Gone = quorum.Lost, gone // a late answer to an earlier round has said so
	}
	return x, r.result(outcome, tally.Held, tally.Gone)
}

// giveUp notes that nobody waits for the votes of the round any more.
func (g *Grant) giveUp(x *ledger.Round) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ledger.GiveUp(x) {
		g.tell()
	}
}

// An extending is the ballot of an extension. It has the votes, as the round may
// last as long as the lock.
type extending struct {
	grant *Grant
	round *ledger.Round
	filed chan filed
}

func (b *extending) File(ctx context.Context, node int, v node.Vote) {
	b.grant.note(ctx, b.round, node, v)
	b.filed <- filed{node, v}
}

// note takes note of what a node said.
func (g *Grant) note(ctx context.Context, x *ledger.Round, i int, v node.Vote) {
	g.mu.Lock()
	follows := g.ledger.Note(x, i, v.Kind)
	if v.Slow || follows.News {
		g.tell()
	}
	g.mu.Unlock()
	if follows.Agreed {
		g.overdue(x.Start)
	}
	switch {
	case follows.Again != nil:
		g.arm(ctx, follows.Again, func(n int) bool { return n == i })
	case follows.Fresh:
		g.refresh(ctx, i)
	}
}

// Gone returns on how many nodes the value is known to be away.
func (g *Grant) Gone() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ledger.Gone()
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
func (g *Grant) Verdict(ttl time.Duration) (quorum.Outcome, *ledger.Round) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ledger.Verdict(ttl)
}

// Commit takes note that a round was a success: nodes that have the value by what
// they said count from now on.
func (g *Grant) Commit(x *ledger.Round) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ledger.Commit(x)
}

// Arm gives the value, in the background, to the nodes that have said that it
// is gone, or are going to say so. It is for after a success only. The nodes do
// not count until another extension has succeeded beside them.
func (g *Grant) Arm(ctx context.Context, x *ledger.Round) {
	g.mu.Lock()
	some := g.ledger.Arm(x)
	g.mu.Unlock()
	if some {
		g.arm(ctx, x, func(int) bool { return true })
	}
}

// arm sends the value, once, to those of the wanted nodes that have said it is
// gone.
func (g *Grant) arm(ctx context.Context, x *ledger.Round, wanted func(node int) bool) {
	now := g.nodes.Clock.Now()
	left := x.End().Since(now.Moment()).Truncate(time.Millisecond)
	if left < time.Millisecond {
		return
	}
	g.mu.Lock()
	if g.ledger.Releasing() {
		g.mu.Unlock()
		return
	}
	places := g.series.Take(lane.Restore, x.Timeout, func(node int) bool { return g.ledger.Empty(node) && wanted(node) })
	for i := range places {
		if places[i].Taken() {
			g.ledger.Armed(i)
		}
	}
	g.mu.Unlock()
	c := g.commands.Arm(left)
	c.Until = now.Add(left)
	g.send(ctx, alike(c), places, &arming{g, now})
}

// An arming is the ballot of the command that puts a value back.
type arming struct {
	grant *Grant
	began clock.Time
}

func (b *arming) File(ctx context.Context, i int, v node.Vote) {
	if v.Kind == node.Granted {
		b.grant.overdue(b.began)
		b.grant.refresh(ctx, i)
	}
}
