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

// A Lock is a granted lock on one resource or several. It is safe for concurrent use, and a
// copy stands for the same lock. A nil or zero Lock counts as unlocked.
//
// A Lock need not be unlocked: it ends by itself after its TTL and leaves nothing behind.
// Automatic extension stops once the program has dropped all copies of the Lock and the
// contexts taken from it have ended.
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

// Value returns the value of this lock on the nodes: random digits, and behind them the text
// of [WithOwner]. A client that knows it can release the lock, so keep it out of logs. Log
// [Lock.Mark] instead.
func (k *Lock) Value() string {
	if k.zero() {
		return ""
	}
	return k.hold.Value()
}

// Mark returns the short name by which errors and [Locker.Inspect] name the holder: 8
// hexadecimal digits of a hash of the lock's value. It may be logged: only an operator can
// use it, with [Locker.Break]. It is empty for a zero Lock.
func (k *Lock) Mark() string {
	if k.zero() {
		return ""
	}
	return k.hold.Name().Mark
}

// Until returns the end of the lock's validity: the start of the round that granted or last
// extended it, plus the TTL, less the drift. It is the zero time for a zero Lock.
func (k *Lock) Until() time.Time {
	if k.zero() {
		return time.Time{}
	}
	return k.hold.Until()
}

// Valid reports whether the lock is held and still valid, by the monotonic and by the wall
// clock. It is false from the call of Unlock on.
func (k *Lock) Valid() bool { return !k.zero() && k.hold.Valid() }

func (k *Lock) zero() bool { return k == nil || k.handle == nil }

// unlockedZero returns the error of using a nil or zero Lock.
func unlockedZero(op Op) error { return &LockError{Op: op, kinds: []fault.Kind{fault.Unlocked}} }

// Extend sets the TTL to ttl from now on; it never adds to it. With a smaller ttl the
// validity gets shorter, while the keys on the nodes last as long as before. A round without
// a majority is repeated as [WithRetry] says, while the lock is valid. ctx bounds the
// waiting only.
//
// The error matches [ErrLockLost] if the lock is over or gone from too many nodes, which is
// final. It matches [ErrNoQuorum] if the outcome is unknown: the lock is then valid until
// [Lock.Until]. If ctx ended the wait, it matches ctx's error too; if nothing was sent by
// then, ctx's error alone. It matches [ErrUnlocked] after Unlock, and [ErrInvalidArgument]
// for a bad ttl.
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

// Context returns a context that ends with parent and when the lock is over: at the end of
// its validity, when an extension finds it lost, at Unlock before anything is sent, and at
// the limit of [WithAutoExtend]. Its [context.Cause] is then a [*LockError] that matches
// [ErrLockLost], [ErrUnlocked] or [ErrHoldLimit]. Its Deadline is parent's.
//
// Err and Cause look at the clocks: after the process was stopped, the first look sees that
// the lock has run out. A context derived from this one goes by Done.
//
// Call the returned function when the work is done. Until then, automatic extension treats
// the lock as in use. A nil parent gives a context that has ended with [ErrInvalidArgument].
func (k *Lock) Context(parent context.Context) (context.Context, context.CancelFunc) {
	switch {
	case parent == nil:
		return endedContext(context.Background(), invalid("nil context"))
	case k.zero():
		return endedContext(parent, unlockedZero(OpHold))
	}
	return k.hold.Context(parent, k)
}

// FromContext returns the lock of ctx, the innermost one of several. ctx must be, or derive
// from, the context of [Locker.With], [Locker.Do] or [Lock.Context]. Otherwise FromContext
// returns nil, which counts as an unlocked Lock.
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

// Unlock releases the lock on every node, whatever the clock says. The lock's contexts end
// before anything is sent. Unlock waits until ctx ends, for the node timeout at most. The
// release goes on in the background, and refuses no later lock of it.
//
// The error is nil once a majority has removed the lock. It matches [ErrLockLost] if the
// lock had run out, or was gone from too many nodes, [ErrNoQuorum] if too few answered (it
// ends by itself), and ctx's error if ctx ended the wait.
//
// Unlock may be called again: it joins a release under way, returns the same after nil and
// ErrLockLost, and tries again after ErrNoQuorum. On a nil or zero Lock it returns nil.
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
