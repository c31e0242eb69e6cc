package round

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/quorum"
)

// Fencing says whether a grant is to have a token.
type Fencing struct {
	// Keep is how long the nodes keep its counter after the last use; 0 to have
	// no token, negative for ever.
	Keep time.Duration
	// Proposal is what the token is to be at least.
	Proposal int64
}

// keep returns Keep in whole ms, rounded up, 0 for ever.
func (fc Fencing) keep() int64 {
	if fc.Keep < 0 {
		return 0
	}
	ms := fc.Keep.Milliseconds()
	if fc.Keep%time.Millisecond > 0 {
		ms++
	}
	return ms
}

// IsTokenLimit reports whether a node has failed because its counter cannot grow.
func IsTokenLimit(err error) bool { return err != nil && redis.HasErrorPrefix(err, "TOKENLIMIT") }

// fences has the grant get a token, before its acquire is prepared.
func (g *Grant) fences(fc Fencing) {
	if fc.Keep != 0 {
		g.commands.Fence(g.series.Resources(), fc.Proposal, fc.keep())
	}
}

// Token returns the fencing token of what was acquired; 0 if it is to have none.
func (g *Grant) Token() int64 { return g.commands.Token() }

// counters are what the nodes that have granted stand at.
type counters struct {
	token int64 // the largest
	there int   // nodes that stand at it
	below int   // nodes that do not, and have not been asked to
}

func (a *attempt) counters() (c counters) {
	for i := range a.nodes.Size() {
		s := a.voteOf(i)
		switch {
		case !s.voted || s.kind != node.Granted:
		case s.counter > c.token:
			c.below += c.there
			c.token, c.there = s.counter, 1
		case s.counter == c.token:
			c.there++
		default:
			c.below++
		}
	}
	return c
}

// agree is for an attempt that a majority has granted. The token is the largest of
// the counters, and every later grant meets it if a majority stands at it while
// the lock is ours there. In the usual case they do so by themselves, as the
// proposal was larger than any of the counters. Otherwise the others are raised.
func (a *attempt) agree(ctx context.Context) quorum.Outcome {
	deadline := time.Now().Add(min(a.limits.Timeout, a.limits.Wait-time.Since(a.began)))
	for {
		c := a.counters()
		if c.there >= a.nodes.Quorum() {
			a.grant.commands.Agree(c.token)
			return quorum.Acquired
		}
		if c.below > 0 {
			a.raise(ctx, c.token)
		}
		if o := a.await(ctx, time.Until(deadline), a.count, a.agreed); o != quorum.Acquired {
			return o
		}
	}
}

// agreed returns Acquired if there is something to do: a majority stands at the
// token, or a node that has answered does not.
func (a *attempt) agreed(waiting, silent int) quorum.Outcome {
	c := a.counters()
	switch majority := a.nodes.Quorum(); {
	case c.there >= majority, c.below > 0 && !a.timedOut:
		return quorum.Acquired
	case c.there+waiting >= majority:
		return quorum.Undecided
	}
	tally := a.tally
	tally.Granted = c.there
	return tally.Outcome(waiting, silent)
}

// raise asks the nodes that stand below the token to raise their counter to it,
// where the lock is still ours: what somebody else has there by now would take the
// token for one that came before.
func (a *attempt) raise(ctx context.Context, token int64) {
	g := a.grant
	places := g.series.Take(lane.Follow, a.limits.Timeout, func(i int) bool {
		s := a.voteOf(i)
		return s.voted && s.kind == node.Granted && s.counter < token
	})
	a.ask(places)
	for i := range places {
		if p := &places[i]; p.Taken() || p.Reason() != lane.Unwanted {
			a.voteOf(i).raising = true
		}
	}
	a.sent(g.send(ctx, alike(g.commands.Raise(token)), places, &raising{g, a.filed}))
}

// A raising is the ballot of the command that raises counters.
type raising struct {
	grant *Grant
	filed chan filed
}

func (b *raising) File(_ context.Context, i int, v node.Vote) {
	if v.Kind == node.Gone || v.Kind == node.Taken {
		b.grant.lacks(i, v.Kind)
	}
	b.filed <- filed{i, v}
}

// countRaise counts the answer of a node that had granted.
func (a *attempt) countRaise(i int, v node.Vote) {
	switch v.Kind {
	case node.Granted:
	case node.Gone, node.Taken:
		a.tally.Granted--
		a.tally.Refuse("lost on " + strconv.Itoa(i))
	default:
		a.tally.Granted--
		a.tally.Failed++
	}
}

// lacks notes that a node has lost the value before the attempt was decided.
func (g *Grant) lacks(node int, k node.Kind) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ledger.Lose(node, k)
}
