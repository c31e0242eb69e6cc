package lease

import (
	"context"
	"math"
	"time"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/round"
	"github.com/b0401464/redlock/internal/value"
)

// restAfter is how long a lock is held before it is taken for one that is left to run out,
// or to be unlocked much later: of its grant little is kept then. Most are unlocked before.
const restAfter = time.Second

// untilRest returns when that is to be done: once, unless the lock is extended.
func (h *Hold) untilRest(now clock.Time) time.Duration {
	if h.rests || h.turn != nil || h.extends() {
		return math.MaxInt64
	}
	return max(restAfter-now.Moment().Since(h.since), 0)
}

// rest keeps little of the grant if that is due. It is called with mu held.
func (h *Hold) rest(now clock.Time) {
	if h.untilRest(now) > 0 {
		return
	}
	h.rests = true
	if r := h.grant.Rest(); r != nil {
		h.grant, h.resting = nil, r
	}
}

// Rests reports whether little is kept of the grant.
func (h *Hold) Rests() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.resting != nil
}

// active returns the grant to send something for: from here on the lock does not rest, as
// it is over, or has had its turn made. It is called with mu held.
func (h *Hold) active() *round.Grant {
	if h.grant == nil {
		h.grant = h.locks.Nodes.Resume(h.Resources, h.resting)
		h.grant.OnFresh(h)
		h.resting = nil
	}
	return h.grant
}

// remove sends the release of a lock that is over.
func (h *Hold) remove(ctx context.Context) *round.Wave {
	h.mu.Lock()
	g := h.active() //nolint:contextcheck // hears of what this call does not
	h.mu.Unlock()
	return g.Release(ctx, h.timeout(), round.Pop)
}

// Value returns the random value of the lock.
func (h *Hold) Value() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.valueOf()
}

// Name returns the name of the value.
func (h *Hold) Name() value.Name { return value.NameOf(h.Value()) }

// valueOf is Value with mu held.
func (h *Hold) valueOf() string {
	if h.grant == nil {
		return h.resting.Value()
	}
	return h.grant.Value()
}

// Token returns the fencing token of the lock; 0 if there is none, or no lock.
func (h *Hold) Token() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.grant != nil:
		return h.grant.Token()
	case h.resting != nil:
		return h.resting.Token()
	}
	return 0
}
