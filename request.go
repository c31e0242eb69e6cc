package redlock

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
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
	resource string
	ttl      time.Duration
	drift    time.Duration
	call     callConfig
	once     bool // TryLock: one attempt, whatever call says
	began    time.Time

	attrs    []attribute.KeyValue
	span     trace.SpanContext
	attempts int          // begun
	retries  int          // begun attempts that cost a retry
	splits   int          // ties in a row
	waits    bool         // it was refused and counts as waiting
	last     round.Result // of the last finished attempt; Undecided if there was none
}

func (l *Locker) newRequest(ctx context.Context, resource string, ttl time.Duration, opts []LockOption) (request, error) {
	switch {
	case l == nil || l.fleet == nil:
		return request{}, invalid("Locker was not made by New")
	case ctx == nil:
		return request{}, invalid("nil context")
	case resource == "":
		return request{}, invalid("empty resource")
	}
	call, err := l.config.call.with(opts)
	if err != nil {
		return request{}, err
	}
	ttl, drift, err := checkTTL(ttl, &l.config, &call)
	if err != nil {
		return request{}, err
	}
	return request{locker: l, resource: resource, ttl: ttl, drift: drift, call: call, began: time.Now()}, nil
}

// run makes attempts until one succeeds or the request is over.
func (r *request) run(ctx context.Context) (*Lock, error) {
	t := r.locker.telemetry
	r.attrs = t.resourceAttributes(r.resource)
	ctx, span := t.startOn(ctx, spanLock, r.resource, r.ttl)
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
	if l.leave(h != nil) {
		l.telemetry.add(ctx, l.telemetry.active, 1, r.attrs)
		h.begin() //nolint:contextcheck // the lock does not depend on ctx
		return newLock(h), nil
	}
	if h != nil {
		h.grant.Release(ctx, r.call.timeout(r.ttl))
		err = r.fail(ErrShutdown, nil)
	}
	return nil, err
}

func (r *request) acquire(ctx context.Context) (*hold, error) {
	l := r.locker
	for {
		if ctx.Err() != nil {
			return nil, r.interrupted(ctx)
		}
		h, pause := r.attempt(ctx)
		switch {
		case h != nil:
			return h, nil
		case ctx.Err() != nil:
			return nil, r.interrupted(ctx)
		case l.stopped():
			return nil, r.fail(ErrShutdown, nil)
		case pause < 0:
			return nil, r.fail(ErrNotAcquired, nil, r.kind())
		}
		if !r.waits {
			r.waits = true
			l.telemetry.add(ctx, l.telemetry.waiting, 1, r.attrs)
			defer l.telemetry.add(ctx, l.telemetry.waiting, -1, r.attrs)
		}
		if err := r.sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// attempt tries once. It returns what it got, or how long to pause before the
// next attempt: negative if there is to be none.
func (r *request) attempt(ctx context.Context) (*hold, time.Duration) {
	l := r.locker
	r.attempts++
	timeout := r.call.timeout(r.ttl)
	summary := attemptSummary{number: r.attempts}
	left, validity := r.left(), quorum.Validity(r.ttl, 0, r.drift)
	ctx, span := l.telemetry.start(ctx, spanAttempt)
	defer func() { l.telemetry.endAttempt(ctx, span, r.attrs, summary) }()
	start := l.clock.Now()
	grant, res := l.fleet.Acquire(ctx, r.resource, newValue(), r.ttl, round.Limits{
		Timeout: timeout,
		Wait:    min(validity, left),
		Stop:    l.closing,
	})
	elapsed := l.clock.Now().Since(start)
	validity = quorum.Validity(r.ttl, elapsed, r.drift)
	summary.agreed, summary.refused, summary.failed = res.Agreed, res.Refused, len(res.Failures)
	summary.outcome = outcomes[res.Outcome]
	if res.Outcome == quorum.Acquired && validity > 0 && ctx.Err() == nil {
		summary.validity = validity
		return r.newHold(grant, start), 0
	}
	grant.Release(ctx, timeout)
	switch {
	case res.Outcome == quorum.Undecided || ctx.Err() != nil:
		return nil, -1 // given up by ctx or Shutdown
	case res.Outcome == quorum.Acquired:
		res.Outcome = quorum.Unavailable // the majority came too late
		summary.outcome = outcomes[res.Outcome]
	}
	// An attempt that WithMaxWait has cut off tells less than a whole one.
	if cut := res.TimedOut && left < timeout; !cut || r.last.Outcome == quorum.Undecided {
		r.last = res
	}
	return nil, r.pause(elapsed)
}

// pause returns how long to wait before the next attempt, negative if there is
// to be none.
func (r *request) pause(attempt time.Duration) time.Duration {
	if r.last.Outcome == quorum.Split && r.retriesLeft() != 0 && r.splits < maxSplits {
		r.splits++
		return r.fit(quorum.SplitPause(attempt, r.splits-1, random()), attempt)
	}
	r.splits = 0
	if r.retriesLeft() == 0 {
		return -1
	}
	r.retries++
	return r.fit(quorum.Delay(r.call.delay, r.call.jitter, random()), attempt)
}

// retriesLeft returns how many retries are left, or Forever.
func (r *request) retriesLeft() int {
	switch {
	case r.once:
		return 0
	case r.call.retries == Forever:
		return Forever
	}
	return r.call.retries - r.retries
}

// random returns a number in [0, 1).
func random() float64 {
	return rand.Float64() //nolint:gosec // spreads pauses; nothing secret depends on it
}

// fit cuts a pause that would outlast WithMaxWait so that one more attempt, which
// takes about as long as the last one, ends the wait.
func (r *request) fit(pause, attempt time.Duration) time.Duration {
	left := r.left()
	if left <= 0 {
		return -1
	}
	return min(pause, max(left-2*attempt, 0))
}

// left returns how much of WithMaxWait is left.
func (r *request) left() time.Duration {
	if r.call.maxWait == 0 {
		return math.MaxInt64
	}
	return max(r.call.maxWait-time.Since(r.began), 0)
}

func (r *request) sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return r.interrupted(ctx)
	case <-r.locker.closing:
		return r.fail(ErrShutdown, nil)
	}
}

// interrupted returns the error of a call that ctx has ended.
func (r *request) interrupted(ctx context.Context) error {
	if r.last.Outcome == quorum.Undecided {
		return r.fail(ErrNotAcquired, ended(ctx))
	}
	return r.fail(ErrNotAcquired, ended(ctx), r.kind())
}

// expected reports whether err is a refusal that a caller with one attempt
// reckons with.
func (r *request) expected(err error) bool {
	e, ok := errors.AsType[*LockError](err)
	return ok && (r.once || r.call.retries == 0) && e.cause == nil && e.Is(ErrContended)
}

func (r *request) kind() error {
	if r.last.Outcome == quorum.Unavailable {
		return ErrNoQuorum
	}
	return ErrContended
}

func (r *request) fail(kind, cause error, more ...error) error {
	return &LockError{
		Op: OpLock, Resources: []string{r.resource},
		Attempts: r.attempts, Agreed: r.last.Agreed, Quorum: r.locker.fleet.Quorum(), RetryAfter: r.last.RetryAfter,
		Nodes: r.locker.nodeErrors(r.last.Failures),
		kinds: append([]error{kind}, more...), cause: cause,
	}
}

func (r *request) newHold(grant *round.Grant, start clock.Time) *hold {
	return &hold{
		locker: r.locker, resource: r.resource, grant: grant, call: r.call,
		lease: lease{start: start, ttl: r.ttl, drift: r.drift}, since: start, attrs: r.attrs, origin: r.span,
	}
}
