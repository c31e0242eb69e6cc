// Package lease keeps a lock from its grant to its end: how long it is valid, the contexts
// that end with it, its extension by hand and by itself, and its release. Whoever finds that a
// lock is over finds that its contexts have ended, and its end runs no code of the program's.
// It knows nothing of how a lock is got, nor of the types that the program sees. Package
// acquire makes holds of grants; the root package puts a face on them.
package lease

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/b0401464/redlock/internal/alarm"
	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
	"github.com/b0401464/redlock/internal/text"
	"github.com/b0401464/redlock/internal/waitqueue"
)

// Locks is what the locks of one Locker share. It is made by [NewLocks].
type Locks struct {
	Nodes     *round.Nodes
	Clock     clock.Clock
	Count     Count
	Halted    atomic.Bool // Shutdown was given up: no lock is extended by itself
	telemetry Telemetry
	errors    Errors
	alarms    alarm.Clock
	admission admission
}

// NewLocks returns what locks on nodes share. It has the nodes go by its clock.
func NewLocks(nodes *round.Nodes, t Telemetry, e Errors) *Locks {
	l := &Locks{Nodes: nodes, Count: Count{closing: make(chan struct{})}, telemetry: t, errors: e}
	l.alarms.By = &l.Clock
	nodes.Clock = &l.Clock
	return l
}

// Telemetry is told what becomes of locks.
type Telemetry interface {
	// CountHeld adds n to the locks held.
	CountHeld(ctx context.Context, n int64, attrs []attribute.KeyValue)
	// LockEnded says how a lock has ended, and how long it was held.
	LockEnded(ctx context.Context, attrs []attribute.KeyValue, result string, held time.Duration)
	// StartRenewal says that h is extended by itself. What it returns is told the end of that.
	StartRenewal(ctx context.Context, h *Hold, ttl time.Duration) (context.Context, func(result string, last round.Result, f *fault.Fault))
}

// Results that Telemetry is told.
const (
	ResultReleased = "released"
	ResultLost     = "lost"
	ResultExpired  = "expired"
	ResultExtended = "extended"
	ResultGivenUp  = "given_up" // of a renewal: there was no reason for it any more
)

// Errors makes the errors that the program sees, and knows them again.
type Errors struct {
	// Of returns the error for f. It runs no code of the program's.
	Of func(f *fault.Fault) error
	// EndIn returns the first error in the tree of cause that was made of a Fault, if that
	// is the end of a lock, and the lock's value.
	EndIn func(cause error) (of string, end error)
}

// Forever is the limit, or the count, that is none.
const Forever = waitqueue.Forever

// A Config is what a lock goes by while it is held.
type Config struct {
	Retries     int           // of an extension by hand; Forever
	Delay       time.Duration // between them
	Jitter      time.Duration
	NodeTimeout time.Duration // 0: by the TTL
	Limit       time.Duration // of renewal: 0 for none at all, or Forever
	Keep        time.Duration // of fencing counters: 0 for no token, or Forever
}

// Timeout returns the node timeout for a lock of that ttl.
func (c *Config) Timeout(ttl time.Duration) time.Duration {
	if c.NodeTimeout > 0 {
		return c.NodeTimeout
	}
	return quorum.NodeTimeout(ttl)
}

// EndOf returns the end of the lock that has ended ctx, or nil. Nobody has cancelled such a
// context, so that no error says so. A context that somebody has cancelled because of a
// lock, as an errgroup does, is no context of that lock.
func (l *Locks) EndOf(ctx context.Context) error {
	value, end := l.errors.EndIn(context.Cause(ctx))
	if end == nil {
		return nil
	}
	for c, _ := ctx.Value(lockKey{}).(*lockContext); c != nil; c = c.outer {
		if c.hold.Value() == value {
			return end
		}
	}
	return nil
}

// CauseOf returns the error of a context that is done. A cause that its owner gave
// is in the text only: it says why the context ended, and must not be taken for
// what became of this lock. The end of a lock stands for the context's error.
func (l *Locks) CauseOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if end := l.EndOf(ctx); end != nil {
		return fmt.Errorf("%s (%w)", err.Error(), end)
	}
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w (%s)", err, text.OneLine(text.Shorten(cause.Error())))
}
