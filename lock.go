package redlock

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/lease"
	"github.com/b0401464/redlock/internal/round"
)

// A Lock is a lock that was granted, on one resource or on several. It is made by
// [Locker.Lock] or [Locker.LockAll] and safe for concurrent use. A copy stands for the
// same lock. A nil or zero Lock is one that has been unlocked. It need not
// be unlocked: then it ends by itself after its TTL, and nothing of it is left.
// One that is extended automatically ends so once the program has dropped all
// copies of it and the contexts taken from it have ended.
type Lock struct {
	*handle // nil in a zero Lock
}

// A handle is what the copies of a Lock share. When the program has dropped it, nobody
// can unlock the lock any more: it is left to run out.
type handle struct {
	lock   Lock // the first of them; it lies here to save an allocation
	locker *Locker
	hold   *lease.Hold
}

// newLock returns the Lock of a hold.
func newLock(l *Locker, h *lease.Hold) *Lock {
	k := &handle{locker: l, hold: h}
	k.lock.handle = k
	if h.Config.Limit != 0 {
		runtime.AddCleanup(k, (*lease.Hold).Drop, h)
	}
	return &k.lock
}

// run returns the lock or why there is none. The program's ctx and providers may panic, or
// call runtime.Goexit: then nothing is left, wherever that was.
func (r *request) run(ctx context.Context) (k *Lock, err error) {
	t, h := r.locker.telemetry, r.Hold
	h.Attrs = t.resourceAttributes(h.Resources[0])
	ctx, span := t.startOn(ctx, spanLock, h.Resources, r.TTL)
	h.Origin = span.SpanContext()
	returns := false
	defer func() {
		if !returns {
			r.Abandon(ctx)
		}
	}()
	err = errPanicked
	defer func() {
		t.endLock(ctx, span, r, err)
		returns = !errors.Is(err, errPanicked)
	}()
	if f := r.Run(ctx); f != nil {
		return nil, r.locker.lockError(f)
	}
	return newLock(r.locker, h), nil
}

// expected reports whether err is a refusal that a caller with one attempt
// reckons with.
func (r *request) expected(err error) bool {
	e, ok := errors.AsType[*LockError](err)
	return ok && r.Single() && e.cause == nil && e.Is(ErrContended)
}

// Resource returns the locked resource, the first one of several.
func (k *Lock) Resource() string {
	if k.zero() {
		return ""
	}
	return k.hold.Resources[0]
}

// Resources returns the locked resources, sorted and without duplicates. It is nil
// for a zero Lock.
func (k *Lock) Resources() []string {
	if k.zero() {
		return nil
	}
	return slices.Clone(k.hold.Resources)
}

// Value returns the value that stands for this lock on the nodes: random, and behind that
// what [WithOwner] says. Who knows it can release the lock: keep it out of logs, where
// [Lock.Mark] names the lock.
func (k *Lock) Value() string {
	if k.zero() {
		return ""
	}
	return k.hold.Value()
}

// Mark returns the short name of the lock by which errors and [Locker.Inspect] name its
// holder: 8 hexadecimal digits of a hash of its value. It can be logged: nobody can release
// the lock by it, but for an operator with [Locker.Break]. It is empty for a zero Lock.
func (k *Lock) Mark() string {
	if k.zero() {
		return ""
	}
	return k.hold.Name().Mark
}

// Until returns the moment until which the lock is valid if it is not extended,
// or was if it is over: the time just before the first command of the round
// that granted or last extended it, plus the TTL, less the drift. It is the
// zero time for a zero Lock.
func (k *Lock) Until() time.Time {
	if k.zero() {
		return time.Time{}
	}
	return k.hold.Until()
}

// Valid reports whether the lock is held and its validity not over, by the
// monotonic and by the wall clock. It is false from the call of Unlock on.
func (k *Lock) Valid() bool { return !k.zero() && k.hold.Valid() }

func (k *Lock) zero() bool { return k == nil || k.handle == nil }

// unlockedZero returns the error of using a nil or zero Lock.
func unlockedZero(op Op) error { return &LockError{Op: op, kinds: []fault.Kind{fault.Unlocked}} }

// Extend sets the TTL anew, to ttl from now on; it never adds to it. With a ttl
// smaller than what is left, the lock is valid for that long only, while the
// keys on the nodes last as long as before. ttl is cut to whole milliseconds.
//
// A round that found no majority is repeated by the lock's retry schedule (see
// [WithRetry]) while the lock is valid. ctx bounds the waiting only. Rounds of
// several calls for the same lock, and of automatic extension, run one after the
// other.
//
// The error matches [ErrLockLost] if the lock is over or is found gone from so
// many nodes that it does not stand on a majority: that is final, and what is
// left of it is removed in the background. It matches [ErrNoQuorum], and ctx's
// error too if ctx ended the wait, if the outcome is unknown: the lock is then
// valid until [Lock.Until], which that did not make later. It matches ctx's error alone
// if that ended before anything was sent: the lock is as it was. It matches
// [ErrUnlocked] after Unlock, and [ErrInvalidArgument] for a ttl that Lock would
// not take.
func (k *Lock) Extend(ctx context.Context, ttl time.Duration) error {
	if ctx == nil {
		return invalid("nil context")
	}
	if k.zero() {
		return unlockedZero(OpExtend)
	}
	l, h := k.locker, k.hold
	ttl, drift, err := l.config.terms.Extension(ttl, h.TTL(), &h.Config)
	if err != nil {
		return asInvalid(err)
	}
	t, start := l.telemetry, time.Now()
	ctx, span := t.startOn(ctx, spanExtend, h.Resources, ttl)
	x := h.Extension(ttl, drift)
	err = errPanicked
	defer func() {
		result := resultOf(err, lease.ResultExtended)
		setVotes(span, &x.Last)
		finish(span, result, err, false)
		t.record(ctx, t.extendDuration, start, h.Attrs, result, err, false)
	}()
	err = l.errorOf(x.Run(ctx))
	return err
}

// Context returns a context that ends with parent and when the lock is over: at the
// end of its validity, when an extension finds it lost, at Unlock before anything is
// sent, and at the limit of [WithAutoExtend]. Its [context.Cause] is then a [*LockError]
// that matches [ErrLockLost], [ErrUnlocked] or [ErrHoldLimit]. Its Deadline is parent's.
//
// Err and Cause look at the clocks: after the process was stopped, the first look sees
// that the lock has run out, and closes Done, before any timer has run. One derived from
// it by package context looks when it is made, and then goes by Done, as always in Go.
//
// Call the returned function when the work is done: until then automatic extension takes
// the lock for one in use. If parent is nil, the context has ended with an error that
// matches [ErrInvalidArgument].
func (k *Lock) Context(parent context.Context) (context.Context, context.CancelFunc) {
	switch {
	case parent == nil:
		return endedContext(context.Background(), invalid("nil context"))
	case k.zero():
		return endedContext(parent, unlockedZero(OpHold))
	}
	return k.hold.Context(parent, k)
}

// FromContext returns the lock whose context ctx is or derives from, the innermost one of
// several: in a function that [Locker.With] or [Locker.Do] calls, or under a
// [Lock.Context]. It is nil, as a lock that has been unlocked, if there is none.
func FromContext(ctx context.Context) *Lock {
	if ctx == nil {
		return nil
	}
	k, _ := lease.OwnerOf(ctx).(*Lock)
	return k
}

func endedContext(parent context.Context, why error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	cancel(why)
	return ctx, func() {}
}

// Unlock releases the lock on every node, whatever the clock says, and waits
// for the outcome until ctx ends, at most for the node timeout, which counts from when the
// release is sent. The lock is over
// at once: its contexts end before anything is sent, and it is not extended any
// more. The release goes on in the background when Unlock returns before all
// nodes have answered; a lock of the same resource by the same Locker is never
// refused because of it.
//
// The error is nil as soon as a majority has removed the lock. It matches
// [ErrLockLost] if so many nodes did not have it any more that it did not
// stand on a majority; [ErrNoQuorum] if too few nodes answered: the lock ends
// by itself then; ctx's error if that ended the wait, which the end of a lock, this one or
// another, does not if ctx is its [Lock.Context]. It is a [*LockError].
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
	l, h := k.locker, k.hold
	t, start := l.telemetry, time.Now()
	ctx, span := k.startUnlock(ctx)
	res, err := round.Result{}, error(errPanicked)
	defer func() {
		result := resultOf(err, lease.ResultReleased)
		setVotes(span, &res)
		finish(span, result, err, false)
		t.record(ctx, t.unlockDuration, start, h.Attrs, result, err, false)
	}()
	res, f := h.Unlock(ctx)
	err = l.errorOf(f)
	return err
}

// startUnlock begins the span of Unlock. If the program's ctx or its provider panics, the
// lock is released all the same.
func (k *Lock) startUnlock(ctx context.Context) (_ context.Context, span trace.Span) {
	defer func() {
		if span == nil {
			k.hold.Release(context.WithoutCancel(ctx))
		}
	}()
	return k.locker.telemetry.startOn(ctx, spanUnlock, k.hold.Resources, 0)
}
