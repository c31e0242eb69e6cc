package redlock

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/b0401464/redlock/internal/acquire"
	"github.com/b0401464/redlock/internal/client"
)

// Defaults of the options.
const (
	defaultDriftFactor = 0.01
	defaultRetryCount  = 10
	defaultRetryDelay  = 400 * time.Millisecond
)

// Forever is the count of retries, in [WithRetry], that only the context ends,
// and the limit of automatic extension, in [WithAutoExtend], that only Unlock
// ends. As [LockError.RetryAfter] it says that somebody has to remove a key.
const Forever = -1

// An Option configures a [Locker]. It is an argument of [New]; a [LockOption]
// is one of a single call too.
type Option interface {
	apply(c *config) error
}

// A LockOption configures a [Locker], as an argument of [New], or one call of
// [Locker.Lock], [Locker.TryLock], [Locker.With], [Locker.Do], [Locker.LockAll] or
// [Locker.WithAll]. In a call it overrides what New was given.
type LockOption interface {
	Option
	applyCall(c *callConfig) error
}

// config is what New is given.
type config struct {
	call     callConfig
	drift    float64
	noLine   bool
	noScript bool
	restart  time.Duration // how long a node does not vote after one; 0 if it does
	pipeline bool
	onError  func(context.Context, *NodeError)

	tracers    trace.TracerProvider // nil: the global one
	meters     metric.MeterProvider // nil: the global one
	attributes func(resource string) []attribute.KeyValue
}

// callConfig is what one call goes by.
type callConfig struct {
	acquire.Config

	jitterSet   bool        // if not, the jitter follows the delay
	onUnlockErr func(error) // nil to ignore it
}

type optionFunc func(*config) error

func (f optionFunc) apply(c *config) error { return f(c) }

type lockOptionFunc func(*callConfig) error

func (f lockOptionFunc) apply(c *config) error         { return f(&c.call) }
func (f lockOptionFunc) applyCall(c *callConfig) error { return f(c) }

func newConfig(opts []Option) (config, error) {
	c := config{drift: defaultDriftFactor}
	c.call.Retries, c.call.Delay = defaultRetryCount, defaultRetryDelay
	var errs []error
	for i, o := range opts {
		if client.IsNil(o) {
			errs = append(errs, invalid("option %d is nil", i+1))
			continue
		}
		errs = append(errs, o.apply(&c))
	}
	c.call.finish()
	switch {
	case c.noScript && c.call.Keep != 0:
		errs = append(errs, errScriptlessToken())
	case c.noScript && c.restart != 0:
		errs = append(errs, invalid("WithRestartQuarantine needs scripts, and New was given WithoutScripts"))
	}
	return c, join(errs)
}

// errScriptlessToken is what a token fails with where there are no scripts.
func errScriptlessToken() error {
	return invalid("WithFencing needs scripts, and New was given WithoutScripts")
}

// with returns the configuration with the options of one call applied.
func (c *callConfig) with(opts []LockOption) (callConfig, error) {
	if len(opts) == 0 {
		return *c, nil
	}
	return override(*c, opts)
}

func override(c callConfig, opts []LockOption) (callConfig, error) {
	var errs []error
	for i, o := range opts {
		if client.IsNil(o) {
			errs = append(errs, invalid("option %d is nil", i+1))
			continue
		}
		errs = append(errs, o.applyCall(&c))
	}
	c.finish()
	return c, join(errs)
}

// finish settles what depends on several options of one list.
func (c *callConfig) finish() {
	if !c.jitterSet {
		c.Jitter = c.Delay
	}
}

// least is the shortest duration that is taken for one: what is shorter is a number whose
// unit was forgotten.
const (
	least     = time.Millisecond
	wantLeast = "at least 1ms (a bare number is nanoseconds: write 10*time.Second)"
)

// WithRetry sets how long a call waits for its lock: count × delay, by default
// 10 × 400 ms = 4 s. The last attempt begins then, at the latest. The time of the
// attempts counts too, and so does the time in which the call waits for others.
// With count 0 there is one attempt, as of [Locker.TryLock]; with [Forever] only the
// context or [WithMaxWait] ends the wait.
//
// A call that polls makes count retries, delay apart; see [WithJitter]. A delay of 0
// counts as 1 ms. A tie with other contenders costs no retry, except with count 0.
// [Lock.Extend] repeats a failed round count times, delay apart.
//
// It is an error if count is below −1, or delay is neither 0 nor at least 1 ms.
func WithRetry(count int, delay time.Duration) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		switch {
		case count < Forever:
			return invalid("WithRetry(%d, %v): want a count of at least 0, or Forever", count, delay)
		case delay != 0 && delay < least:
			return invalid("WithRetry(%d, %v): want a delay of 0, or of "+wantLeast, count, delay)
		}
		c.Retries, c.Delay = count, delay
		return nil
	})
}

// WithJitter spreads the pause before a retry: it is uniform in [delay−d, delay+d),
// never below 0. The pauses add up to count × delay all the same; see [WithRetry].
// The default is the retry delay itself. It is an error if d is neither 0 nor at least 1 ms.
func WithJitter(d time.Duration) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		if d != 0 && d < least {
			return invalid("WithJitter(%v): want 0, or "+wantLeast, d)
		}
		c.Jitter, c.jitterSet = d, true
		return nil
	})
}

// WithMaxWait sets how long a call waits for its lock, in place of the count of
// [WithRetry]: it gives up when d has passed since it began, in the middle of an
// attempt if need be, or less than a round trip before, if no attempt would be
// answered any more. Its error says what was seen last, and matches no context error.
// Where count is 0 the call makes one attempt, within d. In [Locker.With] it bounds the
// waiting, never the function. By default there is no such bound. It is an error if
// d is under 1 ms.
func WithMaxWait(d time.Duration) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		if d < least {
			return invalid("WithMaxWait(%v): want "+wantLeast, d)
		}
		c.MaxWait = d
		return nil
	})
}

// WithNodeTimeout sets how long a call waits for nodes that do not answer
// while the votes of the others do not decide; a node that owes an answer for
// longer is not waited for at all until it answers again. It counts from when the command is
// sent: where more calls are under way than a go-redis Client has connections, a call may wait
// for one for as long as the node answers others and the lock could be valid, and up to a
// node timeout longer where the process does not get the processor. It should be at
// least four round trips to the slowest node that ought to count, and eight (ten with
// TLS) where a call may have to make its connection first. The default is a tenth of the
// TTL, at least 50 ms and at most 1 s; it is never longer than the validity left. It is an
// error if d is under 1 ms.
func WithNodeTimeout(d time.Duration) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		if d < least {
			return invalid("WithNodeTimeout(%v): want "+wantLeast, d)
		}
		c.NodeTimeout = d
		return nil
	})
}

// WithAutoExtend extends the lock in the background until it is unlocked, for at most
// limit since it was granted; [Forever] sets no limit. It is off by default.
//
// The lock is extended each time that a third of its TTL has passed. If it cannot be
// kept, [Lock.Context], and so the context of [Locker.With], ends with the validity at
// the latest, with a cause that matches [ErrLockLost]. At the limit it ends with
// [ErrHoldLimit]; the lock then stays for the rest of its TTL, so that the work can stop.
//
// New and calls fail if limit is neither Forever nor at least 1 ms, and calls if the TTL less
// its drift is not more than a third of the TTL.
//
// More: docs/long-work.md.
func WithAutoExtend(limit time.Duration) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		if limit < least && limit != Forever {
			return invalid("WithAutoExtend(%v): want Forever, or "+wantLeast, limit)
		}
		c.Limit = limit
		return nil
	})
}

// WithoutAutoExtend switches off, for one call, a [WithAutoExtend] that [New]
// was given.
func WithoutAutoExtend() LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		c.Limit = 0
		return nil
	})
}
