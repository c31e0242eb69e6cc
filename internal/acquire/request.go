package acquire

import (
	"context"
	"slices"
	"time"

	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/lease"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
	"github.com/b0401464/redlock/internal/value"
	"github.com/b0401464/redlock/internal/waitqueue"
)

// outcomes are the values of redlock.outcome.
var outcomes = map[quorum.Outcome]string{
	quorum.Undecided:   "given_up",
	quorum.Acquired:    "acquired",
	quorum.Unavailable: "unavailable",
	quorum.Held:        "held",
	quorum.Split:       "split",
}

// A Request is one call of Lock: its attempts and the pauses between them. It is made by
// [NewRequest].
type Request struct {
	Hold *lease.Hold // what is to become the lock; it has the place in line
	TTL  time.Duration
	Once bool // TryLock: one attempt, whatever the Config says

	calls    *Calls
	resource string // the first one of several; Hold has all
	drift    time.Duration
	config   Config

	kept  bool // Hold is a lock
	tries int  // begun attempts, repeats included
	hasty int  // those in a row that have not waited for nodes that took long
	wait  wait
	last  round.Result // of the last attempt that told something; Undecided if there was none
}

// NewRequest returns a call that begins now and is to make h a lock.
func NewRequest(calls *Calls, h *lease.Hold, ttl, drift time.Duration, c *Config) Request {
	return Request{calls: calls, resource: h.Resources[0], TTL: ttl, drift: drift, config: *c, Hold: h, wait: wait{Waiter: waitqueue.Waiter{Schedule: c.schedule()}}}
}

// Began returns when the call began.
func (r *Request) Began() time.Time { return r.wait.Began }

// Attempts returns how many attempts the retry schedule has brought, the first one included.
func (r *Request) Attempts() int { return r.wait.Attempts() }

// Run makes attempts until one succeeds or the request is over. The program's ctx and
// telemetry may panic, or call runtime.Goexit: then nothing is left, wherever that was, once
// Abandon has been called.
func (r *Request) Run(ctx context.Context) *fault.Fault {
	count := &r.calls.Count
	if !count.Enter() {
		return r.fail(nil, fault.Shutdown)
	}
	defer r.settle(ctx)
	if f := r.acquire(ctx); f != nil {
		return f
	}
	if !count.Keep() {
		return r.fail(nil, fault.Shutdown)
	}
	r.kept = true
	r.occupy()
	r.Hold.Begin(ctx)
	return nil
}

// Abandon releases the lock if there is one: nobody gets it.
func (r *Request) Abandon(ctx context.Context) {
	if r.kept {
		r.Hold.Release(context.WithoutCancel(ctx))
	}
}

// settle gives up what the request has besides its lock, or everything if it has got none.
func (r *Request) settle(ctx context.Context) {
	if !r.kept {
		defer r.calls.Count.Leave() // Shutdown may return from here on
		r.Hold.Undo(ctx)
	}
	r.leaveLines(ctx)
}

// acquire makes attempts until one is granted, and has Hold have what that was.
func (r *Request) acquire(ctx context.Context) *fault.Fault {
	l := r.calls
	if ctx.Err() != nil {
		return r.fail(r.calls.CauseOf(ctx))
	}
	if r.Single() {
		r.recheck(ctx, true)
		if f := r.refusedHere(); f != nil {
			return f
		}
	}
	r.wait.Queues = r.queues()
	r.watch()
	if r.queues() && !l.Queues.Join(&r.Hold.Place, r.resource, r.config.Delay) {
		if f := r.stand(ctx, r.Hold.Place.MayGo); f != nil {
			return f
		}
	}
	for {
		if ctx.Err() != nil {
			return r.interrupted(ctx)
		}
		if r.several() && !r.Hold.Group.Ask() {
			if f := r.stand(ctx, r.Hold.Group.Ask); f != nil {
				return f
			}
		}
		if r.hopeless() {
			return r.giveUp()
		}
		granted, again := r.attempt(ctx)
		if !granted {
			r.tried()
		}
		switch {
		case granted:
			return nil
		case ctx.Err() != nil:
			return r.interrupted(ctx)
		case l.Count.Closed():
			return r.fail(nil, fault.Shutdown)
		case !again:
			return r.giveUp()
		}
		r.countWaiting(ctx)
		if f := r.rest(ctx); f != nil {
			return f
		}
	}
}

// attempt tries once. It reports whether that was granted or, if not, whether there is to be
// another attempt.
func (r *Request) attempt(ctx context.Context) (granted, again bool) {
	l := r.calls
	timeout := r.timeout()
	plan := r.plan(ctx)
	plan.Again, plan.Hasty = !r.Single() && !r.wait.Final() && r.left() > timeout, r.hasty
	if ctx.Err() != nil {
		return false, false // nothing is sent
	}
	r.tries++
	r.wait.Count(time.Now())
	summary := Summary{Number: r.tries}
	ctx, span := l.Telemetry.StartAttempt(ctx)
	defer func() { l.Telemetry.EndAttempt(ctx, span, r.Hold.Attrs, summary) }()
	left, validity := r.cutAfter(), quorum.Validity(r.TTL, 0, r.drift)
	most := min(timeout, validity)
	start := l.Clock.Now()
	grant, res := l.Nodes.Acquire(ctx, r.Hold.Resources, r.value(), r.TTL, plan, r.fencing(), round.Limits{
		Timeout: timeout,
		Wait:    min(validity, left),
		Stop:    l.Count.Closing(),
	})
	elapsed := l.Clock.Now().Since(start)
	validity = quorum.Validity(r.TTL, elapsed, r.drift)
	summary.Agreed, summary.Refused, summary.Failed = res.Agreed, res.Refused, len(res.Failures)
	summary.Outcome, summary.By = outcomes[res.Outcome], res.By
	if res.Outcome == quorum.Acquired && res.Gate.Reserved {
		res.Outcome = quorum.Held // it is somebody else's turn, and given back
		res.Agreed = min(res.Agreed, l.Nodes.Quorum()-1)
		summary.Outcome, summary.Agreed = outcomes[res.Outcome], res.Agreed
	}
	if r.hasty++; !res.Hasty {
		r.hasty = 0
	}
	r.learn(&plan, &res) //nolint:contextcheck // what listens does so for others, too
	r.wait.before = grant
	givenUp := true // by ctx or Shutdown
	defer func() {
		if !granted {
			grant.Release(ctx, timeout, r.undoing(givenUp, res.Gate))
		}
	}()
	if res.Outcome == quorum.Acquired && validity > 0 && ctx.Err() == nil {
		summary.Validity = validity
		r.Hold.Grant(grant, &r.config.Config, start, r.TTL, r.drift, elapsed)
		return true, false
	}
	givenUp = res.Outcome == quorum.Undecided || ctx.Err() != nil
	if res.Outcome == quorum.Acquired && !givenUp {
		res.Outcome = quorum.Unavailable // the majority came too late
		summary.Outcome = outcomes[res.Outcome]
	}
	cut := givenUp || res.TimedOut && left < most
	r.see(res, start, elapsed, cut)
	if givenUp {
		return false, false
	}
	return false, !r.exhausted() && !r.Single() && r.next(elapsed, &res)
}

// undoing returns what the release of a failed attempt does with the line. One
// that is in it, or was until the gate granted, comes back, or leaves it and lets
// the next one go.
func (r *Request) undoing(givenUp bool, gate round.Answer) round.Mode {
	switch {
	case !r.wait.Joined():
		return round.Pop
	case givenUp && gate.Granted && r.Hold.Place.Resign():
		return round.Leave
	}
	return round.Keep
}

// exhausted reports whether so many nodes have no tokens left that there is no use in
// waiting.
func (r *Request) exhausted() bool {
	full := 0
	for _, f := range r.last.Failures {
		if round.IsTokenLimit(f.Err) {
			full++
		}
	}
	return full > quorum.Spare(r.calls.Nodes.Size())
}

// fail returns the fault of the call.
func (r *Request) fail(cause error, kinds ...fault.Kind) *fault.Fault {
	nodes := r.calls.Nodes
	f := &fault.Fault{
		Op: fault.Lock, Resources: slices.Clone(r.Hold.Resources), Kinds: kinds, Cause: cause,
		Attempts: r.Attempts(), Agreed: r.last.Agreed, Nodes: nodes.Size(), Quorum: nodes.Quorum(),
		Failures: r.last.Failures, RetryAfter: r.last.RetryAfter,
	}
	if slices.Contains(kinds, fault.Contended) {
		f.By = r.last.By
	}
	return f
}

// value returns a new value, which tells the owner, and that it is taken now.
func (r *Request) value() string {
	if r.config.Owner == "" {
		return value.New()
	}
	return value.Owned(r.config.Owner, r.calls.Clock.Wall())
}

// timeout returns the node timeout.
func (r *Request) timeout() time.Duration { return r.config.Timeout(r.TTL) }
