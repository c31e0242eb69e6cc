// Package acquire makes one call of Lock, from its first attempt to its grant or its failure:
// the checks of its arguments, attempts and the pauses between them, its places in line, what it
// is told in the end; and it ends all calls of a Locker. Whatever ends a call, nothing of it is left on the nodes or in a line. It knows nothing of
// how a command gets to a node, nor of what becomes of the lock. The root package calls it.
package acquire

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/b0401464/redlock/internal/lease"
	"github.com/b0401464/redlock/internal/notify"
	"github.com/b0401464/redlock/internal/value"
	"github.com/b0401464/redlock/internal/waitqueue"
)

// Calls is what the calls of one Locker share, and with their locks.
type Calls struct {
	*lease.Locks
	Queues    waitqueue.Table   // of callers in this process
	Memory    waitqueue.Memory  // of resources that were contended
	Listeners *notify.Listeners // nil without lines of Lockers
	Telemetry Telemetry
}

// Telemetry is told what becomes of calls.
type Telemetry interface {
	// CountWaiting adds n to the callers that wait.
	CountWaiting(ctx context.Context, n int64, attrs []attribute.KeyValue)
	// StartAttempt says that an attempt begins. EndAttempt is told the end of it.
	StartAttempt(ctx context.Context) (context.Context, trace.Span)
	EndAttempt(ctx context.Context, span trace.Span, attrs []attribute.KeyValue, s Summary)
}

// A Summary is what Telemetry is told of an attempt.
type Summary struct {
	Number, Agreed, Refused, Failed int
	Outcome                         string
	By                              value.Name    // who has refused it
	Validity                        time.Duration // left, if it was acquired
}

// A Config is what a call goes by, and its lock. Its retries are those after the first attempt.
type Config struct {
	lease.Config

	MaxWait time.Duration // 0: as long as the retries take
	Owner   string        // whose the lock is; empty to tell nobody
}

// schedule returns how long a call that begins now may wait, and when it asks if it polls.
func (c *Config) schedule() waitqueue.Schedule {
	return waitqueue.Schedule{Retries: c.Retries, Delay: c.Delay, Jitter: c.Jitter, MaxWait: c.MaxWait, Began: time.Now()}
}
