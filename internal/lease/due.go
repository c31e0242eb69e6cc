package lease

import (
	"math"
	"time"

	"github.com/b0401464/redlock/internal/clock"
)

// DueAfter is how much of a TTL passes before the lock is extended.
func DueAfter(ttl time.Duration) time.Duration { return ttl / 3 }

// minPause is the shortest pause between rounds that fail.
const minPause = 5 * time.Millisecond

// pauseAfter is how long to wait after a round that found no majority.
func pauseAfter(ttl time.Duration) time.Duration { return max(ttl/20, minPause) }

// extends reports whether the lock is extended automatically.
func (h *Hold) extends() bool {
	return h.Config.Limit != 0 && !h.limited && !h.locks.Halted.Load() && !h.dropped.Load()
}

// patience is how long a lock stands in the queue of those that are due before
// it is extended out of turn: half of what it then is valid for.
func patience(e lease) time.Duration { return max(e.ttl-e.drift-DueAfter(e.ttl), 0) / 2 }

// untilDue returns when a renewal is to begin, or the queue for it
// is to be left.
func (h *Hold) untilDue(now clock.Time) time.Duration {
	due := DueAfter(h.lease.ttl)
	switch {
	case h.phase == extending || !h.extends():
		return math.MaxInt64
	case h.phase == queued:
		due += patience(h.lease)
	}
	return max(due-now.Since(h.lease.start), 0)
}

// takeDue reports whether a renewal is to enter the queue, or to leave
// it out of turn.
func (h *Hold) takeDue(now clock.Time) (enter, outOfTurn bool) {
	if h.untilDue(now) > 0 {
		return false, false
	}
	if h.phase == queued {
		return false, true
	}
	h.phase = queued
	h.forget()
	return true, false
}

// Drop ends renewal: the program cannot reach its lock any more. It sets the flag only: it
// runs as a cleanup, which must not touch a timer.
func (h *Hold) Drop() { h.dropped.Store(true) }

// untilLimit returns when the limit of renewal is reached.
func (h *Hold) untilLimit(now clock.Time) time.Duration {
	if h.limited || h.Config.Limit <= 0 {
		return math.MaxInt64
	}
	return max(h.Config.Limit-now.Moment().Since(h.since), 0)
}
