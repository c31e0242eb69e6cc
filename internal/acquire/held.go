package acquire

import (
	"context"
	"time"

	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/waitqueue"
)

// Single reports whether the request makes one attempt, whatever comes of it.
func (r *Request) Single() bool { return r.Once || r.config.Retries == 0 }

// refusedHere returns the fault of a request if a lock of its own Locker has one of the
// resources. The nodes could only confirm that, and those who ask stand in the lanes of
// the holder's extensions and of its release; and where somebody has removed the keys by
// hand, two callers here would have the lock.
func (r *Request) refusedHere() *fault.Fault {
	var room [1]waitqueue.Holder
	var by waitqueue.Holder
	left := time.Duration(0)
	for _, h := range r.calls.Queues.Holders(room[:0], r.Hold.Resources) {
		if keeps := h.Keeps(); keeps > left {
			left, by = keeps, h
		}
	}
	if by == nil {
		return nil
	}
	f := r.fail(nil, fault.Contended)
	f.RetryAfter, f.Detail, f.By = left, "a caller of the same Locker", by.Name()
	return f
}

// recheck has the locks of this Locker that refuse the request asked for on the nodes, now
// and then: somebody may have removed their keys by hand, so that others can go on.
func (r *Request) recheck(ctx context.Context, wait bool) {
	var room [1]waitqueue.Holder
	for _, h := range r.calls.Queues.Holders(room[:0], r.Hold.Resources) {
		done := h.Recheck()
		if done == nil || !wait {
			continue
		}
		timer := time.NewTimer(min(r.timeout(), r.cutAfter()))
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C:
		case <-ctx.Done():
		case <-r.calls.Count.Closing():
		}
	}
}
