package redlock

import (
	"time"

	"github.com/b0401464/redlock/internal/line"
)

// single reports whether the request makes one attempt, whatever comes of it.
func (r *request) single() bool { return r.once || r.call.retries == 0 }

// refusedHere returns the error of a request with one attempt if a lock of its own
// Locker has one of the resources. The nodes could only confirm that, and those who
// ask stand in the lanes of the holder's extensions and of its release; and where
// somebody has removed the keys by hand, two callers here would have the lock.
func (r *request) refusedHere() error {
	var room [1]line.Holder
	left := time.Duration(0)
	for _, h := range r.locker.lines.Holders(room[:0], r.hold.resources) {
		left = max(left, h.Keeps())
	}
	if left == 0 {
		return nil
	}
	err := r.fail(ErrNotAcquired, nil, ErrContended)
	err.RetryAfter, err.detail = left, "a caller of the same Locker"
	return err
}

// Keeps returns how long the nodes keep the lock if it is not extended, or 0 if it is
// over. Of one that has run out the nodes know more, even while no timer has noticed:
// this machine may have been suspended.
func (h *hold) Keeps() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	if h.over != nil || h.lease.left(now) <= 0 {
		return 0
	}
	return h.lease.ttl - now.Since(h.lease.start) + h.trip
}
