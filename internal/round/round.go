package round

import (
	"context"
	"slices"
	"time"

	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/value"
)

// Limits say how long a round may wait.
type Limits struct {
	// Timeout is the node timeout: how long to wait for a node, and the age at
	// which an unanswered call makes it silent.
	Timeout time.Duration
	// Wait bounds the wait further; the round ends after the shorter of both. The node timeout of a
	// command that has to wait until it is sent begins then.
	Wait time.Duration
	// Stop ends the wait when it is closed, and News when it tells something. They
	// may be nil.
	Stop, News <-chan struct{}
}

func (l *Limits) wait() time.Duration { return min(l.Timeout, l.Wait) }

// A Result is what came of a round.
type Result struct {
	// Outcome is Undecided if ctx, Stop or News ended the wait.
	Outcome quorum.Outcome
	// Agreed is how many nodes voted yes before the outcome was decided.
	Agreed int
	// Refused is how many said that the value of somebody else is there or, of
	// an extension or a release, that ours is not.
	Refused int
	// RetryAfter is when as many nodes as were missing may be free again; 0 if
	// nobody knows, or Never.
	RetryAfter time.Duration
	// Holder is who has the resource, if a majority has said so.
	Holder Rival
	// By is the name of the value that has the resource, if the outcome is Held and that has
	// been told. A gate that alone was asked is believed.
	By value.Name
	// Gate is what the node that keeps the line said, and GateOnly that no other one
	// was asked, or had the time to answer.
	Gate     Answer
	GateOnly bool
	// Twice says that a node was asked twice in a row: it took two round trips.
	Twice bool
	// TimedOut says that the wait ended before the votes had decided.
	TimedOut bool
	// Hasty says that it ended because some nodes took long, before their time.
	Hasty bool
	// Failures are the nodes that failed or did not answer in time, in node
	// order.
	Failures []node.Failure
}

// Never is when a majority is free again of which too many nodes have a key without
// expiry.
const Never time.Duration = -1

// A round collects the votes on one command, for which nodes may be asked again.
type round struct {
	nodes    *Nodes
	op       node.Op
	began    time.Time
	limits   Limits
	filed    chan filed     // holds them all: a late vote never blocks; the ballot has it, too
	votes    []nodeVote     // by node
	few      [8]nodeVote    // what votes is, for that many nodes
	failures []node.Failure // among the votes read
	// Nodes that have not voted. Those that were silent when they were asked
	// are sent the command, but not waited for while the others are a majority.
	waiting, silent int
	patient         bool // waits for silent nodes too
	timedOut        bool
	waited          time.Duration // until then
	cut             bool          // by the caller's bound
}

// A nodeVote is what a round knows of a node.
type nodeVote struct {
	asked, voted bool
	refused      bool          // and has not been given the value, for certain
	kind         node.Kind     // of the vote
	silentFor    time.Duration // when it was asked
	counter      int64         // what it stands at, if it has granted and there is a fence
	raising      bool          // it had granted, and is asked to raise that
	call         *node.Call    // of a node that was sent the command
}

// filed is a vote on its way to the caller.
type filed struct {
	node int
	vote node.Vote
}

func (f *Nodes) newRound(op node.Op, l Limits) round {
	n := f.Size()
	r := round{nodes: f, op: op, began: time.Now(), limits: l, filed: make(chan filed, n)}
	if n > len(r.few) {
		r.votes = make([]nodeVote, n)
	}
	return r
}

// vote returns the vote of a node.
func (r *round) voteOf(node int) *nodeVote {
	if r.votes != nil {
		return &r.votes[node]
	}
	return &r.few[node]
}

// ask notes which nodes are asked, as the places say. A node is asked again only
// when its vote has been read.
func (r *round) ask(places []lane.Place) {
	n := len(places)
	silent := 0
	for i := range places {
		p := &places[i]
		if p.Taken() || p.Reason() != lane.Unwanted {
			*r.voteOf(i) = nodeVote{asked: true, silentFor: p.SilentFor()}
		}
		if r.voteOf(i).silentFor > 0 {
			silent++
		}
	}
	r.patient = r.patient || silent > quorum.Spare(n)
	r.waiting, r.silent = 0, 0
	for i := range n {
		switch s := r.voteOf(i); {
		case !s.asked || s.voted:
		case s.silentFor > 0 && !r.patient:
			r.silent++
		default:
			r.waiting++
		}
	}
}

// sent notes which calls bring the votes.
func (r *round) sent(calls []node.Call) {
	for i := range calls {
		if calls[i].Place.Taken() {
			r.voteOf(i).call = &calls[i]
		}
	}
}

// await reads votes until outcome is not Undecided any more or wait is over. It
// passes each vote to count first. It waits for longer, within the bounds of the caller, for
// what had to wait until it was sent, and where its timer was late.
func (r *round) await(ctx context.Context, wait time.Duration, count func(node int, v node.Vote), outcome func(waiting, silent int) quorum.Outcome) quorum.Outcome {
	var spare lane.Spare
	for {
		begun := time.Now()
		o, inTime := r.collect(ctx, wait, count, outcome)
		if inTime {
			return o
		}
		wait = max(r.more(), spare.Add(r.nodes.lanes.Lag(time.Since(begun)-wait, r.limits.Timeout), r.limits.Timeout))
		if wait = min(wait, r.limits.Wait-time.Since(r.began)); wait <= 0 {
			return r.timeOut(outcome)
		}
	}
}

// more returns for how long to wait besides for the nodes that have not voted.
func (r *round) more() (wait time.Duration) {
	for i := range r.nodes.Size() {
		if s := r.voteOf(i); s.call != nil && !s.voted && (s.silentFor == 0 || r.patient) {
			wait = max(wait, s.call.Place.Patience())
		}
	}
	return wait
}

// timeOut decides by the votes that have come.
func (r *round) timeOut(outcome func(waiting, silent int) quorum.Outcome) quorum.Outcome {
	r.timedOut = true
	r.waited = max(r.limits.wait(), time.Since(r.began).Truncate(time.Millisecond))
	r.cut = r.limits.Wait < r.limits.Timeout || r.waited >= r.limits.Wait && r.waited > r.limits.Timeout
	r.waiting, r.silent = 0, r.waiting+r.silent
	return outcome(r.waiting, r.silent)
}

// collect is await, but does not decide anything when wait is over: it reports
// false then.
func (r *round) collect(ctx context.Context, wait time.Duration, count func(node int, v node.Vote), outcome func(waiting, silent int) quorum.Outcome) (o quorum.Outcome, inTime bool) {
	timer := r.nodes.startTimer(wait)
	defer r.nodes.stopTimer(timer)
	for {
		if o := outcome(r.waiting, r.silent); o != quorum.Undecided {
			return o, true
		}
		select {
		case in := <-r.filed:
			r.read(in.node, in.vote)
			count(in.node, in.vote)
		case <-timer.C:
			for len(r.filed) > 0 { // nobody else reads
				in := <-r.filed
				r.read(in.node, in.vote)
				count(in.node, in.vote)
			}
			o := outcome(r.waiting, r.silent)
			return o, o != quorum.Undecided
		case <-ctx.Done():
			return quorum.Undecided, true
		case <-r.limits.Stop:
			return quorum.Undecided, true
		case <-r.limits.News:
			return quorum.Undecided, true
		}
	}
}

func (r *round) read(i int, v node.Vote) {
	s := r.voteOf(i)
	s.voted, s.kind, s.refused = true, v.Kind, v.Kind == node.Refused && v.Effect == node.Undone
	if !r.patient && s.silentFor > 0 {
		r.silent--
	} else {
		r.waiting--
	}
	if v.Kind == node.Failed {
		r.failures = append(r.failures, node.Failure{Node: i, Op: r.op, Err: v.Err})
	}
}

// result returns what came of the round, with the nodes that failed, and those
// that were waited for in vain or not waited for because they were silent.
func (r *round) result(o quorum.Outcome, agreed, refused int) Result {
	res := Result{Outcome: o, Agreed: agreed, Refused: refused, TimedOut: r.timedOut}
	var cut []*node.Call
	for i := range r.nodes.Size() {
		switch s := r.voteOf(i); {
		case s.voted || !s.asked:
		case s.silentFor > 0:
			r.giveUp(i, s.silentFor)
		case r.timedOut && !r.cut:
			r.giveUp(i, r.waited)
		case r.timedOut:
			r.failures = append(r.failures, node.Failure{Node: i, Op: r.op, Err: r.nodes.each[i].Silence(r.waited)})
			cut = append(cut, s.call)
		case o == quorum.Undecided:
			cut = append(cut, s.call)
		}
	}
	r.tellLater(cut)
	slices.SortFunc(r.failures, func(a, b node.Failure) int { return a.Node - b.Node })
	res.Failures = r.failures
	return res
}

// tellLater tells of the nodes that have not answered the calls when the node timeout is
// over. The bound of the caller was shorter, and says nothing of them.
func (r *round) tellLater(cut []*node.Call) {
	cut = slices.DeleteFunc(cut, func(v *node.Call) bool { return v == nil })
	if len(cut) > 0 {
		f, timeout := r.nodes, r.limits.Timeout
		time.AfterFunc(timeout, func() { f.tell(cut, timeout, timeout) })
	}
}

// tell tells of the nodes that have not answered the calls for that long, or that they have not
// once that is so.
func (f *Nodes) tell(calls []*node.Call, timeout, after time.Duration) {
	var later []*node.Call
	for _, v := range calls {
		switch {
		case v.Told(): // it has been answered, most of them
			continue
		case v.Place.Patience() > 0:
			later = append(later, v)
			continue
		}
		// A call that is under way is counted until it has been told of, and this one
		// before: Shutdown does not return in between.
		f.Begin()
		v.Tell(v.Node.Silence(after))
		f.End()
	}
	if len(later) > 0 {
		time.AfterFunc(timeout, func() { f.tell(later, timeout, after+timeout) })
	}
}

// giveUp notes that a node has not answered for d, and tells so: nobody waits for it
// any more.
func (r *round) giveUp(i int, d time.Duration) {
	err := r.nodes.each[i].Silence(d)
	r.failures = append(r.failures, node.Failure{Node: i, Op: r.op, Err: err})
	if v := r.voteOf(i).call; v != nil {
		v.Tell(err)
	}
}
