package round

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/script"
)

// Fencing says whether a grant is to have a token.
type Fencing struct {
	// Keep is how long the nodes keep its counter after the last use; 0 to have
	// no token, negative for ever.
	Keep time.Duration
	// Proposal is what the token is to be at least.
	Proposal int64
}

// CanFence reports whether a counter can lie beside the resource, whatever the
// topology is.
func CanFence(resource string) bool { return script.Tags(resource) }

// IsTokenLimit reports whether a node has failed because its counter cannot grow.
func IsTokenLimit(err error) bool { return err != nil && redis.HasErrorPrefix(err, "TOKENLIMIT") }

// A fence is what a grant has to do with its fencing token.
type fence struct {
	keys     []any // the resources, the counter of each
	proposal any
	keep     any   // in ms, 0 for ever
	token    int64 // set when the grant is decided, before anybody extends it
	// Room for the keys and the arguments of the acquire, with one resource.
	oneKeys   [2]any
	firstArgs [3 + 2 + 5]any
}

// fences has the grant get a token, before its acquire is prepared.
func (g *Grant) fences(fc Fencing) {
	if fc.Keep == 0 {
		return
	}
	g.fence = &fence{
		proposal: fc.Proposal,
		keep:     max(int64((fc.Keep+time.Millisecond-1)/time.Millisecond), 0),
	}
	g.fence.keys = append(slices.Grow(g.fence.oneKeys[:0], 2*len(g.keys)), g.keys...)
	for _, resource := range g.train.Resources() {
		g.fence.keys = append(g.fence.keys, script.Counter(resource))
	}
}

// Token returns the fencing token of what was acquired; 0 if it is to have none.
func (g *Grant) Token() int64 {
	if g.fence == nil {
		return 0
	}
	return g.fence.token
}

func (t *fence) acquire(g *Grant) call {
	return call{
		op: OpAcquire, reply: counts, script: script.AcquireFenced,
		args: script.AcquireFenced.Append(t.firstArgs[:0], t.keys, g.boxed, g.ttl, 1, t.proposal, t.keep),
	}
}

// enter has the acquire at the gate get a token too.
func (t *fence) enter(g *Grant) {
	gt := g.gate
	keys := append(slices.Clip(gt.keys()), t.keys[1])
	gt.first.reply, gt.first.script = counts, script.AcquireGateFenced
	gt.first.args = script.AcquireGateFenced.Args(keys, g.boxed, g.ttl, g.fleet.lines.self, gt.came, t.proposal, t.keep)
}

func (t *fence) extend(g *Grant, ttl time.Duration) call {
	return call{
		op: OpExtend, reply: counts, script: script.ExtendFenced,
		args: script.ExtendFenced.Args(t.keys, g.boxed, ttl.Milliseconds(), t.token, t.keep),
	}
}

func (t *fence) arm(g *Grant, ttl time.Duration) call {
	return call{
		op: OpAcquire, reply: counts, script: script.AcquireFenced,
		args: script.AcquireFenced.Args(t.keys, g.boxed, ttl.Milliseconds(), 0, t.token, t.keep),
	}
}

// raise is an extension that leaves the time alone. It is part of the acquire.
func (t *fence) raise(g *Grant, token int64) call {
	return call{
		op: OpAcquire, reply: raises, script: script.ExtendFenced,
		args: script.ExtendFenced.Args(t.keys, g.boxed, 0, token, t.keep),
	}
}

// counters are what the nodes that have granted stand at.
type counters struct {
	token int64 // the largest
	there int   // nodes that stand at it
	below int   // nodes that do not, and have not been asked to
}

func (a *attempt) counters() (c counters) {
	for node := range a.fleet.Size() {
		s := a.seat(node)
		switch {
		case !s.voted || s.kind != granted:
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
		if c.there >= a.fleet.Quorum() {
			a.grant.fence.token = c.token
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
	switch majority := a.fleet.Quorum(); {
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
	places := g.train.Take(lane.Follow, a.limits.Timeout, func(node int) bool {
		s := a.seat(node)
		return s.voted && s.kind == granted && s.counter < token
	})
	a.ask(places)
	for node := range places {
		if p := &places[node]; p.Taken() || p.Reason() != lane.Unwanted {
			a.seat(node).raising = true
		}
	}
	c := g.fence.raise(g, token)
	g.send(ctx, &c, places, &raising{g, a.filed})
}

// A raising is the ballot of the command that raises counters.
type raising struct {
	grant *Grant
	filed chan filed
}

func (b *raising) file(_ context.Context, node int, v vote) {
	if v.kind == gone || v.kind == taken {
		b.grant.lacks(node, v.kind)
	}
	b.filed <- filed{node, v}
}

// countRaise counts the answer of a node that had granted.
func (a *attempt) countRaise(node int, v vote) {
	switch v.kind {
	case granted:
	case gone, taken:
		a.tally.Granted--
		a.tally.Refuse("lost on " + strconv.Itoa(node))
	default:
		a.tally.Granted--
		a.tally.Failed++
	}
}

// lacks notes that a node has lost the value before the attempt was decided.
func (g *Grant) lacks(node int, k kind) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := &g.nodes[node]
	*n = grantNode{gone: true, empty: k == gone, release: n.release}
}
