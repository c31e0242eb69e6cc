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
	// TimedOut says that the wait ended before the votes had decided.
	TimedOut bool
	// Failures are the nodes that failed or did not answer in time, in node
	// order.
	Failures []Failure
}

// A round collects the votes of one command.
type round struct {
	fleet    *Fleet
	op       Op
	limits   Limits
	places   []lane.Place
	filed    chan filed // holds them all: a late vote never blocks
	voted    []bool     // by node: its vote has been read, or it was not asked
	few      [8]bool    // what voted is, for that many nodes
	failures []Failure  // among the votes read
	// Nodes that have not voted. Those that were silent when the round began
	// are sent the command, but not waited for while the others are a majority.
	waiting, silent int
	patient         bool // waits for silent nodes too
	timedOut        bool
}

// filed is a vote on its way to the caller.
type filed struct {
	node int
	vote vote
}

func (f *Fleet) newRound(op Op, places []lane.Place, l Limits) *round {
	n := len(places)
	r := &round{fleet: f, op: op, limits: l, places: places, filed: make(chan filed, n)}
	if n <= len(r.few) {
		r.voted = r.few[:n]
	} else {
		r.voted = make([]bool, n)
	}
	for i := range places {
		switch p := &places[i]; {
		case !p.Taken() && p.Reason() == lane.Unwanted:
			r.voted[i] = true
		case p.SilentFor() > 0:
			r.silent++
		default:
			r.waiting++
		}
	}
	if r.silent > quorum.Spare(n) {
		r.patient = true
		r.waiting, r.silent = r.waiting+r.silent, 0
	}
	return r
}

// file hands in the vote of a node. It is called once for each node asked.
func (r *round) file(node int, v vote) { r.filed <- filed{node, v} }

// await reads votes until outcome is not Undecided any more or the wait is
// over. It passes each vote to count first.
func (r *round) await(ctx context.Context, count func(node int, v vote), outcome func(waiting, silent int) quorum.Outcome) quorum.Outcome {
	timer := r.fleet.startTimer(r.limits.wait())
	defer r.fleet.stopTimer(timer)
	for {
		if o := outcome(r.waiting, r.silent); o != quorum.Undecided || r.timedOut {
			return o
		}
		select {
		case in := <-r.filed:
			r.read(in.node, in.vote)
			count(in.node, in.vote)
		case <-timer.C:
			r.timedOut = true
			r.waiting, r.silent = 0, r.waiting+r.silent
		case <-ctx.Done():
			return quorum.Undecided
		case <-r.limits.Stop:
			return quorum.Undecided
		case <-r.limits.News:
			return quorum.Undecided
		}
	}
}

func (r *round) read(node int, v vote) {
	r.voted[node] = true
	if !r.patient && r.places[node].SilentFor() > 0 {
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
	for i, voted := range r.voted {
		switch silent := r.places[i].SilentFor(); {
		case voted:
		case silent > 0:
			r.failures = append(r.failures, Failure{i, r.op, r.fleet.silence(i, silent)})
		case r.timedOut:
			r.failures = append(r.failures, Failure{i, r.op, r.fleet.silence(i, r.limits.wait())})
		}
	}
	slices.SortFunc(r.failures, func(a, b Failure) int { return a.Node - b.Node })
	res.Failures = r.failures
	return res
}
