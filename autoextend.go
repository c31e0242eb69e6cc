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
// A lock that the program has dropped and did not unlock is not extended any
// more once the contexts of [Lock.Context] have ended or were cancelled, which
// the garbage collector has to notice; nor are locks that are still held when the context of [Locker.Shutdown] ends. Holding
// a lock takes a timer and no goroutine.
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
	return h.call.limit != 0 && !h.limited && !h.locker.halted.Load() && (!h.dropped.Load() || h.inUse())
}

// inUse reports whether a context of the lock has not ended: somebody may wait
// for that and have nothing else of the lock.
func (h *hold) inUse() bool {
	for _, ended := range h.contexts {
		if ended() == nil {
			return true
		}
	}
	return false
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
func (h *hold) reachLimit(now clock.Time) map[*context.CancelCauseFunc]func() error {
	if h.untilLimit(now) > 0 {
		return nil
	}
	h.limited = true
	h.nudge()
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
	c := campaign{hold: h, since: h.lease}
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
	rounds int
	last   round.Result
}

// run returns what the campaign is to be recorded as, unless it failed.
func (c *campaign) run(ctx context.Context) (result string, err error) {
	h := c.hold
	for {
		t, err := h.takeTurn(ctx, c.rounds, c.last)
		if err != nil {
			return "", err
		}
		select {
		case <-t.nudge: // of a lease that is known by now
		default:
		}
		result, err = c.turn(ctx, t.over)
		<-t.taken
		if result != "" || err != nil {
			return result, err
		}
		pause := time.NewTimer(pauseAfter(c.since.ttl))
		if !c.wanted() {
			pause.Stop() // only what is under way can still tell something
		}
		select {
		case <-pause.C:
		case <-h.grant.News():
		case <-t.nudge:
		case <-t.over:
		}
		pause.Stop()
	}
}

// turn looks at what votes have decided, and makes a round if that is nothing. It
// makes another one at once if the first is interrupted by news. The result is
// empty if there is to be another turn.
func (c *campaign) turn(ctx context.Context, over <-chan struct{}) (result string, err error) {
	h := c.hold
	for {
		select {
		case <-h.grant.News(): // is looked at now
		default:
		}
		result, err = c.judge(ctx)
		if result != "" || err != nil || !c.wanted() {
			return result, err
		}
		next, ok := h.tryRenew(c.since.ttl, c.since.drift)
		if !ok {
			h.expire(ctx)
			return "", h.notHeld()
		}
		c.rounds++
		x, res := h.grant.Extend(ctx, next.start, next.ttl, round.Limits{
			Timeout: h.call.timeout(next.ttl), Wait: h.left(), Stop: over, News: h.grant.News(),
		})
		c.last = res
		switch res.Outcome {
		case quorum.Extended:
			return c.succeed(ctx, x, next)
		case quorum.Lost:
			return "", h.loseMajority(ctx, c.rounds, res)
		case quorum.Undecided: // there is news, or the lock is over
		default:
			return "", nil
		}
	}
}

// judge looks at what the votes of all rounds since the last success say, and
// whether there still is a reason to extend.
func (c *campaign) judge(ctx context.Context) (result string, err error) {
	h := c.hold
	outcome, x := h.grant.Verdict(c.since.ttl)
	switch {
	case outcome == quorum.Lost:
		return "", h.loseMajority(ctx, c.rounds, c.last)
	case c.replaced():
		return resultGivenUp, nil
	case outcome == quorum.Unknown, !c.wanted():
		return "", nil
	}
	next := lease{x.Start(), c.since.ttl, c.since.drift}
	if now := h.now(); next.left(now) > c.since.left(now) {
		return c.succeed(ctx, x, next)
	}
	x.Commit() // a majority has it, but not for longer than it is held anyway
	return "", nil
}

func (c *campaign) succeed(ctx context.Context, x *round.Extension, next lease) (result string, err error) {
	if !c.hold.renew(ctx, next) {
		return "", c.hold.notHeld()
	}
	x.Commit()
	x.Arm(ctx)
	return resultExtended, nil
}

// replaced reports whether the program has extended the lock meanwhile.
func (c *campaign) replaced() bool {
	h := c.hold
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease != c.since
}

// wanted reports whether the lock is still to be extended: the program may have
// dropped it, and the limit may have been reached.
func (c *campaign) wanted() bool {
	h := c.hold
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.extends()
}
