package round

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/quorum"
)

// An attempt collects what the nodes say to an acquire.
type attempt struct {
	round

	grant  *Grant
	to     *acquiring
	ticket Ticket
	began  time.Time
	tally  quorum.Acquire
	left   []time.Duration // of the holders on the nodes that refused
	answer Answer          // of the gate
}

// Acquire makes one attempt to put value on a majority of the nodes for ttl: on
// all of them at once or, as the ticket says, on the gate first. What came of it
// must be released, by [Grant.Release], unless the outcome is Acquired and the
// lock is still wanted. Of several resources, a node grants all or none; the ticket
// has no gate then.
func (f *Fleet) Acquire(ctx context.Context, resources []string, value string, ttl time.Duration, t Ticket, fc Fencing, l Limits) (*Grant, Result) {
	g := newGrant(f, resources, value)
	g.fences(fc)
	g.acquires(ttl)
	g.enter(t)
	a := &attempt{round: f.newRound(OpAcquire, l), grant: g, ticket: t, began: time.Now()}
	a.to = &acquiring{grant: g, began: a.began, filed: a.filed}
	a.tally.Nodes = f.Size()
	outcome := a.run(ctx)
	if outcome == quorum.Acquired && g.many != nil && g.many.yields {
		outcome = a.yield(ctx, l.wait()-time.Since(a.began))
	}
	if outcome == quorum.Acquired && g.fence != nil {
		if outcome = a.agree(ctx); outcome != quorum.Acquired {
			a.tally.Granted = a.counters().there // no others have agreed to the token
		}
	}
	if outcome != quorum.Acquired {
		a.spare()
	}
	if g.gate != nil {
		g.gate.left = a.answer.Granted && t.Came != Now
	}
	g.decide(a.began)
	return g, a.result(outcome)
}

func (a *attempt) run(ctx context.Context) quorum.Outcome {
	if a.ticket.InTurn {
		a.send(ctx, func(node int) bool { return node == a.ticket.Gate })
		if o := a.awaitGate(ctx); o != quorum.Acquired {
			return o
		}
	}
	deadline := time.Now().Add(min(a.limits.Timeout, a.limits.Wait-time.Since(a.began)))
	a.send(ctx, func(node int) bool { return !a.seat(node).asked })
	for n := 1; ; n++ {
		o := a.await(ctx, time.Until(deadline), a.count, a.tally.Outcome)
		if a.outrun(o) {
			o = a.hearGate(ctx, time.Until(deadline))
		}
		if !a.again(o, n) || !a.pause(ctx, n, deadline) {
			return o
		}
		a.forgetRefusals()
		a.send(ctx, func(node int) bool { s := a.seat(node); return s.voted && s.kind == refused })
	}
}

// spare notes which nodes a failed attempt needs no release on: those where it has
// left nothing, for certain. The release of a lock goes to every node.
func (a *attempt) spare() {
	for i := range a.fleet.Size() {
		if s := a.seat(i); s.refused && a.grant.at(&a.grant.first, i).once {
			a.grant.train.Undone(i)
		}
	}
}

// awaitGate waits for what the gate says, which alone was asked. The outcome is
// Acquired if the other nodes are to be asked: because it has granted, or has
// failed, or because it is so slow that it is done without.
func (a *attempt) awaitGate(ctx context.Context) quorum.Outcome {
	gate, patience := a.seat(a.ticket.Gate), a.fleet.patience(a.ticket.Gate, a.limits.Timeout)
	o, inTime := a.collect(ctx, min(patience, a.limits.wait()), a.count,
		func(int, int) quorum.Outcome {
			switch {
			case gate.voted && gate.kind == refused:
				return quorum.Held
			case gate.voted:
				return quorum.Acquired
			}
			return quorum.Undecided
		})
	if inTime {
		return o
	}
	if patience <= a.limits.wait() {
		a.fleet.lag(a.ticket.Gate)
	}
	return quorum.Acquired
}

// outrun reports whether the others have refused one that was called before the gate
// has answered: there was a release, and it may be on its way to them.
func (a *attempt) outrun(o quorum.Outcome) bool {
	return a.ticket.Called && (o == quorum.Held || o == quorum.Split) && !a.timedOut && !a.seat(a.ticket.Gate).voted
}

// hearGate waits a little for the gate, which has called a moment ago.
func (a *attempt) hearGate(ctx context.Context, left time.Duration) quorum.Outcome {
	over := false
	o, inTime := a.collect(ctx, min(a.fleet.patience(a.ticket.Gate, a.limits.Timeout), left), a.count,
		func(waiting, silent int) quorum.Outcome {
			if !a.seat(a.ticket.Gate).voted {
				return quorum.Undecided
			}
			over = true
			return a.tally.Outcome(waiting, silent)
		})
	if inTime && !over {
		return quorum.Undecided // ctx or Stop has ended it
	}
	if !inTime {
		return a.tally.Outcome(a.waiting, a.silent)
	}
	return o
}

// How often the nodes beside the gate are asked in one attempt: less often if one
// other has the lock, by all they say.
const (
	maxAsks     = 5
	maxAsksHeld = 3
)

// again reports whether the nodes that have refused are asked again, after n
// times: somebody who waits in line has the gate, and the release of the one
// before may still be on its way to them. While it asks, the gate is closed to
// everybody, also to a lock that is to be put there again.
func (a *attempt) again(o quorum.Outcome, n int) bool {
	if a.timedOut || a.ticket.Came == "" || a.seat(a.ticket.Gate).kind != granted {
		return false
	}
	// Who was called knows that there was a release.
	return (o == quorum.Split || a.ticket.Called && o == quorum.Held) && n < maxAsks || o == quorum.Held && n < maxAsksHeld
}

// pause waits before the nodes are asked again. It reports false if there is no
// time for that.
func (a *attempt) pause(ctx context.Context, n int, deadline time.Time) bool {
	d := quorum.SplitPause(time.Since(a.began)/time.Duration(n+1), n-1, rand.Float64()) //nolint:gosec // spreads pauses
	if d >= time.Until(deadline) {
		return false
	}
	timer := a.fleet.startTimer(d)
	defer a.fleet.stopTimer(timer)
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-a.limits.Stop:
	}
	return false
}

// forgetRefusals takes back the votes of the nodes that are asked again.
func (a *attempt) forgetRefusals() {
	a.tally = quorum.Acquire{Nodes: a.tally.Nodes, Granted: a.tally.Granted, Failed: a.tally.Failed}
	a.left = a.left[:0]
}

// send asks the nodes that want reports true for.
func (a *attempt) send(ctx context.Context, want func(node int) bool) {
	g := a.grant
	places := g.train.Take(lane.Acquire, a.limits.Timeout, want)
	a.ask(places)
	g.send(ctx, &g.first, places, a.to)
}

// An acquiring is the ballot of an attempt.
type acquiring struct {
	grant *Grant
	began time.Time
	filed chan filed
}

func (b *acquiring) file(ctx context.Context, node int, v vote) {
	if v.kind == granted {
		b.grant.overdue(b.began)
		b.grant.granted(ctx, node)
	}
	b.filed <- filed{node, v}
}

// count counts the vote of a node.
func (a *attempt) count(node int, v vote) {
	s := a.seat(node)
	s.counter = v.counter
	if s.raising {
		s.raising = false
		a.countRaise(node, v)
		return
	}
	if a.grant.gate != nil && node == a.ticket.Gate {
		a.answer.read(&v)
	}
	if a.grant.many != nil && v.kind == refused && v.more.mark == reservedMark {
		a.answer.Reserved = true
	}
	switch v.kind {
	case granted:
		a.tally.Granted++
	case refused:
		a.tally.Refuse(v.more.mark)
		a.left = append(a.left, v.more.left)
	default:
		a.tally.Failed++
	}
}

func (a *attempt) result(o quorum.Outcome) Result {
	res := a.round.result(o, a.tally.Granted, a.tally.Refused)
	res.Gate = a.answer
	if o != quorum.Acquired {
		missing := a.fleet.Quorum() - a.tally.Granted
		if a.ticket.InTurn && a.answer.Refused {
			missing = min(missing, len(a.left)) // nobody else was asked
		}
		res.RetryAfter = retryAfter(a.left, missing)
	}
	return res
}

// retryAfter returns when missing of the refusing nodes may be free again,
// given how long the holders' keys last there.
func retryAfter(left []time.Duration, missing int) time.Duration {
	if missing < 1 || missing > len(left) {
		return 0
	}
	slices.SortFunc(left, func(a, b time.Duration) int {
		if (a < 0) != (b < 0) {
			return cmp.Compare(b, a) // no expiry, which is negative, comes last
		}
		return cmp.Compare(a, b)
	})
	return max(left[missing-1], 0)
}
