package lease

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/ledger"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// A turn lets one extension of a lock run at a time.
type turn struct {
	taken chan struct{}
	over  chan struct{} // closed when the lock ends
	news  chan struct{} // holds one: a renewal has something to look at
}

// takeTurn waits until no other round of extension of the lock is running. If ctx
// ends that, the error tells of the rounds that were made before.
func (h *Hold) takeTurn(ctx context.Context, rounds int, last round.Result) (*turn, *fault.Fault) {
	h.mu.Lock()
	if h.turn == nil {
		h.turn = &turn{taken: make(chan struct{}, 1), over: make(chan struct{}), news: make(chan struct{}, 1)}
		if h.over != 0 {
			close(h.turn.over)
		}
	}
	t, over := h.turn, h.over != 0
	if !over {
		h.active() //nolint:contextcheck // hears of what this call does not
	}
	h.mu.Unlock()
	switch {
	case over:
		return nil, h.notHeld()
	case ctx.Err() == nil:
		select {
		case t.taken <- struct{}{}:
			return t, nil
		case <-t.over:
			return nil, h.notHeld()
		case <-ctx.Done():
		}
	}
	return nil, h.interrupted(ctx, rounds, last)
}

// interrupted returns the error of an Extend whose ctx has ended: perhaps because the lock
// is over, or another one, which says nothing of this one.
func (h *Hold) interrupted(ctx context.Context, rounds int, last round.Result) *fault.Fault {
	if h.left() <= 0 {
		h.expire(ctx)
		return h.notHeld()
	}
	cause := h.locks.CauseOf(ctx)
	switch {
	case h.locks.EndOf(ctx) != nil:
		f := h.failed(fault.Extend, rounds, last, nil, fault.NoQuorum)
		f.Detail = cause.Error()
		return f
	case rounds == 0: // nobody was asked, so nothing is unknown
		return h.failed(fault.Extend, 0, last, cause)
	default:
		return h.failed(fault.Extend, rounds, last, cause, fault.NoQuorum)
	}
}

// notHeld returns the error of an Extend that found the lock over.
func (h *Hold) notHeld() *fault.Fault {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fail(fault.Extend, h.over, h.detail)
}

// tryRenew returns the lease that an extension beginning now is for, unless the
// lock is over. From here on keys may outlast the present lease.
func (h *Hold) tryRenew(ttl, drift time.Duration) (next lease, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next = lease{h.now(), ttl, drift}
	if h.look(next.start) <= 0 {
		return next, false
	}
	h.latest = max(h.latest, next.end())
	return next, true
}

// renew replaces the lease if the lock is still held and valid, under the old
// lease and the new one. If not, the lock is over, since the earlier end of both.
func (h *Hold) renew(ctx context.Context, next lease) bool {
	h.mu.Lock()
	now := h.now()
	if h.look(now) > 0 {
		if next.left(now) > 0 {
			h.replace(next, now)
			h.mu.Unlock()
			return true
		}
		h.latest = h.lease.end() // the keys outlast the lock: whoever ends it removes them
		h.lease = next
	}
	h.mu.Unlock()
	h.lose(ctx, expired)
	return false
}

// shorten takes the lease that an extension of unknown outcome asked for, if
// it ends earlier than the present one.
func (h *Hold) shorten(next lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := h.now(); next.left(now) < h.look(now) {
		h.replace(next, now)
	}
}

// replace replaces the lease. A renewal that is under way has lost
// its reason.
func (h *Hold) replace(next lease, now clock.Time) {
	h.lease, h.trip = next, now.Since(next.start)
	h.reschedule(now)
	h.notify()
}

func (h *Hold) notify() {
	if h.turn == nil {
		return
	}
	select {
	case h.turn.news <- struct{}{}:
	default: // one is there
	}
}

// lose ends the lock and removes in the background what is left of it.
func (h *Hold) lose(ctx context.Context, detail string) {
	h.end(ctx, fault.LockLost, detail, func() {
		h.mu.Lock()
		h.cleared = h.cleared || detail == expired
		h.mu.Unlock()
		h.remove(ctx)
	})
}

// loseMajority ends a lock whose value is gone from too many nodes, and returns
// the error of the extension that found it.
func (h *Hold) loseMajority(ctx context.Context, rounds int, res round.Result) *fault.Fault {
	detail := fmt.Sprintf("gone from %d of %d nodes", h.grant.Gone(), h.locks.Nodes.Size())
	h.lose(ctx, detail)
	f := h.failed(fault.Extend, rounds, res, nil, fault.LockLost)
	f.Detail = detail
	return f
}

// An asked is a round of extension that is over.
type asked struct {
	round *ledger.Round
	next  lease // that it is for
	found round.Result
}

// ask asks the nodes once to let the lock last for ttl, for as long as it is valid. The error
// says that it is over. Who calls it has the turn.
func (h *Hold) ask(ctx context.Context, ttl, drift time.Duration, l round.Limits) (r asked, f *fault.Fault) {
	next, ok := h.tryRenew(ttl, drift)
	if !ok {
		h.expire(ctx)
		return r, h.notHeld()
	}
	l.Timeout, l.Wait = h.Config.Timeout(ttl), min(h.left(), quorum.Validity(ttl, 0, drift))
	r.next = next
	r.round, r.found = h.grant.Extend(ctx, next.start, ttl, l)
	return r, nil
}

// conclude deals with what so many rounds have found. It reports whether that was decisive:
// the lock is extended if there is no error.
func (h *Hold) conclude(ctx context.Context, r asked, rounds int) (done bool, f *fault.Fault) {
	switch r.found.Outcome {
	case quorum.Extended:
		return true, h.succeed(ctx, r.round, r.next)
	case quorum.Lost:
		return true, h.loseMajority(ctx, rounds, r.found)
	case quorum.Released:
		return true, h.notHeld()
	default:
		return false, nil
	}
}

// succeed replaces the lease by that of a round to whose end a majority has the value.
func (h *Hold) succeed(ctx context.Context, x *ledger.Round, next lease) *fault.Fault {
	if !h.renew(ctx, next) {
		return h.notHeld()
	}
	h.grant.Commit(x)
	h.grant.Arm(ctx, x)
	return nil
}

// Keeps returns how long the nodes keep the lock if it is not extended, or 0 if it is
// over. Of one that has run out the nodes know more, even while no timer has noticed:
// this machine may have been suspended.
func (h *Hold) Keeps() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	if h.look(now) <= 0 {
		return 0
	}
	return h.lease.ttl - now.Since(h.lease.start) + h.trip
}

// An Extension is one call of Extend.
type Extension struct {
	Last round.Result // what the last round has found

	hold  *Hold
	ttl   time.Duration
	drift time.Duration
}

// Extension returns an extension of h to ttl that has not begun.
func (h *Hold) Extension(ttl, drift time.Duration) Extension {
	return Extension{hold: h, ttl: ttl, drift: drift}
}

// Run makes rounds until the lock is extended, or there is no use in that any more.
func (x *Extension) Run(ctx context.Context) *fault.Fault {
	h := x.hold
	for n := 1; ; n++ {
		t, f := h.takeTurn(ctx, n-1, x.Last)
		if f != nil {
			return f
		}
		done, f := x.turn(ctx, t, n)
		if done {
			return f
		}
		if f := x.pause(ctx, t.over, n); f != nil {
			return f
		}
	}
}

// turn makes one round, and gives the turn back also if ctx panics. It reports whether the
// call is over.
func (x *Extension) turn(ctx context.Context, t *turn, n int) (done bool, f *fault.Fault) {
	defer func() { <-t.taken }()
	h := x.hold
	r, f := h.ask(ctx, x.ttl, x.drift, round.Limits{Stop: t.over})
	if f != nil {
		return true, f
	}
	x.Last = r.found
	done, f = h.conclude(ctx, r, n)
	if !done {
		h.shorten(r.next) // unknown, or interrupted
	}
	return done, f
}

// pause waits before the next round, or returns the error of the call if there
// is to be none.
func (x *Extension) pause(ctx context.Context, over <-chan struct{}, rounds int) *fault.Fault {
	h, res := x.hold, x.Last
	left := h.left()
	if left <= 0 {
		h.expire(ctx)
		return h.notHeld()
	}
	wait := quorum.Delay(h.Config.Delay, h.Config.Jitter, rand.Float64()) //nolint:gosec // nothing secret depends on it
	switch {
	case ctx.Err() != nil:
		return h.interrupted(ctx, rounds, res)
	case wait >= left, h.Config.Retries != Forever && rounds > h.Config.Retries:
		return h.failed(fault.Extend, rounds, res, nil, fault.NoQuorum)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-over:
		return h.notHeld()
	case <-ctx.Done():
		return h.interrupted(ctx, rounds, res)
	}
}
