package redlock

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"time"

	"github.com/b0401464/redlock/internal/lease"
)

// With locks resource for ttl, calls fn and releases the lock: when fn returns, panics or
// calls [runtime.Goexit], and whether or not ctx has ended. fn's ctx ends with the caller's
// and when the lock can no longer be trusted; see [Lock.Context].
//
// With returns Lock's error if fn was not called, and fn's error as it is if the lock stayed
// valid. Otherwise the error matches [ErrLockLost] or [ErrHoldLimit], and what fn's error
// matches, except a context error while the caller's ctx is alive.
//
// onUnlockErr, or the function of [WithUnlockErrorHandler], is called at most once, before
// With returns: with [ErrNoQuorum] if too few nodes answered the release, [ErrLockLost] if
// the lock was gone. It does not change the result.
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

// A Func is what [Locker.Do] calls. It is another name for a type without one, so any
// function of that shape will do. The name keeps Do short enough for an index of the
// package, which cuts off a long list of parameters.
type Func = func(ctx context.Context) error

// Do is [Locker.With] without the lock and the handler: it locks the resource key for ttl,
// calls f with a ctx that ends when the lock does, and releases the lock. [FromContext]
// finds the lock in ctx. [WithUnlockErrorHandler] sets the handler.
func (l *Locker) Do(ctx context.Context, key string, ttl time.Duration, f Func, opts ...LockOption) error {
	if f == nil {
		return invalid("nil function")
	}
	return l.With(ctx, key, ttl, func(ctx context.Context, _ *Lock) error { return f(ctx) }, nil, opts...)
}

// WithUnlockErrorHandler sets the function that is called with an error of the release in
// [Locker.Do], and in [Locker.With] and [Locker.WithAll] if they have no handler of their
// own. It is called as onUnlockErr of With is. By default such errors are ignored. It is an
// error if handler is nil.
func WithUnlockErrorHandler(handler func(err error)) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		if handler == nil {
			return invalid("WithUnlockErrorHandler(nil): want a function")
		}
		c.onUnlockErr = handler
		return nil
	})
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
	ctx, span := r.locker.telemetry.startOn(ctx, spanWith, r.Hold.Resources, r.TTL)
	result, expected := resultPanicked, false // unless something is returned
	defer func() {
		seen := err
		if seen == nil && result == resultPanicked {
			seen = errPanicked
		}
		finish(span, result, seen, expected)
	}()
	lock, err := r.run(ctx)
	if err != nil {
		result, expected = errorType(err), r.expected(err)
		return err
	}
	defer func() { // runs when fn, or ctx, panics or calls Goexit, too
		over, valid := r.locker.errorOf(r.Hold.Ended()), lock.Valid() // before Unlock, which ends a valid lock
		// Unlock waits no longer than the node timeout.
		unlockErr := lock.Unlock(context.WithoutCancel(ctx))
		switch {
		case over == nil: // valid until here
		case errors.Is(over, ErrLockLost):
			err, result = r.during(ctx, over, err), lease.ResultLost
		case errors.Is(over, ErrHoldLimit):
			err, result = r.during(ctx, over, err), resultLimit
		}
		if onUnlockErr == nil {
			onUnlockErr = r.onUnlockErr
		}
		if onUnlockErr != nil && isNews(unlockErr, valid) {
			onUnlockErr(unlockErr)
		}
	}()
	held, _ := lock.Context(ctx) // ends with the lock
	err = fn(held, lock)
	result = resultDone
	if err != nil {
		result = resultFailed
	}
	return err
}

// Values of redlock.result for the end of With.
const (
	resultDone     = "done"       // fn returned nil
	resultFailed   = "failed"     // fn returned an error
	resultPanicked = "panicked"   // fn, or a context or a provider of the program's, panicked or called runtime.Goexit
	resultLimit    = "hold_limit" // automatic extension reached its limit
)

// errPanicked is what a span tells of an operation that did not return.
var errPanicked = &spanError{"panicked", "a panic, or runtime.Goexit"}

// A spanError is a failure that a span tells of and nobody gets as an error.
type spanError struct{ kind, text string }

func (e *spanError) Error() string { return e.text }

// ErrorType returns the value of error.type.
func (e *spanError) ErrorType() string { return e.kind }

// during returns the error of a With under ctx for a lock that ended before fn returned err.
func (r *request) during(ctx context.Context, end, err error) error {
	if err == nil {
		return end
	}
	return &interrupted{end, err, ctx.Err() != nil && r.locker.locks.EndOf(ctx) == nil}
}

// isNews reports whether the release has more to tell than With and fn know:
// valid says that the lock was valid when fn returned.
func isNews(unlockErr error, valid bool) bool {
	return errors.Is(unlockErr, ErrNoQuorum) || (errors.Is(unlockErr, ErrLockLost) && valid)
}

// An interrupted is the error of With for a lock that ended before fn returned an error.
type interrupted struct {
	end error // a *LockError
	err error // of fn
	// canceled says that the caller's context has ended, too, so that err may say so.
	canceled bool
}

// Error tells the end and what fn says, but not twice what fn has from the cause of its ctx.
func (e *interrupted) Error() string {
	end, text := e.end.Error(), e.err.Error()
	if strings.Contains(text, end) {
		return text
	}
	return end + ": " + text
}

// Unwrap returns the end of the lock and the error of fn.
func (e *interrupted) Unwrap() []error {
	if e.canceled {
		return []error{e.end, e.err}
	}
	return []error{e.end, uncanceled{e.err}}
}

// An uncanceled is an error that matches what it is made of, but for the errors of package
// context: fn has them from the context that ended with the lock, and nobody else has cancelled
// anything.
type uncanceled struct{ error }

func ofContext(err error) bool {
	return err == context.Canceled || err == context.DeadlineExceeded //nolint:errorlint // each one of the tree is looked at
}

// Is is what errors.Is asks.
func (e uncanceled) Is(target error) bool { return !ofContext(target) && errors.Is(e.error, target) }

// As is what errors.As and AsType ask. It goes through the tree as they do.
func (e uncanceled) As(target any) bool { return asUncanceled(e.error, target) }

func asUncanceled(err error, target any) bool {
	if err == nil || ofContext(err) {
		return false
	}
	if v := reflect.ValueOf(target).Elem(); reflect.TypeOf(err).AssignableTo(v.Type()) {
		v.Set(reflect.ValueOf(err))
		return true
	}
	if x, ok := err.(interface{ As(target any) bool }); ok && x.As(target) {
		return true
	}
	switch x := err.(type) { //nolint:errorlint // likewise
	case interface{ Unwrap() error }:
		return asUncanceled(x.Unwrap(), target)
	case interface{ Unwrap() []error }:
		for _, err := range x.Unwrap() {
			if asUncanceled(err, target) {
				return true
			}
		}
	}
	return false
}
