package redlock

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// Defaults of the options.
const (
	DefaultDriftFactor = 0.01
	DefaultRetryCount  = 10
	DefaultRetryDelay  = 400 * time.Millisecond
)

// Forever is the count of retries, in [WithRetry], that only the context ends,
// and the limit of automatic extension, in [WithAutoExtend], that only Unlock
// ends.
const Forever = -1

// An Option configures a [Locker]. It is an argument of [New]; a [LockOption]
// is one of a single call too.
type Option interface {
	apply(c *config) error
}

// A LockOption configures a [Locker], as an argument of [New], or one call of
// [Locker.Lock], [Locker.TryLock], [Locker.With], [Locker.LockAll] or
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
	pipeline bool
	onError  func(context.Context, *NodeError)

	tracers    trace.TracerProvider // nil: the global one
	meters     metric.MeterProvider // nil: the global one
	attributes func(resource string) []attribute.KeyValue
}

// callConfig is what one call goes by.
type callConfig struct {
	retries     int // after the first attempt; Forever
	delay       time.Duration
	jitter      time.Duration
	maxWait     time.Duration
	nodeTimeout time.Duration // 0: by the ttl
	keep        time.Duration // of fencing counters: 0 for no token, or Forever
	limit       time.Duration // of automatic extension: 0 for none at all, or Forever

	jitterSet bool // if not, the jitter follows the delay

	// Set while one list of options is applied.
	retrySet, maxWaitSet bool
}

type optionFunc func(*config) error

func (f optionFunc) apply(c *config) error { return f(c) }

type lockOptionFunc func(*callConfig) error

func (f lockOptionFunc) apply(c *config) error         { return f(&c.call) }
func (f lockOptionFunc) applyCall(c *callConfig) error { return f(c) }

func newConfig(opts []Option) (config, error) {
	c := config{
		drift: DefaultDriftFactor,
		call:  callConfig{retries: DefaultRetryCount, delay: DefaultRetryDelay},
	}
	var errs []error
	for i, o := range opts {
		if round.IsNil(o) {
			errs = append(errs, invalid("option %d is nil", i))
			continue
		}
		errs = append(errs, o.apply(&c))
	}
	c.call.finish()
	return c, join(errs)
}

// with returns the configuration with the options of one call applied.
func (c *callConfig) with(opts []LockOption) (callConfig, error) {
	if len(opts) == 0 {
		return *c, nil
	}
	return override(*c, opts)
}

func override(c callConfig, opts []LockOption) (callConfig, error) {
	c.retrySet, c.maxWaitSet = false, false
	var errs []error
	for i, o := range opts {
		if round.IsNil(o) {
			errs = append(errs, invalid("option %d is nil", i))
			continue
		}
		errs = append(errs, o.applyCall(&c))
	}
	c.finish()
	return c, join(errs)
}

// finish settles what depends on several options of one list.
func (c *callConfig) finish() {
	if c.maxWaitSet && !c.retrySet {
		c.retries = Forever
	}
	if !c.jitterSet {
		c.jitter = c.delay
	}
}

// timeout returns the node timeout for a lock of that ttl.
func (c *callConfig) timeout(ttl time.Duration) time.Duration {
	if c.nodeTimeout > 0 {
		return c.nodeTimeout
	}
	return quorum.NodeTimeout(ttl)
}

// WithDriftFactor sets the share of the TTL that is set aside for clock drift:
// a lock is valid for ttl − drift, where drift is ttl times f, rounded to
// milliseconds, plus 2 ms for the resolution of Redis' expiry. The default is
// [DefaultDriftFactor], the value that the Redlock algorithm's description and
// its implementations use. [New] fails if f is not in [0, 1).
func WithDriftFactor(f float64) Option {
	return optionFunc(func(c *config) error {
		if !(f >= 0 && f < 1) { // written so that NaN fails too
			return invalid("WithDriftFactor(%v): want [0, 1)", f)
		}
		c.drift = f
		return nil
	})
}

// WithRetry sets how often a call tries again after its first attempt, and how
// long it pauses before each retry; see [WithJitter] for how the pause varies.
// With count 0 there is one attempt, as of [Locker.TryLock], with [Forever] only the context, or
// [WithMaxWait], ends the retries. The default is 10 retries and 400 ms.
//
// An attempt that ended in a tie with other contenders is made again after a
// pause of a few round trips at first; that costs no retry, except with count 0.
// [Lock.Extend] repeats a failed round by the same schedule.
//
// It is an error if count is below −1 or delay is negative.
func WithRetry(count int, delay time.Duration) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		switch {
		case count < Forever:
			return invalid("WithRetry(%d, %v): want a count of at least 0, or Forever", count, delay)
		case delay < 0:
			return invalid("WithRetry(%d, %v): want a delay of at least 0", count, delay)
		}
		c.retries, c.delay, c.retrySet = count, delay, true
		return nil
	})
}

// WithJitter spreads the pause before a retry: it is uniform in
// [delay−d, delay+d), never below 0. The default is the retry delay itself.
// It is an error if d is negative.
func WithJitter(d time.Duration) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		if d < 0 {
			return invalid("WithJitter(%v): want at least 0", d)
		}
		c.jitter, c.jitterSet = d, true
		return nil
	})
}

// WithMaxWait makes a call give up when d has passed since it began, with the
// error of its last finished attempt, which matches no context error. Unless a
// [WithRetry] stands beside it in the same list of options, the number of
// retries is then unlimited. In [Locker.With] it bounds the waiting for the lock,
// never the function. By default there is no such bound. It is an error if d
// is not positive.
func WithMaxWait(d time.Duration) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		if d <= 0 {
			return invalid("WithMaxWait(%v): want a positive duration", d)
		}
		c.maxWait, c.maxWaitSet = d, true
		return nil
	})
}

// WithNodeTimeout sets how long a call waits for nodes that do not answer
// while the votes of the others do not decide; a node that owes an answer for
// longer is not waited for at all until it answers again. It should be at
// least four round trips to the slowest node that ought to count. The default
// is a tenth of the TTL, at least 50 ms and at most 1 s; it is never longer than
// the validity left. It is an error if d is not positive.
func WithNodeTimeout(d time.Duration) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		if d <= 0 {
			return invalid("WithNodeTimeout(%v): want a positive duration", d)
		}
		c.nodeTimeout = d
		return nil
	})
}

// WithNodeErrorHandler sets a function that is told of every node that fails,
// once for each command: of failures of a minority, which no call returns, and
// of those that come after the call has returned. A node that refuses because
// somebody else has the lock has not failed. The function is called
// concurrently and must not block: node calls wait for it. ctx has the values
// of the caller's context, or none where nobody calls, as in automatic extension,
// and is never done. It is an error if handler is nil.
func WithNodeErrorHandler(handler func(ctx context.Context, err *NodeError)) Option {
	return optionFunc(func(c *config) error {
		if handler == nil {
			return invalid("WithNodeErrorHandler(nil)")
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

// WithAutoPipeline has the commands that many callers have for a node at the same
// moment sent in one batch, which is a Pipeline of go-redis. By default each command
// takes a connection of its own, and goes at once.
//
// It pays with dozens of concurrent callers. Nobody waits for a batch to fill: a command
// goes at once, alone if it is, unless two batches, of 128 commands at most, are under
// way to the node; then it goes with the next. What is slow is slow for all in its batch;
// calls deal with that as with every slow node, within the node timeout. While a batch
// takes four times as long as they usually do, 50 ms at least and half the node timeout
// at most, because its connection hangs or the node does, further commands take
// connections of their own.
//
// go-redis repeats none of these commands, whatever its options say: one that has failed
// is sent once more, by itself, or with the next batch if a connection was lost. Those of
// Lock and Extend that found no connection are not. For two seconds after a connection was
// lost or missing, batches go one at a time, of 256 commands at most, and one that takes
// half the node timeout is overtaken by the next.
//
// That is for each [redis.Client], one of a Sentinel-managed group included, and each
// [redis.ClusterClient]: there, a sixteenth of the slots has batches of its own, so that
// a server which hangs holds up none of the others but for those whose slots are next
// to its own. Commands go through clients of all other types, among them Rings, pipeliners,
// and what embeds a client, as they do without the option. Hooks of the client see
// batches, without the context of a call, where several commands go together. There is
// nothing to close.
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
		if !round.IsNil(tp) {
			c.tracers = tp
		}
		return nil
	})
}

// WithMeterProvider sets where metrics go. The default, also for nil, is the
// global provider of OpenTelemetry.
func WithMeterProvider(mp metric.MeterProvider) Option {
	return optionFunc(func(c *config) error {
		if !round.IsNil(mp) {
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
			return invalid("WithMetricAttributes(nil)")
		}
		c.attributes = f
		return nil
	})
}

// checkTTL cuts ttl to whole milliseconds and returns its drift. It fails if
// nothing of the ttl would be left after that, or no time to extend it.
func checkTTL(ttl time.Duration, c *config, call *callConfig) (ms, drift time.Duration, err error) {
	if ttl < time.Millisecond {
		return 0, 0, invalid("ttl %v: want at least 1ms (a bare number is nanoseconds: write 10*time.Second)", ttl)
	}
	ms = ttl.Truncate(time.Millisecond)
	drift = quorum.Drift(ms, c.drift)
	switch {
	case ms <= drift:
		return 0, 0, invalid("ttl %v: want more than its drift of %v", ttl, drift)
	case call.limit != 0 && ms-drift <= dueAfter(ms):
		return 0, 0, invalid("ttl %v: its drift of %v leaves no time to extend it automatically", ttl, drift)
	case call.keep != 0 && call.keep != Forever && call.keep/2 < ms:
		return 0, 0, invalid("ttl %v: WithFencing(%v) keeps the counter for less than twice that", ttl, call.keep)
	}
	return ms, drift, nil
}
