package redlock

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// outcomes are the values of redlock.outcome.
var outcomes = map[quorum.Outcome]string{
	quorum.Undecided:   "given_up",
	quorum.Acquired:    "acquired",
	quorum.Unavailable: "unavailable",
	quorum.Held:        "held",
	quorum.Split:       "split",
}

// maxSplits is how many ties in a row are tried again after a pause of a few
// round trips; the next one counts as a refusal.
const maxSplits = 6

// A request is one call of Lock: its attempts and the pauses between them.
type request struct {
	locker   *Locker
	resource string // the first one of several; hold has all
	ttl      time.Duration
	drift    time.Duration
	call     callConfig
	once     bool // TryLock: one attempt, whatever call says
	began    time.Time

	hold     *hold // what is to become the lock; it has the place in line
	attrs    []attribute.KeyValue
	span     trace.SpanContext
	attempts int // begun
	retries  int // begun attempts that cost a retry
	splits   int // ties in a row
	wait     wait
	last     round.Result // of the last finished attempt; Undecided if there was none
}

func (l *Locker) newRequest(ctx context.Context, resource string, ttl time.Duration, opts []LockOption) (request, error) {
	if err := l.canLock(ctx); err != nil {
		return request{}, err
	}
	if resource == "" {
		return request{}, invalid("empty resource")
	}
	h := &hold{locker: l, one: [1]string{resource}}
	h.resources = h.one[:]
	return l.requestFor(h, ttl, opts)
}

func (l *Locker) canLock(ctx context.Context) error {
	switch {
	case l == nil || l.fleet == nil:
		return invalid("Locker was not made by New")
	case ctx == nil:
		return invalid("nil context")
	}
	return nil
}

// requestFor returns the call that is to make h a lock on its resources.
func (l *Locker) requestFor(h *hold, ttl time.Duration, opts []LockOption) (request, error) {
	call, err := l.config.call.with(opts)
	if err != nil {
		return request{}, err
	}
	ttl, drift, err := checkTTL(ttl, &l.config, &call)
	if err != nil {
		return request{}, err
	}
	for _, resource := range h.resources {
		if call.keep != 0 && !round.CanFence(resource) {
			return request{}, invalid("resource %s cannot have a fencing token: with a } and no hash tag, no counter can lie in its slot of a Cluster",
				quote(resource))
		}
	}
	return request{locker: l, resource: h.resources[0], ttl: ttl, drift: drift, call: call, began: time.Now(), hold: h}, nil
}

// run makes attempts until one succeeds or the request is over.
func (r *request) run(ctx context.Context) (*Lock, error) {
	t := r.locker.telemetry
	r.attrs = t.resourceAttributes(r.resource)
	ctx, span := t.startOn(ctx, spanLock, r.hold.resources, r.ttl)
	r.span = span.SpanContext()
	k, err := r.lock(ctx)
	t.endLock(ctx, span, r, err)
	return k, err
}

func (r *request) lock(ctx context.Context) (*Lock, error) {
	l := r.locker
	if !l.enter() {
		return nil, r.fail(ErrShutdown, nil)
	}
	h, err := r.acquire(ctx)
	if h != nil && l.keep() {
		defer r.leaveLines(ctx)
		h.occupy()
		l.telemetry.add(ctx, l.telemetry.active, 1, r.attrs)
		h.begin() //nolint:contextcheck // the lock does not depend on ctx
		return newLock(h), nil
	}
	if h != nil {
		h.grant.Release(ctx, r.call.timeout(r.ttl), round.Pop)
		err = r.fail(ErrShutdown, nil)
	}
	r.leaveLines(ctx)
	l.leave() // Shutdown may return from here on
	return nil, err
}

func (r *request) acquire(ctx context.Context) (*hold, error) {
	l := r.locker
	if ctx.Err() == nil && r.single() {
		if err := r.refusedHere(); err != nil {
			return nil, err
		}
	}
	r.watch()
	if ctx.Err() == nil && r.queues() && !l.lines.Join(&r.hold.place, r.resource, r.call.delay) {
		if err := r.stand(ctx, r.hold.place.MayGo); err != nil {
			return nil, err
		}
	}
	for {
		if ctx.Err() != nil {
			return nil, r.interrupted(ctx)
		}
		if r.several() && !r.hold.group.Ask() {
			if err := r.stand(ctx, r.hold.group.Ask); err != nil {
				return nil, err
			}
		}
		h, again := r.attempt(ctx)
		if h == nil {
			r.hold.tried()
		}
		switch {
		case h != nil:
			return h, nil
		case ctx.Err() != nil:
			return nil, r.interrupted(ctx)
		case l.stopped():
			return nil, r.fail(ErrShutdown, nil)
		case !again:
			return nil, r.fail(ErrNotAcquired, nil, r.kinds()...)
		}
		r.countWaiting(ctx)
		if err := r.rest(ctx); err != nil {
			return nil, err
		}
	}
}

// attempt tries once. It returns what it got, or whether there is to be another
// attempt.
func (r *request) attempt(ctx context.Context) (h *hold, again bool) {
	l := r.locker
	timeout := r.call.timeout(r.ttl)
	ticket := r.ticket(ctx)
	if ctx.Err() != nil {
		return nil, false // nothing is sent
	}
	r.attempts++
	summary := attemptSummary{number: r.attempts}
	ctx, span := l.telemetry.startAttempt(ctx)
	defer func() { l.telemetry.endAttempt(ctx, span, r.attrs, summary) }()
	left, validity := r.left(), quorum.Validity(r.ttl, 0, r.drift)
	start := l.clock.Now()
	grant, res := l.fleet.Acquire(ctx, r.hold.resources, newValue(), r.ttl, ticket, r.fencing(start), round.Limits{
		Timeout: timeout,
		Wait:    min(validity, left),
		Stop:    l.closing,
	})
	elapsed := l.clock.Now().Since(start)
	validity = quorum.Validity(r.ttl, elapsed, r.drift)
	summary.agreed, summary.refused, summary.failed = res.Agreed, res.Refused, len(res.Failures)
	summary.outcome = outcomes[res.Outcome]
	if res.Outcome == quorum.Acquired && res.Gate.Reserved {
		res.Outcome = quorum.Held // it is somebody else's turn, and given back
		res.Agreed = min(res.Agreed, l.fleet.Quorum()-1)
		summary.outcome, summary.agreed = outcomes[res.Outcome], res.Agreed
	}
	r.learn(ticket, res)
	if res.Outcome == quorum.Acquired && validity > 0 && ctx.Err() == nil {
		summary.validity = validity
		return r.granted(grant, start, elapsed), false
	}
	givenUp := res.Outcome == quorum.Undecided || ctx.Err() != nil // by ctx or Shutdown
	grant.Release(ctx, timeout, r.undoing(givenUp, res.Gate))
	switch {
	case givenUp:
		return nil, false
	case res.Outcome == quorum.Acquired:
		res.Outcome = quorum.Unavailable // the majority came too late
		summary.outcome = outcomes[res.Outcome]
	}
	// An attempt that WithMaxWait has cut off tells less than a whole one.
	if cut := res.TimedOut && left < timeout; !cut || r.last.Outcome == quorum.Undecided {
		r.last = res
	}
	return nil, !r.exhausted() && r.next(elapsed, res)
}

// undoing returns what the release of a failed attempt does with the line. One
// that is in it, or was until the gate granted, comes back, or leaves it and lets
// the next one go.
func (r *request) undoing(givenUp bool, gate round.Answer) round.Mode {
	switch {
	case !r.wait.joined:
		return round.Pop
	case givenUp && gate.Granted && r.hold.place.Resign():
		return round.Leave
	}
	return round.Keep
}

// interrupted returns the error of a call that ctx has ended.
func (r *request) interrupted(ctx context.Context) error {
	if r.last.Outcome == quorum.Undecided {
		return r.fail(ErrNotAcquired, ended(ctx))
	}
	return r.fail(ErrNotAcquired, ended(ctx), r.kinds()...)
}

// expected reports whether err is a refusal that a caller with one attempt
// reckons with.
func (r *request) expected(err error) bool {
	e, ok := errors.AsType[*LockError](err)
	return ok && r.single() && e.cause == nil && e.Is(ErrContended)
}

// kinds returns what the last finished attempt failed of.
func (r *request) kinds() []error {
	if r.last.Outcome != quorum.Unavailable {
		return []error{ErrContended}
	}
	if r.exhausted() {
		return []error{ErrTokenLimit, ErrNoQuorum}
	}
	return []error{ErrNoQuorum}
}

// exhausted reports whether so many nodes have no tokens left that there is no use in
// waiting.
func (r *request) exhausted() bool {
	full := 0
	for _, f := range r.last.Failures {
		if round.IsTokenLimit(f.Err) {
			full++
		}
	}
	return full > quorum.Spare(r.locker.fleet.Size())
}

func (r *request) fail(kind, cause error, more ...error) *LockError {
	return &LockError{
		Op: OpLock, Resources: slices.Clone(r.hold.resources),
		Attempts: r.attempts, Agreed: r.last.Agreed, Quorum: r.locker.fleet.Quorum(), RetryAfter: r.last.RetryAfter,
		Nodes: r.locker.nodeErrors(r.last.Failures),
		kinds: append([]error{kind}, more...), cause: cause,
	}
}

// granted turns the place in line into a lock.
func (r *request) granted(grant *round.Grant, start clock.Time, elapsed time.Duration) *hold {
	h := r.hold
	h.grant, h.call, h.attrs, h.origin = grant, r.call, r.attrs, r.span
	h.lease, h.since = lease{start: start, ttl: r.ttl, drift: r.drift}, start
	h.trip = elapsed
	return h
}
