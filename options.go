package redlock

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/b0401464/redlock/internal/acquire"
	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/value"
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
	terms    acquire.Terms
	noLine   bool
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
	c := config{terms: acquire.Terms{Drift: defaultDriftFactor}}
	c.call.Retries, c.call.Delay = defaultRetryCount, defaultRetryDelay
	errs := applied(opts, func(o Option) error { return o.apply(&c) })
	c.call.finish()
	return c, fault.Join(append(errs, asInvalid(c.terms.Options(&c.call.Config.Config))))
}

// with returns the configuration with the options of one call applied.
func (c *callConfig) with(opts []LockOption) (callConfig, error) {
	if len(opts) == 0 {
		return *c, nil
	}
	return override(*c, opts)
}

func override(c callConfig, opts []LockOption) (callConfig, error) {
	errs := applied(opts, func(o LockOption) error { return o.applyCall(&c) })
	c.finish()
	return c, fault.Join(errs)
}

// applied applies options and returns what is wrong with them.
func applied[O any](opts []O, apply func(O) error) (errs []error) {
	for i, o := range opts {
		if client.IsNil(o) {
			errs = append(errs, invalid("option %d is nil", i+1))
			continue
		}
		errs = append(errs, apply(o))
	}
	return errs
}

// finish settles what depends on several options of one list.
func (c *callConfig) finish() {
	if !c.jitterSet {
		c.Jitter = c.Delay
	}
}

// What is shorter than least is no duration, but a number whose unit was forgotten.
const (
	least     = acquire.Least
	wantLeast = acquire.WantLeast
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

// WithOwner says who takes the lock, in words for an operator, as "billing-7f9c pid 4242".
// Whoever is refused finds it in [LockError.HeldBy] and in the text of the error, and
// [Locker.Inspect] tells it. By default a lock has no owner.
//
// It is part of the lock's value on the nodes, behind the random part, with the moment just
// before the attempt that got the lock, by this process' wall clock in milliseconds. So it
// takes no key and no command, and is no secret. Given to New, it also names the Locker in
// the line of those that wait.
//
// text is 1 to 128 bytes of printable UTF-8; any other is an error.
func WithOwner(text string) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		if !value.IsOwner(text) {
			return invalid("WithOwner(%.*q): want 1 to %d bytes of printable UTF-8", value.MaxOwner, text, value.MaxOwner)
		}
		c.Owner = text
		return nil
	})
}

// What follows are the options of New alone.

// WithDriftFactor sets the share of the TTL that is set aside for clock drift:
// a lock is valid for ttl − drift, where drift is ttl times f, rounded to
// milliseconds, plus 2 ms for the resolution of Redis' expiry. The default is
// 0.01, the value that the Redlock algorithm's description and its implementations
// use. [New] fails if f is not in [0, 1).
func WithDriftFactor(f float64) Option {
	return optionFunc(func(c *config) error {
		if !(f >= 0 && f < 1) { // written so that NaN fails too
			return invalid("WithDriftFactor(%v): want [0, 1)", f)
		}
		c.terms.Drift = f
		return nil
	})
}

// WithNodeErrorHandler sets a function that is told of every command that failed on
// a node or was not answered in time, once for each: when a call stops waiting for the
// node, or does not wait for it because it is silent; if no call is there, when the
// client returns, unless its answer is only late. That includes failures of a minority,
// which no call returns. A refusal because somebody else has the lock is no failure.
//
// The function is called concurrently and must not block: node calls wait for it. ctx
// has the values of the caller's context, or none where nobody calls, as in automatic
// extension, and is never done. It is an error if handler is nil.
func WithNodeErrorHandler(handler func(ctx context.Context, err *NodeError)) Option {
	return optionFunc(func(c *config) error {
		if handler == nil {
			return invalid("WithNodeErrorHandler(nil): want a function")
		}
		c.onError = handler
		return nil
	})
}

// WithoutWaitingLine switches off the line in which Lockers, also those of other
// processes, wait for a resource: they ask again at random intervals then, as
// [WithRetry] says. Callers of one Locker stand in line all the same, and only the
// first of them asks, as often as whoever stands in it would.
func WithoutWaitingLine() Option {
	return optionFunc(func(c *config) error {
		c.noLine = true
		return nil
	})
}

// WithoutScripts keeps the library from running Lua scripts on the nodes, for users who may not
// run EVAL and servers that do not have it. The nodes must be Redis 8.4, Valkey 9.0 or later,
// with users who may run SET, GET, PTTL and DELEX or DELIFEQ. Any other one fails as a
// [NodeError] that says so.
//
// Locks exclude those of Lockers with scripts. There is no waiting line; see
// [WithoutWaitingLine]. A refused attempt takes three round trips. [Lock.Extend] takes the TTL
// that the lock was granted with, and no other one. [WithFencing] and locks on several
// resources are invalid arguments. To look whether a lock is still there, as is done for other
// callers of the Locker that want it, lets its keys last for a TTL from then on: they are
// removed when it ends, unless the process has died.
func WithoutScripts() Option {
	return optionFunc(func(c *config) error {
		c.noLine, c.terms.NoScripts = true, true
		return nil
	})
}

// WithRestartQuarantine keeps a node from granting locks until its server has been up for d. A
// server that restarts may have forgotten locks: without this, it can grant a second time one
// that stood on a bare majority. It is for nodes that do not write each command to disk before
// they answer; all restarts count. All Lockers that use the nodes must have the option, for
// the longest TTL of any of them: a longer one than d is an invalid argument here. A node extends,
// releases and is given the locks of others as ever. By default nodes grant at once.
//
// The node itself looks, in the step in which it grants, by its own wall clock, and at most
// 50 ms after it did so last: a server that restarts within that time with some of its data is not
// noticed, nor one whose clock is set forward by d after it. What it refuses is a [NodeError]
// with the code QUARANTINE, and [ErrNoQuorum] where most nodes do; while the one that keeps a
// waiting line does, calls poll. A failover to a replica and FLUSHALL are no restarts.
//
// Each acquire is a script then. The user needs the permissions of the README. It is an error
// if d is under 1 ms, beside [WithoutScripts], and for a [redis.ClusterClient] or [redis.Ring].
// A Cluster behind a client that does not tell, as an AutoPipeliner, grants nothing.
func WithRestartQuarantine(d time.Duration) Option {
	return optionFunc(func(c *config) error {
		if d < least {
			return invalid("WithRestartQuarantine(%v): want "+wantLeast, d)
		}
		c.terms.Quarantine = d
		return nil
	})
}

// WithAutoPipeline sends the commands that many callers have for a node at the same moment
// in one batch, a Pipeline of go-redis. By default each command takes a connection of its
// own. It pays with dozens of concurrent callers. No command waits for a batch to fill.
//
// It works for each [redis.Client] and [redis.ClusterClient]; clients of other types are
// used as without it. Hooks of the client see batches, which have no context of a call;
// those of a ClusterClient if they are added before its first batch.
// go-redis repeats none of the commands, whatever its options say.
//
// More: docs/pipelines.md.
func WithAutoPipeline() Option {
	return optionFunc(func(c *config) error {
		c.pipeline = true
		return nil
	})
}

// WithTracerProvider sets where spans go. The default, also for nil, is the
// global provider of OpenTelemetry.
func WithTracerProvider(tp trace.TracerProvider) Option {
	return optionFunc(func(c *config) error {
		if !client.IsNil(tp) {
			c.tracers = tp
		}
		return nil
	})
}

// WithMeterProvider sets where metrics go. The default, also for nil, is the
// global provider of OpenTelemetry.
func WithMeterProvider(mp metric.MeterProvider) Option {
	return optionFunc(func(c *config) error {
		if !client.IsNil(mp) {
			c.meters = mp
		}
		return nil
	})
}

// WithMetricAttributes adds attributes to the metrics of locks, by their
// resource; without it no metric tells resources apart. Every combination of
// values is a time series of its own that is kept for as long as the process
// lives, so return few different ones: the kind of a resource, say, but not its
// number. The function is called once for each Lock, by its caller, before
// anything is sent, with the first one of several resources; its result is copied.
// It is an error if f is nil.
func WithMetricAttributes(f func(resource string) []attribute.KeyValue) Option {
	return optionFunc(func(c *config) error {
		if f == nil {
			return invalid("WithMetricAttributes(nil): want a function")
		}
		c.attributes = f
		return nil
	})
}
