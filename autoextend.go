package redlock

import (
	"context"
	"math"
	"time"

	"github.com/b0401464/redlock/internal/clock"
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
// the garbage collector has to notice; nor are locks that are still held when
// the context of [Locker.Shutdown] ends.
//
// Holding a lock takes no goroutine and no timer of its own. Where many locks of
// a Locker fall due together, 256 begin to be extended at a time. The others wait
// for their turn, for half of what they still are valid for at most: about a third
// of the TTL, so that an extension begins with the last third of it at the latest.
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

// patience is how long a lock stands in the queue of those that are due before
// it is extended out of turn: half of what it then is valid for.
func patience(e lease) time.Duration { return max(e.ttl-e.drift-dueAfter(e.ttl), 0) / 2 }

// untilDue returns when an automatic extension is to begin, or the queue for it
// is to be left.
func (h *hold) untilDue(now clock.Time) time.Duration {
	due := dueAfter(h.lease.ttl)
	switch {
	case h.phase == extending || !h.extends():
		return math.MaxInt64
	case h.phase == queued:
		due += patience(h.lease)
	}
	return max(due-now.Since(h.lease.start), 0)
}

// takeDue reports whether an automatic extension is to enter the queue, or to leave
// it out of turn.
func (h *hold) takeDue(now clock.Time) (enter, outOfTurn bool) {
	if h.untilDue(now) > 0 {
		return false, false
	}
	if h.phase == queued {
		return false, true
	}
	h.phase = queued
	return true, false
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
