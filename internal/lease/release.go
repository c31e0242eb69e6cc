package lease

import (
	"context"

	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// Release ends the lock, unless it is over, and sends the release. It reports whether this
// has ended a valid lock, and whether it came too late.
func (h *Hold) Release(ctx context.Context) (wave *round.Wave, first, tooLate bool) {
	release := func() { wave = h.remove(ctx) }
	first = h.end(ctx, fault.Unlocked, "", release)
	tooLate = h.isTooLate()
	if wave == nil { // another call has ended the lock, and may have come no further
		release()
		h.letNext()
	}
	return wave, first, tooLate
}

// Unlock releases the lock and waits for the outcome, at most for the node timeout.
func (h *Hold) Unlock(ctx context.Context) (round.Result, *fault.Fault) {
	wave, first, tooLate := h.Release(ctx)
	res := wave.Wait(ctx)
	if res.Outcome == quorum.Undecided && h.locks.EndOf(ctx) != nil {
		// fn of With, for one, may hand its ctx to Unlock. Nobody is in a hurry.
		res = wave.Wait(context.WithoutCancel(ctx))
	}
	if first && res.Outcome == quorum.Lost {
		h.held(ctx, ResultLost)
	} else if first {
		h.held(ctx, ResultReleased)
	}
	switch {
	case res.Outcome == quorum.Lost, res.Outcome == quorum.Released && (tooLate || h.foundGone()):
		f := h.failed(fault.Unlock, 1, res, nil, fault.LockLost)
		f.Detail = h.lossDetail()
		return res, f
	case res.Outcome == quorum.Released:
		return res, nil
	case res.Outcome == quorum.Unanswered:
		return res, h.failed(fault.Unlock, 1, res, nil, fault.NoQuorum)
	default:
		return res, h.failed(fault.Unlock, 1, res, h.locks.CauseOf(ctx))
	}
}

// foundGone reports whether an extension has found the lock gone from too many nodes. The
// release may find less of that: one of those nodes may not answer it.
func (h *Hold) foundGone() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over == fault.LockLost && h.detail != expired
}

// lossDetail returns what is known of the loss besides what the release has found.
func (h *Hold) lossDetail() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.detail
}

// isTooLate reports whether the lock ran out, was removed then, and was first
// unlocked when the keys would have run out as well: the nodes would have said
// that it was not there any more.
func (h *Hold) isTooLate() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cleared && !h.asked {
		h.tooLate = h.now().Since(h.lease.start) >= h.lease.ttl
	}
	h.asked = true
	return h.tooLate
}
