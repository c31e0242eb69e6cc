package redlock

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// WithAutoExtend has the lock extended in the background until it is unlocked,
// for at most limit since it was granted, [Forever] for as long as it takes.
// The TTL then bounds how long the resource stays locked after its holder has
// crashed, and not how long the work may take.
//
// The TTL is set anew when a third of it has passed since the beginning of the
// round that granted or last extended the lock; after an [Lock.Extend] with
// another TTL, of that one. A round that found no majority is repeated after a
// twentieth of the TTL, at least 5 ms, while the lock is valid. If the lock
// cannot be kept, [Lock.Context], and so the context of [Locker.With], ends
// when the validity does or the loss is certain, with a cause that matches
// [ErrLockLost].
//
// When limit is reached the context ends with a cause that matches
// [ErrHoldLimit], and automatic extension stops; the lock stays for what is
// left of its TTL, so that the work can end, and Extend works as before. With
// returns an error that matches ErrHoldLimit then.
//
// A lock that the program has dropped, together with its contexts, and did not
// unlock is not extended any more; nor are locks that are still held when the
// context of [Locker.Shutdown] ends. Holding a lock takes a timer and no
// goroutine.
//
// It is an error if limit is neither positive nor Forever, and in a call if the
// TTL less its drift is not more than a third of the TTL.
func WithAutoExtend(limit time.Duration) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		if limit <= 0 && limit != Forever {
			return invalid("WithAutoExtend(%v): want a positive duration, or Forever", limit)
		}
		c.limit = limit
		return nil
	})
}

// WithoutAutoExtend switches off, for one call, a [WithAutoExtend] that [New]
// was given.
func WithoutAutoExtend() LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		c.limit = 0
		return nil
	})
}

// dueAfter is how much of a TTL passes before the lock is extended.
func dueAfter(ttl time.Duration) time.Duration { return ttl / 3 }

// minPause is the shortest pause between rounds that fail.
const minPause = 5 * time.Millisecond

// pauseAfter is how long to wait after a round that found no majority.
func pauseAfter(ttl time.Duration) time.Duration { return max(ttl/20, minPause) }

// extends reports whether the lock is extended automatically.
func (h *hold) extends() bool {
	return h.call.limit != 0 && !h.limited && !h.dropped.Load() && !h.locker.halted.Load()
}

// untilDue returns when an automatic extension is to begin.
func (h *hold) untilDue(now clock.Time) time.Duration {
	if h.extending || !h.extends() {
		return math.MaxInt64
	}
	return max(dueAfter(h.lease.ttl)-now.Since(h.lease.start), 0)
}

// untilLimit returns when the limit of automatic extension is reached.
func (h *hold) untilLimit(now clock.Time) time.Duration {
	if h.limited || h.call.limit <= 0 {
		return math.MaxInt64
	}
	return max(h.call.limit-now.Since(h.since), 0)
}

// reachLimit stops automatic extension at its limit. It returns the contexts to
// end.
func (h *hold) reachLimit(now clock.Time) map[*context.CancelCauseFunc]struct{} {
	if h.untilLimit(now) > 0 {
		return nil
	}
	h.limited = true
	contexts := h.contexts
	h.contexts = nil
	return contexts
}

// takeDue reports whether an automatic extension is to begin; the caller runs
// keep then.
func (h *hold) takeDue(now clock.Time) bool {
	if h.untilDue(now) > 0 {
		return false
	}
	h.extending = true
	// The lock is held, so that Shutdown does not return before this counts.
	h.locker.fleet.Begin()
	return true
}

// keep extends the lock automatically, once: it makes rounds until one has
// succeeded, the lock is over, or there is no reason any more to extend it.
func (h *hold) keep(ctx context.Context) {
	defer h.locker.fleet.End()
	h.mu.Lock()
	c := campaign{hold: h, since: h.lease, rounds: h.grant.NewExtension()}
	h.mu.Unlock()
	t, start := h.locker.telemetry, time.Now()
	ctx, span := t.startLinked(ctx, h.origin, h.resource, c.since.ttl)
	success, err := c.run(ctx)
	h.mu.Lock()
	h.extending = false
	if h.over == nil {
		h.reschedule(h.now())
	}
	h.mu.Unlock()
	result, expected := resultOf(err, success), errors.Is(err, ErrUnlocked)
	setVotes(span, c.last.Agreed, c.last.Refused, len(c.last.Failures))
	finish(span, result, err, expected)
	t.record(ctx, t.extendDuration, time.Since(start), h.attrs, result, err, expected)
}

// A campaign is one automatic extension of a lock.
type campaign struct {
	hold   *hold
	since  lease // the one to be replaced
	rounds *round.Extension
	leases []lease // by round: the one that it is for
	last   round.Result
}

// run returns what the campaign is to be recorded as, unless it failed.
func (c *campaign) run(ctx context.Context) (result string, err error) {
	h := c.hold
	for {
		t, err := h.takeTurn(ctx)
		if err != nil {
			return "", err
		}
		result, err = c.turn(ctx, t.over)
		<-t.taken
		if result != "" || err != nil {
			return result, err
		}
		pause := time.NewTimer(pauseAfter(c.since.ttl))
		select {
		case <-pause.C:
		case <-c.rounds.News():
		case <-t.over:
		}
		pause.Stop()
	}
}

// turn makes one round, unless votes of earlier ones have decided meanwhile. The
// result is empty if there is to be another turn.
func (c *campaign) turn(ctx context.Context, over <-chan struct{}) (result string, err error) {
	h := c.hold
	outcome, number := c.rounds.Late()
	switch {
	case !c.wanted():
		return resultGivenUp, nil
	case outcome == quorum.Unknown:
		next, ok := h.tryRenew(c.since.ttl, c.since.drift)
		if !ok {
			h.expire(ctx)
			return "", h.notHeld()
		}
		number, c.leases = len(c.leases), append(c.leases, next)
		c.last = c.rounds.Round(ctx, next.ttl, round.Limits{Timeout: h.call.timeout(next.ttl), Wait: h.left(), Stop: over})
		outcome = c.last.Outcome
	}
	switch outcome {
	case quorum.Extended:
		if !h.renew(ctx, c.leases[number]) {
			return "", h.notHeld()
		}
		c.rounds.Commit()
		c.rounds.Arm(ctx)
		return resultExtended, nil
	case quorum.Lost:
		return "", h.loseMajority(ctx, len(c.leases), c.last)
	case quorum.Released:
		return "", h.notHeld()
	default: // unknown, or interrupted
		return "", nil
	}
}

// wanted reports whether there still is a reason to extend: the program may have
// done it, or dropped the lock, and the limit may have been reached.
func (c *campaign) wanted() bool {
	h := c.hold
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.extends() && h.lease == c.since
}
