package redlock

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/b0401464/redlock/internal/client"
)

// These are the options of New alone.

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
		c.drift = f
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
		c.noLine, c.noScript = true, true
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
		c.restart = d
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
