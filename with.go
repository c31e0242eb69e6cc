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
// longer be trusted; see [Lock.Context]. fn may extend the lock, and unlock it
// early.
//
// With returns Lock's error if fn was not called. It returns fn's error as it
// is if the lock was valid until fn returned, or until fn unlocked it.
// Otherwise the error matches [ErrLockLost], and fn's error too if fn failed.
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
	ctx, span := l.telemetry.startOn(ctx, spanWith, resource, r.ttl)
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
		over := lock.ended() // before Unlock, which ends a valid lock
		// Unlock waits no longer than the node timeout.
		unlockErr := lock.Unlock(context.WithoutCancel(ctx))
		stop()
		if over != nil && over.Is(ErrLockLost) {
			err = lostDuring(over, err)
			result = resultLost
		}
		if onUnlockErr != nil && isNews(unlockErr, over) {
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

// lostDuring returns With's error for a lock that was lost before fn returned err.
func lostDuring(loss, err error) error {
	if err == nil {
		return loss
	}
	return fmt.Errorf("%w: %w", loss, err)
}

// isNews reports whether the release has more to tell than With and fn know:
// over is why the lock was over when fn returned, nil if it was valid.
func isNews(unlockErr error, over *LockError) bool {
	return errors.Is(unlockErr, ErrNoQuorum) || (errors.Is(unlockErr, ErrLockLost) && over == nil)
}
