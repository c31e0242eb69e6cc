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

// WithRetry sets how long a call waits for its lock: count × delay, by default 10 × 400 ms =
// 4 s. Attempts and the wait for other callers count, and the last attempt begins by then.
// With count 0 there is one attempt, as in [Locker.TryLock]; with [Forever], only the
// context or [WithMaxWait] ends the wait.
//
// A call that polls makes count retries, delay apart; see [WithJitter]. A tie with other
// contenders costs no retry, except with count 0. [Lock.Extend] repeats a failed round count
// times, delay apart. A delay of 0 counts as 1 ms.
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

// WithJitter spreads the pause before a retry: it is uniform in [delay−d, delay+d), never
// below 0. The pauses still add up to count × delay; see [WithRetry]. The default is the
// retry delay itself. It is an error if d is neither 0 nor at least 1 ms.
func WithJitter(d time.Duration) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		if d != 0 && d < least {
			return invalid("WithJitter(%v): want 0, or "+wantLeast, d)
		}
		c.Jitter, c.jitterSet = d, true
		return nil
	})
}

// WithMaxWait sets how long a call waits for its lock, in place of the count of [WithRetry].
// The call gives up when d has passed since it began, in the middle of an attempt if
// necessary, or less than a round trip earlier if no attempt could be answered in time. Its
// error says what was seen last, and matches no context error.
//
// With a count of 0 the call makes one attempt, within d. In [Locker.With], d bounds the
// waiting, never the function. By default there is no such bound. It is an error if d is
// under 1 ms.
func WithMaxWait(d time.Duration) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		if d < least {
			return invalid("WithMaxWait(%v): want "+wantLeast, d)
		}
		c.MaxWait = d
		return nil
	})
}

// WithNodeTimeout sets how long a call waits for nodes that do not answer while the votes of
// the others do not decide. The default is a tenth of the TTL, at least 50 ms and at most 1
// s, and never longer than the validity that is left. A node that owes an answer for longer
// is not waited for until it answers again.
//
// Use at least four round trips to the slowest node that should count. Use eight, or ten
// with TLS, where a call may have to connect first. The wait for a free connection to a node
// that answers others does not count. It is an error if d is under 1 ms.
//
// More: docs/options.md.
func WithNodeTimeout(d time.Duration) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		if d < least {
			return invalid("WithNodeTimeout(%v): want "+wantLeast, d)
		}
		c.NodeTimeout = d
		return nil
	})
}

// WithAutoExtend extends the lock in the background until it is unlocked, for at most limit
// since it was granted; [Forever] sets no limit. It is off by default.
//
// The lock is extended each time a third of its TTL has passed. If it cannot be kept,
// [Lock.Context], and so the context of [Locker.With], ends with the validity at the latest,
// with a cause that matches [ErrLockLost]. At the limit, the context ends with
// [ErrHoldLimit]; the lock stays for the rest of its TTL.
//
// It is an error if limit is neither Forever nor at least 1 ms, or if the TTL less its drift
// is not more than a third of the TTL.
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

// WithoutAutoExtend switches a [WithAutoExtend] of [New] off for one call.
func WithoutAutoExtend() LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		c.Limit = 0
		return nil
	})
}

// WithOwner says who takes the lock, in words for an operator, such as "billing-7f9c pid
// 4242". A refused caller finds them in [LockError.HeldBy] and in the text of its error, and
// [Locker.Inspect] shows them. Given to New, they also name the Locker in the line of
// waiters. By default a lock has no owner.
//
// The text is part of the lock's value on the nodes, with the time of the attempt by this
// process' wall clock. It takes no further key or command, and is no secret. It is an error
// unless text is 1 to 128 bytes of printable UTF-8.
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

// WithDriftFactor sets the share of the TTL that is set aside for clock drift. A lock is
// valid for ttl − drift, where drift is ttl times f, rounded to milliseconds, plus 2 ms for
// the resolution of Redis' expiry. The default is 0.01, as in the description of the Redlock
// algorithm. [New] fails if f is not in [0, 1).
func WithDriftFactor(f float64) Option {
	return optionFunc(func(c *config) error {
		if !(f >= 0 && f < 1) { // written so that NaN fails too
			return invalid("WithDriftFactor(%v): want [0, 1)", f)
		}
		c.terms.Drift = f
		return nil
	})
}

// WithNodeErrorHandler sets a function that is called once for every command that failed on
// a node or was not answered in time, those of a minority included, which no call returns.
// It is called when a call stops waiting for the node, or, if no call waits, when the client
// returns an error. A refusal because another caller has the lock is no failure.
//
// The function is called concurrently and must not block: node calls wait for it. ctx has
// the values of the caller's context, or none where there is no caller, as in automatic
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

// WithoutWaitingLine switches off the line in which the Lockers of all processes wait for a
// resource. They ask again at random intervals instead, as [WithRetry] says. The callers of
// one Locker still queue in it, and only the first of them asks.
func WithoutWaitingLine() Option {
	return optionFunc(func(c *config) error {
		c.noLine = true
		return nil
	})
}

// WithoutScripts keeps the library from running Lua scripts, for users who may not run EVAL
// and servers without it. The nodes must be Redis 8.4, Valkey 9.0 or later, with users who
// may run SET, GET, PTTL and DELEX or DELIFEQ. Any other node fails with a [NodeError] that
// says so. Locks exclude those of Lockers with scripts.
//
// There is no waiting line, and a refused attempt takes three round trips. [Lock.Extend]
// takes only the TTL that the lock was granted with. [WithFencing] and locks on several
// resources are invalid arguments.
//
// More: docs/nodes.md.
func WithoutScripts() Option {
	return optionFunc(func(c *config) error {
		c.noLine, c.terms.NoScripts = true, true
		return nil
	})
}

// WithRestartQuarantine keeps a node from granting locks until its server has been up for d,
// after its first start too: a server that restarts may have forgotten locks. It is for nodes
// that do not write each command to disk at once. All Lockers of the nodes must have it, with
// d at least the longest TTL of Lock and Extend, whatever the limit of [WithAutoExtend].
// Nodes still extend and release. Off by default.
//
// A refusal is a [NodeError] with the code QUARANTINE, and [ErrNoQuorum] if most nodes
// refuse. A failover to a replica and FLUSHALL are no restarts. It is an error if d is under
// 1 ms, with [WithoutScripts], or for a Cluster or Ring.
//
// More: docs/nodes.md.
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
// It works for each [redis.Client] and [redis.ClusterClient]; other clients are used as
// without it. Hooks of the client see batches, without the context of a call. Add those of a
// ClusterClient before its first batch. go-redis repeats none of the commands, whatever its
// options say.
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

// WithMetricAttributes adds attributes to the metrics of locks, by their resource. Without
// it, no metric tells resources apart. Every combination of values is a time series that
// lasts as long as the process, so return few different ones: the kind of a resource, not
// its number.
//
// f is called once for each Lock, by its caller, before anything is sent, with the first one
// of several resources. Its result is copied. It is an error if f is nil.
func WithMetricAttributes(f func(resource string) []attribute.KeyValue) Option {
	return optionFunc(func(c *config) error {
		if f == nil {
			return invalid("WithMetricAttributes(nil): want a function")
		}
		c.attributes = f
		return nil
	})
}
