package round

import (
	"context"
	"slices"
	"time"

	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/quorum"
)

// Limits say how long a round may wait.
type Limits struct {
	// Timeout is the node timeout: how long to wait for a node, and the age at
	// which an unanswered call makes it silent.
	Timeout time.Duration
	// Wait bounds the wait further; the round ends after the shorter of both.
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
	// nobody knows.
	RetryAfter time.Duration
	// Gate is what the node that keeps the line said.
	Gate Answer
	// TimedOut says that the wait ended before the votes had decided.
	TimedOut bool
	// Failures are the nodes that failed or did not answer in time, in node
	// order.
	Failures []Failure
}

// A round collects the votes on one command, for which nodes may be asked again.
type round struct {
	fleet    *Fleet
	op       Op
	limits   Limits
	filed    chan filed // holds them all: a late vote never blocks; the ballot has it, too
	seats    []seat     // by node
	few      [8]seat    // what seats is, for that many nodes
	failures []Failure  // among the votes read
	// Nodes that have not voted. Those that were silent when they were asked
	// are sent the command, but not waited for while the others are a majority.
	waiting, silent int
	patient         bool // waits for silent nodes too
	timedOut        bool
}

// A seat is what a round knows of a node.
type seat struct {
	asked, voted bool
	refused      bool          // by the only copy of the command
	kind         kind          // of the vote
	silentFor    time.Duration // when it was asked
	counter      int64         // what it stands at, if it has granted and there is a fence
	raising      bool          // it had granted, and is asked to raise that
}

// filed is a vote on its way to the caller.
type filed struct {
	node int
	vote vote
}

// A ballot is what the votes on a command are handed in to.
type ballot interface {
	// file hands in the vote of a node, on whatever goroutine. It is called once for
	// each node asked. ctx has the values of the caller's, and is never done.
	file(ctx context.Context, node int, v vote)
}

func (f *Fleet) newRound(op Op, l Limits) round {
	n := f.Size()
	r := round{fleet: f, op: op, limits: l, filed: make(chan filed, n)}
	if n > len(r.few) {
		r.seats = make([]seat, n)
	}
	return r
}

// seat returns the seat of a node.
func (r *round) seat(node int) *seat {
	if r.seats != nil {
		return &r.seats[node]
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
			*r.seat(i) = seat{asked: true, silentFor: p.SilentFor()}
		}
		if r.seat(i).silentFor > 0 {
			silent++
		}
	}
	r.patient = r.patient || silent > quorum.Spare(n)
	r.waiting, r.silent = 0, 0
	for i := range n {
		switch s := r.seat(i); {
		case !s.asked || s.voted:
		case s.silentFor > 0 && !r.patient:
			r.silent++
		default:
			r.waiting++
		}
	}
}

// await reads votes until outcome is not Undecided any more or wait is over. It
// passes each vote to count first.
func (r *round) await(ctx context.Context, wait time.Duration, count func(node int, v vote), outcome func(waiting, silent int) quorum.Outcome) quorum.Outcome {
	o, inTime := r.collect(ctx, wait, count, outcome)
	if inTime {
		return o
	}
	r.timedOut = true
	r.waiting, r.silent = 0, r.waiting+r.silent
	return outcome(r.waiting, r.silent)
}

// collect is await, but does not decide anything when wait is over: it reports
// false then.
func (r *round) collect(ctx context.Context, wait time.Duration, count func(node int, v vote), outcome func(waiting, silent int) quorum.Outcome) (o quorum.Outcome, inTime bool) {
	timer := r.fleet.startTimer(wait)
	defer r.fleet.stopTimer(timer)
	for {
		if o := outcome(r.waiting, r.silent); o != quorum.Undecided {
			return o, true
		}
		select {
		case in := <-r.filed:
			r.read(in.node, in.vote)
			count(in.node, in.vote)
		case <-timer.C:
			return quorum.Undecided, false
		case <-ctx.Done():
			return quorum.Undecided, true
		case <-r.limits.Stop:
			return quorum.Undecided, true
		case <-r.limits.News:
			return quorum.Undecided, true
		}
	}
}

func (r *round) read(node int, v vote) {
	s := r.seat(node)
	s.voted, s.kind, s.refused = true, v.kind, v.kind == refused && !v.late
	if !r.patient && s.silentFor > 0 {
		r.silent--
	} else {
		r.waiting--
	}
	if v.kind == failed {
		r.failures = append(r.failures, Failure{node, r.op, v.err})
	}
}

// result returns what came of the round, with the nodes that failed, and those
// that were waited for in vain or not waited for because they were silent.
func (r *round) result(o quorum.Outcome, agreed, refused int) Result {
	res := Result{Outcome: o, Agreed: agreed, Refused: refused, TimedOut: r.timedOut}
	for i := range r.fleet.Size() {
		switch s := r.seat(i); {
		case s.voted || !s.asked:
		case s.silentFor > 0:
			r.failures = append(r.failures, Failure{i, r.op, r.fleet.silence(i, s.silentFor)})
		case r.timedOut:
			r.failures = append(r.failures, Failure{i, r.op, r.fleet.silence(i, r.limits.wait())})
		}
	}
	slices.SortFunc(r.failures, func(a, b Failure) int { return a.Node - b.Node })
	res.Failures = r.failures
	return res
}
