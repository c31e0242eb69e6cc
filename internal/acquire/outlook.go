package acquire

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// see takes note of what an attempt has told, for others that wait for the resource
// here as well. One that was cut off, by the bound of its caller's wait or by ctx, says
// nothing about the nodes: what was seen before stands. But not for ever: where all
// attempts are cut off for a node timeout, too few nodes answer.
func (r *Request) see(res round.Result, start clock.Time, took time.Duration, cut bool) {
	lines := &r.calls.Queues
	if res.TimedOut || r.calls.Nodes.Late(took, r.timeout()) {
		took = 0 // nobody knows how long an answer takes
	}
	switch {
	case !cut:
		r.last = res
		lines.See(r.Hold.Resources, res, took)
	case res.Outcome != quorum.Undecided && r.last.Outcome == quorum.Undecided:
		r.last = res // better than nothing
		fallthrough
	default:
		lines.SeeNothing(r.Hold.Resources, start.Add(0))
	}
}

// hopeless reports whether the call has waited and has so little time left that an
// attempt would be cut off, by what is known of how long they take.
func (r *Request) hopeless() bool {
	if r.wait.MaxWait == 0 || r.Single() {
		return false
	}
	s := r.calls.Queues.Seen(r.Hold.Resources)
	return s != nil && r.left() < min(s.Took, r.wait.MaxWait/4)
}

// giveUp returns the fault of a call that has not got its lock in the time it had.
func (r *Request) giveUp() *fault.Fault {
	if f := r.outlook(); f != nil {
		return f
	}
	// Nobody has seen an outcome. Who stood behind another caller, whose attempt goes on,
	// knows at least that this one wants the resource, if most nodes have answered since.
	if r.tries == 0 && r.calls.Nodes.Heard(r.Began()) {
		return r.fail(nil, fault.Contended)
	}
	return r.fail(nil, fault.NoQuorum) // nobody has seen an answer
}

// interrupted returns the fault of a call that ctx has ended. It tells what is known of
// the resource, too.
func (r *Request) interrupted(ctx context.Context) *fault.Fault {
	f := r.outlook()
	if f == nil {
		return r.fail(r.calls.CauseOf(ctx))
	}
	f.Cause = r.calls.CauseOf(ctx)
	return f
}

// outlook returns the fault that says what is known of the resource, or nil if nothing
// is: that a lock of this Locker has it, or what was seen last of the nodes, by this
// call or by one before or behind it in the Locker's line.
func (r *Request) outlook() *fault.Fault {
	if f := r.refusedHere(); f != nil {
		return f
	}
	if s := r.calls.Queues.Seen(r.Hold.Resources); s != nil {
		timeout := r.timeout()
		if !s.Fresh(timeout, func() bool { return r.calls.Nodes.Answers(timeout) }) {
			return r.fail(nil, fault.NoQuorum)
		}
		r.last = s.Result
		r.last.RetryAfter = s.RetryAfter()
	}
	switch {
	case r.last.Outcome == quorum.Undecided:
		return nil
	case r.last.Outcome != quorum.Unavailable:
		return r.fail(nil, fault.Contended)
	case r.exhausted():
		return r.fail(nil, fault.TokenLimit, fault.NoQuorum)
	}
	return r.fail(nil, fault.NoQuorum)
}

// learn takes note of what an attempt has told about the line.
func (r *Request) learn(t *round.Plan, res *round.Result) {
	if r.several() {
		r.wait.LearnSeveral(t, res)
		return
	}
	trust := r.wait.Learn(time.Now(), rand.Float64, res)
	r.calls.Memory.Learn(r.resource, t, res, trust)
	if !res.Gate.Refused && res.Outcome == quorum.Acquired {
		r.Hold.Place.Quit()
	}
	if waited := t.Came != "" && t.Came != round.Now; waited && (!t.Called || !res.Gate.Granted) {
		r.calls.Listeners.Check(t.Gate, r.resource)
	}
}

// knownHolder returns who has the resource, if one before has found a majority of the
// nodes to be that one's.
func (r *Request) knownHolder(called bool) (h round.Rival) {
	if quorum.Spare(r.calls.Nodes.Size()) == 0 {
		return h // who has lost a node has lost the lock
	}
	if !r.several() {
		return r.calls.Memory.Holder(r.resource, called)
	}
	if s := r.calls.Queues.Seen(r.Hold.Resources); s != nil {
		h = s.Result.Holder
	}
	return h
}
