package redlock

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// With locks resource for ttl, calls fn and releases the lock: when fn returns,
// panics or calls [runtime.Goexit], and whether or not ctx has ended. It is
// the disposer of bull-redlock with Bluebird's using.
//
// The ctx handed to fn ends with the caller's, and the moment the lock can no
// longer be trusted; see [Lock.Context]. fn may take longer than ttl if it extends
// the lock, or [WithAutoExtend] has it extended. It may unlock the lock early.
//
// With returns Lock's error if fn was not called. It returns fn's error as it
// is if the lock was valid until fn returned, or until fn unlocked it.
// Otherwise the error matches [ErrLockLost], and fn's error too if fn failed. If
// the limit of [WithAutoExtend] was reached before fn returned, it matches
// [ErrHoldLimit] in the same way.
//
// onUnlockErr, if not nil, is called with what the release has to tell, at
// most once and before With returns: that too few nodes answered
// ([ErrNoQuorum]; the lock ends by itself then), or that the lock was gone
// ([ErrLockLost]) although it was valid when fn returned. It does not change
// what With returns. If it panics, that happens after everything is cleaned up.
//
// For a nil fn the error matches [ErrInvalidArgument] and nothing is sent.
func (l *Locker) With(ctx context.Context, resource string, ttl time.Duration,
	fn func(ctx context.Context, lock *Lock) error, onUnlockErr func(error), opts ...LockOption,
) (err error) {
	if fn == nil {
		return invalid("nil function")
	}
	r, err := l.newRequest(ctx, resource, ttl, opts)
	if err != nil {
		return err
	}
	return r.with(ctx, fn, onUnlockErr)
}

// WithAll is [Locker.With] for several resources at once; see [Locker.LockAll].
func (l *Locker) WithAll(ctx context.Context, resources []string, ttl time.Duration,
	fn func(ctx context.Context, lock *Lock) error, onUnlockErr func(error), opts ...LockOption,
) (err error) {
	if fn == nil {
		return invalid("nil function")
	}
	r, err := l.newRequestAll(ctx, resources, ttl, opts)
	if err != nil {
		return err
	}
	return r.with(ctx, fn, onUnlockErr)
}

func (r *request) with(ctx context.Context, fn func(ctx context.Context, lock *Lock) error, onUnlockErr func(error)) (err error) {
	ctx, span := r.locker.telemetry.startOn(ctx, spanWith, r.hold.resources, r.ttl)
	lock, err := r.run(ctx)
	if err != nil {
		finish(span, errorType(err), err, r.expected(err))
		return err
	}
	result := resultPanicked // unless fn returns
	defer func() {
		seen := err
		if seen == nil && result == resultPanicked {
			seen = errPanicked
		}
		finish(span, result, seen, false)
	}()
	held, stop := lock.Context(ctx)
	defer func() { // runs when fn panics or calls Goexit, too
		over, valid := lock.hold.ended(), lock.Valid() // before Unlock, which ends a valid lock
		// Unlock waits no longer than the node timeout.
		unlockErr := lock.Unlock(context.WithoutCancel(ctx))
		stop()
		switch {
		case over == nil: // valid until here
		case over.Is(ErrLockLost):
			err, result = during(over, err), resultLost
		case over.Is(ErrHoldLimit):
			err, result = during(over, err), resultLimit
		}
		if onUnlockErr != nil && isNews(unlockErr, valid) {
			onUnlockErr(unlockErr)
		}
	}()
	err = fn(held, lock)
	result = resultDone
	if err != nil {
		result = resultFailed
	}
	return err
}

var errPanicked = &spanError{"panicked", "fn panicked or called runtime.Goexit"}

// during returns With's error for a lock that ended before fn returned err.
func during(end, err error) error {
	if err == nil {
		return end
	}
	return fmt.Errorf("%w: %w", end, err)
}

// isNews reports whether the release has more to tell than With and fn know:
// valid says that the lock was valid when fn returned.
func isNews(unlockErr error, valid bool) bool {
	return errors.Is(unlockErr, ErrNoQuorum) || (errors.Is(unlockErr, ErrLockLost) && valid)
}
