package redlock

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// A Lock is a lock that was granted, on one resource or on several. It is made by
// [Locker.Lock] or [Locker.LockAll] and safe for concurrent use. A nil or zero Lock is one that has been unlocked. It need not
// be unlocked: then it ends by itself after its TTL, and nothing of it is left.
// One that is extended automatically ends so once the program has dropped it
// and the contexts taken from it have ended.
type Lock struct {
	hold *hold // nil in a zero Lock
}

// newLock returns the handle of a hold. When the program has dropped it,
// nobody can unlock it any more: it is left to run out.
func newLock(h *hold) *Lock {
	k := &Lock{h}
	if h.call.limit != 0 {
		// The flag only: a cleanup must not touch a timer.
		runtime.AddCleanup(k, func(h *hold) { h.dropped.Store(true) }, h)
	}
	return k
}

// Resource returns the locked resource, the first one of several.
func (k *Lock) Resource() string {
	if k.zero() {
		return ""
	}
	return k.hold.resources[0]
}

// Resources returns the locked resources, sorted and without duplicates. It is nil
// for a zero Lock.
func (k *Lock) Resources() []string {
	if k.zero() {
		return nil
	}
	return slices.Clone(k.hold.resources)
}

// Value returns the random value that stands for this lock on the nodes. Who
// knows it can release the lock: keep it out of logs.
func (k *Lock) Value() string {
	if k.zero() {
		return ""
	}
	return k.hold.grant.Value()
}

// Until returns the moment until which the lock is valid if it is not extended,
// or was if it is over: the time just before the first command of the round
// that granted or last extended it, plus the TTL, less the drift. It is the
// zero time for a zero Lock.
func (k *Lock) Until() time.Time {
	if k.zero() {
		return time.Time{}
	}
	h := k.hold
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease.start.Add(h.lease.ttl - h.lease.drift)
}

// Valid reports whether the lock is held and its validity not over, by the
// monotonic and by the wall clock. It is false from the call of Unlock on.
func (k *Lock) Valid() bool { return !k.zero() && k.hold.valid() }

func (k *Lock) zero() bool { return k == nil || k.hold == nil }

// unlockedZero returns the error of using a nil or zero Lock.
func unlockedZero(op string) error { return &LockError{Op: op, kinds: []error{ErrUnlocked}} }

// Context returns a context that ends with parent, and when the lock is over:
// at the end of its validity, by a local timer, even if an extension hangs; when
// an extension finds the lock lost; and at Unlock, before anything is sent. It
// also ends when automatic extension has reached its limit; see
// [WithAutoExtend]. [context.Cause] then matches [ErrLockLost], [ErrUnlocked] or
// [ErrHoldLimit] and is a [*LockError] that names the resource. Its Deadline is
// the parent's, because an extension moves the lock's.
//
// The returned function releases what belongs to the context earlier than the
// end of the lock does; call it when the work is done. Until then automatic
// extension takes the lock for one in use. If parent is nil the
// context has ended with an error that matches [ErrInvalidArgument].
func (k *Lock) Context(parent context.Context) (context.Context, context.CancelFunc) {
	var bad error
	if parent == nil {
		parent, bad = context.Background(), invalid("nil context")
	}
	ctx, cancel := context.WithCancelCause(parent)
	switch {
	case bad != nil:
	case k.zero():
		bad = unlockedZero(OpHold)
	default:
		bad = k.hold.watch(ctx, &cancel)
	}
	if bad != nil {
		cancel(bad)
		return ctx, func() {}
	}
	return ctx, func() {
		k.hold.unwatch(&cancel)
		cancel(nil)
	}
}

// Unlock releases the lock on every node, whatever the clock says, and waits
// for the outcome until ctx ends, at most for the node timeout. The lock is over
// at once: its contexts end before anything is sent, and it is not extended any
// more. The release goes on in the background when Unlock returns before all
// nodes have answered; a lock of the same resource by the same Locker is never
// refused because of it.
//
// The error is nil as soon as a majority has removed the lock. It matches
// [ErrLockLost] if so many nodes did not have it any more that it did not
// stand on a majority; [ErrNoQuorum] if too few nodes answered: the lock ends
// by itself then; ctx's error if that ended the wait. It is a [*LockError].
//
// Unlock may be called again: it waits for a release that is under way, returns
// the same result after nil and ErrLockLost, and tries again after ErrNoQuorum.
// On a nil or zero Lock it returns nil.
func (k *Lock) Unlock(ctx context.Context) error {
	if ctx == nil {
		return invalid("nil context")
	}
	if k.zero() {
		return nil
	}
	h := k.hold
	t, start := h.locker.telemetry, time.Now()
	ctx, span := t.startOn(ctx, spanUnlock, h.resources, 0)
	res, err := h.unlock(ctx)
	result := resultOf(err, resultReleased)
	setVotes(span, res.Agreed, res.Refused, len(res.Failures))
	finish(span, result, err, false)
	t.record(ctx, t.unlockDuration, start, h.attrs, result, err, false)
	return err
}

func (h *hold) unlock(ctx context.Context) (round.Result, error) {
	var wave *round.Wave
	release := func() { wave = h.grant.Release(ctx, h.timeout(), round.Pop) }
	first := h.end(ctx, ErrUnlocked, "", release) && h.unlocked()
	tooLate := h.isTooLate()
	if wave == nil {
		release()
	}
	res := wave.Wait(h.outlive(ctx))
	if first && res.Outcome == quorum.Lost {
		h.held(ctx, resultLost)
	} else if first {
		h.held(ctx, resultReleased)
	}
	switch {
	case res.Outcome == quorum.Released && tooLate:
		return res, h.failed(OpUnlock, 1, res, nil, ErrLockLost)
	case res.Outcome == quorum.Released:
		return res, nil
	case res.Outcome == quorum.Lost:
		return res, h.failed(OpUnlock, 1, res, nil, ErrLockLost)
	case res.Outcome == quorum.Unanswered:
		return res, h.failed(OpUnlock, 1, res, nil, ErrNoQuorum)
	default:
		return res, h.failed(OpUnlock, 1, res, ended(ctx))
	}
}

// unlocked reports whether the lock was valid when it was unlocked.
func (h *hold) unlocked() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return errors.Is(h.over, ErrUnlocked)
}

// isTooLate reports whether the lock ran out, was removed then, and was first
// unlocked when the keys would have run out as well: the nodes would have said
// that it was not there any more.
func (h *hold) isTooLate() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cleared && !h.asked {
		h.tooLate = h.now().Since(h.lease.start) >= h.lease.ttl
	}
	h.asked = true
	return h.tooLate
}

// outlive returns ctx, or one that is never done if ctx has ended because the
// lock did: fn of With, for one, may hand its ctx to Unlock.
func (h *hold) outlive(ctx context.Context) context.Context {
	if e, ok := errors.AsType[*LockError](context.Cause(ctx)); ok && e.hold == h {
		return context.WithoutCancel(ctx)
	}
	return ctx
}
