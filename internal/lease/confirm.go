package lease

import (
	"context"
	"time"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// Confirm makes a node count that has the value since a moment ago: if the
// others still have it now, there was no gap. It is what an extension to the
// present end of the lock finds out. It runs on a goroutine that counts as a
// node call under way, and ends with the lock at the latest.
func (h *Hold) Confirm(ctx context.Context) {
	if !h.confirming.CompareAndSwap(false, true) {
		return // one that has not begun will see this node too
	}
	t, f := h.takeTurn(ctx, 0, round.Result{})
	h.confirming.Store(false)
	if f != nil {
		return
	}
	defer func() { <-t.taken }()
	left := h.left()
	if left < time.Millisecond {
		return
	}
	start, ttl := h.confirmation(left)
	x, res := h.grant.Extend(ctx, start, ttl, round.Limits{Timeout: h.timeout(), Wait: left, Stop: t.over})
	switch res.Outcome {
	case quorum.Extended:
		h.grant.Commit(x)
	case quorum.Lost:
		_ = h.loseMajority(ctx, 1, round.Result{})
	default: // the next extension will tell
	}
}

// confirmation returns what an extension asks for that is to leave the end of the lock as it
// is. Without scripts a copy that comes late would shorten what is for longer, so that all
// are for the same time; the keys may outlast the lock then.
func (h *Hold) confirmation(left time.Duration) (start clock.Time, ttl time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	start = h.now()
	if h.locks.Nodes.Scripts() {
		return start, left.Truncate(time.Millisecond)
	}
	h.latest = max(h.latest, lease{start, h.lease.ttl, h.lease.drift}.end())
	return start, h.lease.ttl
}

// RecheckAfter is for how long a lock is taken to be on the nodes.
const RecheckAfter = 10 * time.Second

// Recheck ends the lock if it is gone from the nodes.
func (h *Hold) Recheck() <-chan struct{} { return h.recheck(RecheckAfter) }

// Doubt is Recheck at once: there is a reason to think that the lock is gone.
func (h *Hold) Doubt() { h.recheck(0) }

func (h *Hold) recheck(after time.Duration) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	since := max(h.lease.start.Moment(), h.checked)
	if h.look(now) <= 0 || now.Moment().Since(since) < after {
		return nil
	}
	h.checked = now.Moment()
	done := make(chan struct{})
	h.locks.Nodes.Go(func() { // the lock is held, so that Shutdown waits for this
		defer close(done)
		h.Confirm(context.Background())
	})
	return done
}
