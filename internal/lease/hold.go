package lease

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/b0401464/redlock/internal/alarm"
	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
	"github.com/b0401464/redlock/internal/value"
	"github.com/b0401464/redlock/internal/waitqueue"
)

// A Hold is a lock from its grant to its end. It is apart from the lock that
// the program has, so that timers do not keep that one alive. It is made by [NewHold] or
// [NewHoldOfAll], before it is a lock: Grant makes it one, and Begin is to follow.
type Hold struct {
	locks     *Locks
	Resources []string       // sorted, without duplicates
	one       [1]string      // is Resources of most holds
	grant     *round.Grant   // under mu; see active
	resting   *round.Resting // instead, while nothing is to be sent
	Config    Config
	since     clock.Moment         // just before the attempt that granted it
	Attrs     []attribute.KeyValue // what metrics say of its resource
	Place     waitqueue.Place      // in the line of the Locker
	Group     *waitqueue.Group     // instead, for several resources
	next      sync.Once            // lets those go that wait for the end of the hold
	Origin    trace.SpanContext    // of the call that got it; renewals are linked to it

	dropped    atomic.Bool // the program cannot reach its lock any more
	confirming atomic.Bool // a Confirm waits for its turn

	mu       sync.Mutex
	lease    lease
	trip     time.Duration // how long the answers that granted the lease took
	alarm    alarm.Alarm
	over     fault.Kind                // why it ended: Unlocked or LockLost; 0 while it is held
	detail   string                    // more about that
	lasted   time.Duration             // how long it was held, once it is over
	contexts map[*lockContext]struct{} // that end with it; some may have ended
	turn     *turn                     // made by the first extension
	checked  clock.Moment              // when the nodes were last asked whether they have it, beside extensions
	latest   clock.Moment              // until when keys may last by the extensions that were sent; or never
	phase    phase                     // of renewal
	ranOut   bool                      // its validity was found to be over
	limited  bool                      // the limit of renewal was reached
	rests    bool                      // or was not fit to; see rest
	told     bool                      // of that; its contexts end
	cleared  bool                      // its value was removed when it had expired, and not because of an Unlock
	asked    bool                      // Unlock was called
	tooLate  bool                      // for the first time when nothing would have been left anyway
}

// NewHold returns what may become a lock on resource.
func NewHold(locks *Locks, resource string) *Hold {
	h := &Hold{locks: locks, one: [1]string{resource}}
	h.Resources = h.one[:]
	return h
}

// NewHoldOfAll returns what may become a lock on several resources, which it keeps.
func NewHoldOfAll(locks *Locks, resources []string) *Hold {
	return &Hold{locks: locks, Resources: resources, Group: new(waitqueue.Group)}
}

// Grant has h hold its resources from start on, the moment just before the attempt that has
// taken elapsed.
func (h *Hold) Grant(g *round.Grant, c *Config, start clock.Time, ttl, drift, elapsed time.Duration) {
	h.grant, h.Config = g, *c
	h.lease, h.since = lease{start: start, ttl: ttl, drift: drift}, start.Moment()
	h.checked, h.latest, h.trip = never, never, elapsed
}

// Undo releases what was granted, if anything was, of a hold that has not begun.
func (h *Hold) Undo(ctx context.Context) {
	if h.grant != nil {
		h.grant.Release(ctx, h.timeout(), round.Pop)
	}
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

// never is before all moments.
const never clock.Moment = math.MinInt64

// end returns when the keys of the lease run out.
func (e lease) end() clock.Moment { return e.start.After(e.ttl) }

// Begin has the lock woken when there is something to do from here on. The lock does not
// depend on ctx.
func (h *Hold) Begin(ctx context.Context) {
	h.mu.Lock()
	g := h.grant
	h.reschedule(h.now())
	h.mu.Unlock()
	g.OnFresh(h) //nolint:contextcheck // likewise
	h.locks.telemetry.CountHeld(ctx, 1, h.Attrs)
}

func (h *Hold) now() clock.Time { return h.locks.Clock.Now() }

// Wake does what is due: it ends the lock, or its contexts, or extends it. It does
// not block, as other locks of the Locker are woken after it.
func (h *Hold) Wake() {
	ctx := context.Background()
	h.mu.Lock()
	now := h.now()
	if h.over != 0 {
		h.mu.Unlock()
		return
	}
	if h.look(now) <= 0 {
		h.mu.Unlock()
		go h.expire(ctx) // ends with what the release starts; until then the lock counts as held
		return
	}
	if h.tells() { // perhaps many
		h.told = true
		h.locks.Nodes.Go(h.endAtLimit) // the lock is held, so that Shutdown waits for this
	}
	enter, outOfTurn := h.takeDue(now)
	h.rest(now)
	h.reschedule(now)
	h.mu.Unlock()
	switch {
	case enter:
		h.locks.admission.enter(ctx, h)
	case outOfTurn && h.start():
		go h.keep(ctx, false) // start has counted it
	}
}

// look returns how long the lock is valid, 0 once it is over. What it has found is final:
// the wall clock may go back, but nobody is told then that the lock is valid again. It is
// called with mu held, as everything is that takes the time.
func (h *Hold) look(now clock.Time) time.Duration {
	if h.over != 0 || h.ranOut {
		return 0
	}
	left := h.lease.left(now)
	switch {
	case left <= 0:
		h.ranOut = true
	case !h.limited && h.untilLimit(now) <= 0:
		h.limited = true
		h.notify()
	}
	return left
}

// tells reports whether the limit was reached, if only by what somebody has seen who looked
// at the clock, and contexts are to end because of it.
func (h *Hold) tells() bool { return h.limited && !h.told && len(h.contexts) > 0 }

// reschedule has the lock woken when there is something to do, and not before: all
// locks of the Locker have one timer, which looks at the clock for all of them.
func (h *Hold) reschedule(now clock.Time) {
	d := min(h.look(now), h.untilDue(now), h.untilLimit(now), h.untilRest(now))
	if h.tells() {
		d = 0
	}
	h.locks.alarms.SetAt(&h.alarm, h, now.After(d))
}

// expire ends a lock whose validity is over.
func (h *Hold) expire(ctx context.Context) {
	h.mu.Lock()
	loose := h.latest > h.lease.end()
	h.mu.Unlock()
	h.end(ctx, fault.LockLost, expired, func() {
		h.mu.Lock()
		if h.resting != nil && h.resting.Late() {
			h.active() //nolint:contextcheck // hears of what this call does not
		}
		g := h.grant
		h.mu.Unlock()
		// What is still on its way, or did not become part of the lock, would
		// keep the value on a node after the lock is over. Of one that rests all is known.
		if g == nil {
			return
		}
		if loose || g.Late() || g.Pending() {
			h.mu.Lock()
			h.cleared = true
			h.mu.Unlock()
			g.Release(ctx, h.timeout(), round.Pop)
		} else if gate, stands := g.Depart(); stands {
			h.locks.Nodes.LeaveLine(ctx, h.Resources[0], value.New(), gate, h.timeout())
		}
	})
}

const expired = "its TTL ran out"

// end ends the lock, once: its contexts first, then what release does, then
// its count. It reports whether it was this call that did, and for that reason: the lock may
// have run out before it was unlocked.
func (h *Hold) end(ctx context.Context, reason fault.Kind, detail string, release func()) bool {
	h.mu.Lock()
	if h.over != 0 {
		h.mu.Unlock()
		return false
	}
	now, kind := h.now(), reason
	if h.look(now) <= 0 && kind == fault.Unlocked {
		kind, detail = fault.LockLost, expired
	}
	h.over, h.detail, h.lasted = kind, detail, now.Moment().Since(h.since)
	h.locks.alarms.Stop(&h.alarm)
	h.endContexts()
	if h.turn != nil {
		close(h.turn.over)
	}
	h.mu.Unlock()
	release()
	h.letNext() // the next one's commands come after the release in every lane
	defer h.locks.Count.letGo()
	h.locks.telemetry.CountHeld(ctx, -1, h.Attrs)
	switch {
	case detail == expired:
		h.held(ctx, ResultExpired)
	case kind == fault.LockLost:
		h.held(ctx, ResultLost)
	}
	return kind == reason
}

// letNext lets those go that wait for the end of the hold.
func (h *Hold) letNext() {
	h.next.Do(func() {
		if h.Group != nil {
			h.Group.End()
		} else {
			h.Place.End()
		}
	})
}

// held records that the hold is over. Unlock does so when it knows the outcome.
func (h *Hold) held(ctx context.Context, result string) {
	h.mu.Lock()
	d := h.lasted
	h.mu.Unlock()
	h.locks.telemetry.LockEnded(ctx, h.Attrs, result, d)
}

// Valid reports whether the lock is held and its validity not over.
func (h *Hold) Valid() bool { return h.left() > 0 }

// TTL returns that of the lock, as it was set last.
func (h *Hold) TTL() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease.ttl
}

// Until returns the moment until which the lock is valid, or was if it is over.
func (h *Hold) Until() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease.start.Add(h.lease.ttl - h.lease.drift)
}

func (h *Hold) left() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.look(h.now())
}

func (h *Hold) timeout() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.Config.Timeout(h.lease.ttl)
}

// Ended returns why the lock must not be relied on any more, or nil.
func (h *Hold) Ended() *fault.Fault {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.whyEnded()
}

// whyEnded is Ended with mu held. The limit of renewal stays a
// reason when the lock runs out after it.
func (h *Hold) whyEnded() *fault.Fault {
	left := h.look(h.now())
	kind, detail := h.over, h.detail
	if kind == 0 && left <= 0 {
		kind, detail = fault.LockLost, expired
	}
	switch {
	case !h.limited && kind == 0:
		return nil
	case !h.limited:
		f := h.fail(fault.Hold, kind, detail)
		f.Of = h.valueOf()
		return f
	}
	f := h.fail(fault.Hold, fault.HoldLimit, fmt.Sprintf("%v after it was granted", h.Config.Limit))
	f.Of = h.valueOf()
	if kind != 0 {
		f.Kinds = append(f.Kinds, kind)
	}
	return f
}

// fail returns a fault for which nothing was sent.
func (h *Hold) fail(op fault.Op, kind fault.Kind, detail string) *fault.Fault {
	return &fault.Fault{
		Op: op, Resources: slices.Clone(h.Resources), Quorum: h.locks.Nodes.Quorum(),
		Kinds: []fault.Kind{kind}, Detail: detail,
	}
}

func (h *Hold) failed(op fault.Op, attempts int, res round.Result, cause error, kinds ...fault.Kind) *fault.Fault {
	return &fault.Fault{
		Op: op, Resources: slices.Clone(h.Resources), Kinds: kinds, Cause: cause,
		Attempts: attempts, Agreed: res.Agreed, Nodes: h.locks.Nodes.Size(), Quorum: h.locks.Nodes.Quorum(),
		Failures: res.Failures,
	}
}
