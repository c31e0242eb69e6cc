package redlock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/b0401464/redlock/internal/alarm"
	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/line"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// A hold is a lock from its grant to its end. It is apart from the [Lock] that
// the program has, so that timers do not keep that one alive.
type hold struct {
	locker    *Locker
	resources []string  // sorted, without duplicates
	one       [1]string // is resources of most holds
	grant     *round.Grant
	call      callConfig
	since     clock.Time // just before the attempt that granted it
	attrs     []attribute.KeyValue
	place     line.Place        // in the line of the Locker
	group     *line.Group       // instead, for several resources
	origin    trace.SpanContext // of the Lock call; automatic extensions are linked to it

	dropped    atomic.Bool // the program cannot reach its Lock any more
	confirming atomic.Bool // a Confirm waits for its turn

	mu       sync.Mutex
	lease    lease
	trip     time.Duration // how long the answers that granted the lease took
	alarm    alarm.Alarm
	over     error                                     // why it ended: ErrUnlocked or ErrLockLost; nil while it is held
	detail   string                                    // more about that
	lasted   time.Duration                             // how long it was held, once it is over
	contexts map[*context.CancelCauseFunc]func() error // what ends each, and tells if it has ended
	turn     *turn                                     // made by the first extension
	latest   time.Time                                 // until when keys may last by the extensions that were sent
	phase    phase                                     // of automatic extension
	limited  bool                                      // the limit of automatic extension was reached
	cleared  bool                                      // its value was removed when it had expired
	asked    bool                                      // Unlock was called
	tooLate  bool                                      // for the first time when nothing would have been left anyway
}

// A lease is how long a lock is valid: ttl less drift, from the moment just
// before the first command of the round that granted it.
type lease struct {
	start      clock.Time
	ttl, drift time.Duration
}

func (e lease) left(now clock.Time) time.Duration {
	return quorum.Validity(e.ttl, now.Since(e.start), e.drift)
}

// slice is how often a lock is checked against the wall clock. The timers of a
// suspended machine stand still; one second after it wakes up, the context of a
// lock that ran out meanwhile has ended.
const slice = time.Second

// begin has the lock checked from here on.
func (h *hold) begin() {
	h.mu.Lock()
	h.reschedule(h.now())
	h.mu.Unlock()
	h.grant.OnFresh(h)
}

func (h *hold) now() clock.Time { return h.locker.clock.Now() }

// Wake does what is due: it ends the lock, or its contexts, or extends it. It does
// not block, as other locks of the Locker are woken after it.
func (h *hold) Wake() {
	ctx := context.Background()
	h.mu.Lock()
	now := h.now()
	if h.over != nil {
		h.mu.Unlock()
		return
	}
	if h.lease.left(now) <= 0 {
		h.mu.Unlock()
		go h.expire(ctx) // ends with what the release starts; until then the lock counts as held
		return
	}
	if contexts := h.reachLimit(now); len(contexts) > 0 {
		// Where the program has contexts of its own type, ending one calls it.
		h.locker.fleet.Begin() // the lock is held, so that Shutdown waits for this
		go func() {
			defer h.locker.fleet.End()
			h.cancel(contexts)
		}()
	}
	enter, outOfTurn := h.takeDue(now)
	h.reschedule(now)
	h.mu.Unlock()
	switch {
	case enter:
		h.locker.admission.enter(ctx, h)
	case outOfTurn && h.start():
		go h.keep(ctx, false) // start has counted it
	}
}

// next returns when there is something to check again. It is called with mu
// held, as everything is that takes the time.
func (h *hold) next(now clock.Time) time.Duration {
	return min(slice, h.lease.left(now), h.untilDue(now), h.untilLimit(now))
}

// reschedule has the lock woken when there is something to check.
func (h *hold) reschedule(now clock.Time) { h.locker.alarms.Set(&h.alarm, h, h.next(now)) }

// expire ends a lock whose validity is over.
func (h *hold) expire(ctx context.Context) {
	h.mu.Lock()
	loose := h.latest.After(h.lease.start.Add(h.lease.ttl))
	h.mu.Unlock()
	h.end(ctx, ErrLockLost, expired, func() {
		// What is still on its way, or did not become part of the lock, would
		// keep the value on a node after the lock is over.
		if loose || h.grant.Late() || h.grant.Pending() {
			h.mu.Lock()
			h.cleared = true
			h.mu.Unlock()
			h.grant.Release(ctx, h.timeout(), round.Pop)
		} else if gate, stands := h.grant.Depart(); stands {
			h.locker.fleet.LeaveLine(ctx, h.resources[0], newValue(), gate, h.timeout())
		}
	})
}

const expired = "its TTL ran out"

// end ends the lock, once: its contexts first, then what release does, then
// its count. It reports whether it was this call that did.
func (h *hold) end(ctx context.Context, kind error, detail string, release func()) bool {
	h.mu.Lock()
	if h.over != nil {
		h.mu.Unlock()
		return false
	}
	now := h.now()
	if errors.Is(kind, ErrUnlocked) && h.lease.left(now) <= 0 {
		kind, detail = ErrLockLost, expired
	}
	h.over, h.detail, h.lasted = kind, detail, now.Since(h.since)
	h.locker.alarms.Stop(&h.alarm)
	contexts := h.contexts
	h.contexts = nil
	if h.turn != nil {
		close(h.turn.over)
	}
	h.mu.Unlock()
	h.cancel(contexts)
	release()
	h.letNext() // the next one's commands come after the release in every lane
	defer h.locker.letGo()
	t := h.locker.telemetry
	t.add(ctx, t.active, -1, h.attrs)
	switch {
	case detail == expired:
		h.held(ctx, resultExpired)
	case errors.Is(kind, ErrLockLost):
		h.held(ctx, resultLost)
	}
	return true
}

// cancel ends contexts that have been taken off the lock, which is over or has
// reached its limit.
func (h *hold) cancel(contexts map[*context.CancelCauseFunc]func() error) {
	for cancel := range contexts {
		(*cancel)(h.ended())
	}
}

// held records that the hold is over. Unlock does so when it knows the outcome.
func (h *hold) held(ctx context.Context, result string) {
	h.mu.Lock()
	d := h.lasted
	h.mu.Unlock()
	h.locker.telemetry.held(ctx, h.attrs, result, d)
}

// valid reports whether the lock is held and its validity not over.
func (h *hold) valid() bool { return h.left() > 0 }

func (h *hold) left() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over != nil {
		return 0
	}
	return h.lease.left(h.now())
}

func (h *hold) timeout() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.call.timeout(h.lease.ttl)
}

// ended returns why the lock must not be relied on any more, or nil.
func (h *hold) ended() *LockError {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.whyEnded()
}

// whyEnded is ended with mu held. The limit of automatic extension stays a
// reason when the lock runs out after it.
func (h *hold) whyEnded() *LockError {
	kind, detail := h.over, h.detail
	if kind == nil && h.lease.left(h.now()) <= 0 {
		kind, detail = ErrLockLost, expired
	}
	switch {
	case !h.limited && kind == nil:
		return nil
	case !h.limited:
		return h.fail(OpHold, kind, detail)
	}
	e := h.fail(OpHold, ErrHoldLimit, fmt.Sprintf("%v after it was granted", h.call.limit))
	if kind != nil {
		e.kinds = append(e.kinds, kind)
	}
	return e
}

// watch has cancel called, which ends ctx, when the lock is not to be relied on
// any more. If that is so already, watch returns why.
func (h *hold) watch(ctx context.Context, cancel *context.CancelCauseFunc) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if over := h.whyEnded(); over != nil {
		return over
	}
	if h.contexts == nil {
		h.contexts = make(map[*context.CancelCauseFunc]func() error)
	}
	h.contexts[cancel] = ctx.Err
	return nil
}

func (h *hold) unwatch(cancel *context.CancelCauseFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.contexts, cancel)
}

// fail returns an error for which nothing was sent.
func (h *hold) fail(op string, kind error, detail string) *LockError {
	e := &LockError{
		Op: op, Resources: slices.Clone(h.resources), Quorum: h.locker.fleet.Quorum(),
		kinds: []error{kind}, detail: detail,
	}
	if op == OpHold {
		e.hold = h
	}
	return e
}

func (h *hold) failed(op string, attempts int, res round.Result, cause error, kinds ...error) *LockError {
	return &LockError{
		Op: op, Resources: slices.Clone(h.resources),
		Attempts: attempts, Agreed: res.Agreed, Quorum: h.locker.fleet.Quorum(),
		Nodes: h.locker.nodeErrors(res.Failures),
		kinds: kinds, cause: cause,
	}
}
