package round

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/value"
)

// An attempt collects what the nodes say to an acquire.
type attempt struct {
	round

	grant  *Grant
	to     *acquiring
	plan   Plan
	tally  quorum.Acquire
	answer Answer // of the gate
	twice  bool   // a node was asked twice
	hasty  bool   // a tie was not waited out
	alone  bool   // the gate is believed, as the others had little time to answer

	refusals []refusal // by the nodes that refused, in the order of their votes
	refused  []refusal // that were taken back, as the nodes are asked again
}

// A refusal is what a node has said of the holder.
type refusal struct {
	value.Name

	node int
	left time.Duration // how long its key lasts
}

// Acquire makes one attempt to put value on a majority of the nodes for ttl: on
// all of them at once or, as the plan says, on the gate first. What came of it
// must be released, by [Grant.Release], unless the outcome is Acquired and the
// lock is still wanted. Of several resources, a node grants all or none; the plan
// has no gate then.
func (f *Nodes) Acquire(ctx context.Context, resources []string, value string, ttl time.Duration, t Plan, fc Fencing, l Limits) (returned *Grant, _ Result) {
	g := newGrant(f, resources, value)
	defer g.undo(ctx, &returned, l.Timeout)
	g.fences(fc)
	g.commands.Quarantine(f.least)
	g.commands.Acquires(ttl, t.free())
	g.enter(t)
	a := &attempt{round: f.newRound(node.OpAcquire, l), grant: g, plan: t}
	a.to = &acquiring{grant: g, began: f.Clock.Now(), filed: a.filed}
	a.tally.Nodes = f.Size()
	outcome := a.run(ctx)
	if outcome == quorum.Unavailable && a.cut && a.plan.InTurn && a.answer.Refused && !a.answer.Empty {
		outcome, a.alone = quorum.Held, true
	}
	if outcome == quorum.Acquired && g.yields {
		outcome = a.yield(ctx, l.wait()-time.Since(a.began))
		a.answer.Reserved = a.answer.Reserved || outcome == quorum.Acquired && a.strays()
	}
	if outcome == quorum.Acquired && g.commands.Fenced() {
		if outcome = a.agree(ctx); outcome != quorum.Acquired {
			a.tally.Granted = a.counters().there // no others have agreed to the token
		}
	}
	if outcome != quorum.Acquired {
		a.spare()
	}
	if g.gate != nil {
		g.gate.left = a.answer.Granted && g.gate.came != Now
	}
	if outcome == quorum.Acquired {
		g.win()
	}
	g.decide(a.began)
	return g, a.result(outcome)
}

func (a *attempt) run(ctx context.Context) quorum.Outcome {
	if a.plan.InTurn {
		a.send(ctx, func(i int) bool { return i == a.plan.Gate })
		if o := a.awaitGate(ctx); o != quorum.Acquired {
			return o
		}
	}
	deadline := time.Now().Add(min(a.limits.Timeout, a.limits.Wait-time.Since(a.began)))
	if a.plan.Holder.Mark != "" {
		empty := a.answer.Empty
		o := a.askHolders(ctx, deadline)
		if o == quorum.Acquired && a.answer.Empty && !empty {
			o = a.askHolders(ctx, deadline) // the gate was taken for one of them
		}
		if o != quorum.Acquired {
			return o
		}
		a.grant.takeEmpty(a.answer.Came)
	}
	count := a.count
	if a.plan.Holder.Mark != "" {
		count = a.countAll(ctx)
	}
	a.send(ctx, func(i int) bool { return !a.voteOf(i).asked })
	for n := 1; ; n++ {
		o := a.vote(ctx, deadline, count)
		if a.timedOut && a.recall() {
			o = a.tally.Outcome(0, a.silent)
		}
		if a.outrun(o) {
			o = a.hearGate(ctx, time.Until(deadline), count)
		}
		if !a.again(o, n) || !a.pause(ctx, n, deadline) {
			return o
		}
		a.forgetRefusals()
		a.send(ctx, func(i int) bool { s := a.voteOf(i); return s.voted && s.kind == node.Refused })
	}
}

// vote awaits the votes. If another attempt follows, what a majority has said is enough once the
// others take much longer than usual, unless all of it is yes: until the node timeout, what each
// of two callers has got would keep the other one out.
func (a *attempt) vote(ctx context.Context, deadline time.Time, count func(node int, v node.Vote)) quorum.Outcome {
	a.hasty = false
	outcome, patience, doubled := a.tally.Outcome, a.patience(), min(a.plan.Hasty, 10)
	if a.plan.Again && patience < time.Until(deadline)>>doubled {
		if o, inTime := a.collect(ctx, patience<<doubled, count, outcome); inTime {
			return o
		}
		outcome = a.hastyOutcome
	}
	return a.await(ctx, time.Until(deadline), count, outcome)
}

// hastyOutcome returns what the votes decide if no others are expected.
func (a *attempt) hastyOutcome(waiting, silent int) quorum.Outcome {
	t := &a.tally
	o := t.Outcome(waiting, silent)
	if o != quorum.Undecided || t.Refused == 0 || t.Granted+t.Refused < a.nodes.Quorum() {
		return o
	}
	a.hasty = true
	if t.Granted > 0 {
		return quorum.Split
	}
	return t.Outcome(0, waiting+silent)
}

// patience returns after how long the nodes that are waited for take much longer than usual.
func (a *attempt) patience() (d time.Duration) {
	for i := range a.nodes.Size() {
		if s := a.voteOf(i); s.asked && !s.voted {
			d = max(d, a.nodes.each[i].Lateness(a.limits.Timeout))
		}
	}
	return d
}

// spare notes which nodes a failed attempt needs no release on: those where it has
// left nothing, for certain. The release of a lock goes to every node.
func (a *attempt) spare() {
	for i := range a.nodes.Size() {
		if a.voteOf(i).refused {
			a.grant.series.Undone(i)
		}
	}
}

// awaitGate waits for what the gate says, which alone was asked. The outcome is
// Acquired if the other nodes are to be asked: because it has granted, or has
// failed, or because it is so slow that it is done without.
func (a *attempt) awaitGate(ctx context.Context) quorum.Outcome {
	n, gate, left := a.nodes.each[a.plan.Gate], a.voteOf(a.plan.Gate), a.limits.wait()
	patience := min(n.Patience(a.limits.Timeout), n.Share(left))
	o, inTime := a.collect(ctx, patience, a.count,
		func(int, int) quorum.Outcome {
			switch {
			case gate.voted && gate.kind == node.Refused:
				return quorum.Held
			case gate.voted, a.answer.Empty:
				return quorum.Acquired
			}
			return quorum.Undecided
		})
	if inTime {
		return o
	}
	if patience < left {
		n.Lag()
	}
	return quorum.Acquired
}

// outrun reports whether the others have refused one that was called before the gate
// has answered: there was a release, and it may be on its way to them.
func (a *attempt) outrun(o quorum.Outcome) bool {
	return a.plan.Called && (o == quorum.Held || o == quorum.Split) && !a.timedOut && !a.hasty && !a.voteOf(a.plan.Gate).voted
}

// hearGate waits a little for the gate, which has called a moment ago.
func (a *attempt) hearGate(ctx context.Context, left time.Duration, count func(node int, v node.Vote)) quorum.Outcome {
	over := false
	o, inTime := a.collect(ctx, min(a.nodes.each[a.plan.Gate].Patience(a.limits.Timeout), left), count,
		func(waiting, silent int) quorum.Outcome {
			if !a.voteOf(a.plan.Gate).voted {
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
	if a.timedOut || a.plan.Came == "" || a.voteOf(a.plan.Gate).kind != node.Granted {
		return false
	}
	// Who was called knows that there was a release.
	return (o == quorum.Split || a.plan.Called && o == quorum.Held) && n < maxAsks || o == quorum.Held && n < maxAsksHeld
}

// pause waits before the nodes are asked again. It reports false if there is no
// time for that.
func (a *attempt) pause(ctx context.Context, n int, deadline time.Time) bool {
	d := quorum.SplitPause(time.Since(a.began)/time.Duration(n+1), n-1, rand.Float64()) //nolint:gosec // spreads pauses
	if d >= time.Until(deadline) {
		return false
	}
	timer := a.nodes.startTimer(d)
	defer a.nodes.stopTimer(timer)
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
	a.refused, a.refusals = a.refusals, nil
}

// recall counts the votes that were taken back of nodes which have not been answered
// again in the time that was left. It reports whether there are any.
func (a *attempt) recall() (some bool) {
	for _, r := range a.refused {
		if s := a.voteOf(r.node); !s.voted {
			s.voted, s.kind = true, node.Refused // its release is sent all the same
			a.tally.Refuse(r.Mark)
			a.refusals = append(a.refusals, r)
			a.silent--
			some = true
		}
	}
	return some
}

// send asks the nodes that want reports true for.
func (a *attempt) send(ctx context.Context, want func(node int) bool) {
	g := a.grant
	places := g.series.Take(lane.Acquire, a.limits.Timeout, want)
	a.ask(places)
	a.sent(g.send(ctx, g.commands.Acquire, places, a.to))
}

// An acquiring is the ballot of an attempt.
type acquiring struct {
	grant *Grant
	began clock.Time
	filed chan filed
}

func (b *acquiring) File(ctx context.Context, i int, v node.Vote) {
	if v.Kind == node.Granted {
		b.grant.overdue(b.began)
		b.grant.granted(ctx, i)
	}
	if v.Kind == node.Refused {
		b.grant.refusedAt(i, v.More)
	}
	b.filed <- filed{i, v}
}

// count counts the vote of a node.
func (a *attempt) count(i int, v node.Vote) {
	s := a.voteOf(i)
	s.counter = v.Counter
	a.twice = a.twice || v.Twice
	if s.raising {
		s.raising = false
		a.countRaise(i, v)
		return
	}
	if a.grant.gate != nil && i == a.plan.Gate {
		a.answer.read(&v)
		if a.answer.Empty {
			s.asked, s.voted = false, false // it was only looked at
			return
		}
	}
	if a.grant.yields && v.Kind == node.Refused && v.More.Mark == node.ReservedMark {
		a.answer.Reserved = true
	}
	switch v.Kind {
	case node.Granted:
		a.tally.Granted++
	case node.Refused:
		a.tally.Refuse(v.More.Mark)
		a.refusals = append(a.refusals, refusal{v.More.Name, i, v.More.Left})
	default:
		a.tally.Failed++
	}
}

// countAll returns count for when all nodes are asked to grant. A gate that was only looked
// at, and says meanwhile that nothing is there, is asked as well: its vote may be the one
// that is missing.
func (a *attempt) countAll(ctx context.Context) func(i int, v node.Vote) {
	return func(i int, v node.Vote) {
		a.count(i, v)
		if !a.voteOf(i).voted { // so it is the gate
			a.grant.takeEmpty(a.answer.Came)
			a.send(ctx, func(n int) bool { return n == i })
		}
	}
}

func (a *attempt) result(o quorum.Outcome) Result {
	res := a.round.result(o, a.tally.Granted, a.tally.Refused)
	res.Gate, res.Holder, res.GateOnly = a.answer, a.holder(), a.plan.InTurn
	res.Twice, res.Hasty = a.twice, a.hasty
	if o == quorum.Held {
		res.By = a.by()
	}
	for node := range a.nodes.Size() {
		res.GateOnly = res.GateOnly && (node == a.plan.Gate || !a.voteOf(node).asked || a.alone)
	}
	if o != quorum.Acquired {
		missing, spare := a.nodes.Quorum()-a.tally.Granted, quorum.Spare(a.nodes.Size())
		if res.GateOnly && a.answer.Refused {
			missing, spare = min(missing, len(a.refusals)), 0 // the gate is believed
		}
		res.RetryAfter = retryAfter(a.refusals, missing, spare)
	}
	return res
}

// retryAfter returns when missing of the refusing nodes may be free again, given how
// long the holders' keys last there: Never if those of more nodes than spare are endless.
func retryAfter(refusals []refusal, missing, spare int) time.Duration {
	endless := 0
	for i := range refusals {
		if refusals[i].left < 0 {
			endless++
		}
	}
	if endless > spare {
		return Never
	}
	if missing < 1 || missing > len(refusals) {
		return 0
	}
	slices.SortFunc(refusals, func(a, b refusal) int {
		if (a.left < 0) != (b.left < 0) {
			return cmp.Compare(b.left, a.left) // no expiry, which is negative, comes last
		}
		return cmp.Compare(a.left, b.left)
	})
	return max(refusals[missing-1].left, 0)
}
