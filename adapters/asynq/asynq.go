// Package asynqlock makes several schedulers of asynq enqueue each periodic task once, by
// locks of a [redlock.Locker].
//
// A [Guard] decides each tick by itself and needs no leader: while one scheduler is left, no
// tick is missed. It works with asynq.Scheduler and with asynq.PeriodicTaskManager.
//
// # Limits
//
// A tick is enqueued at most once. It is not enqueued at all if the scheduler that was to
// enqueue it dies at that moment, or cannot reach asynq's own Redis. A lock is a lease: a
// scheduler that is paused at that moment may enqueue its tick late. See package redlock.
package asynqlock

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
	"time"

	"github.com/hibiken/asynq"

	"github.com/b0401464/redlock"
)

// An Option configures a [Guard].
type Option interface{ apply(g *Guard) error }

type optionFunc func(*Guard) error

func (f optionFunc) apply(g *Guard) error { return f(g) }

// WithHold sets for how long a task is not enqueued again after it was, however soon it is
// done. It must be longer than the clocks of the schedulers differ, and shorter than the
// time between two ticks. The default is nine tenths of the interval. It is an error if d is
// under 50 ms.
func WithHold(d time.Duration) Option {
	return optionFunc(func(g *Guard) error {
		if d < leastHold {
			return invalid("WithHold(%v): want at least %v", d, leastHold)
		}
		g.hold = d
		return nil
	})
}

// WithKey sets the name of a periodic task on the nodes: the same for all schedulers, and
// another one for each task. The default is "asynq:", the type of the task and a hash of its
// queue, type and payload, as for asynq.Unique. A queue that was given to NewTask and not to
// Register is not seen.
//
// Programs that share nodes, but not asynq's Redis, need different keys: otherwise one of
// them skips the tick of a task that the other has, too. It is an error if f is nil.
func WithKey(f func(task *asynq.Task, opts []asynq.Option) string) Option {
	return optionFunc(func(g *Guard) error {
		if f == nil {
			return invalid("WithKey(nil): want a function")
		}
		g.key = f
		return nil
	})
}

// WithErrorHandler sets a function that is called when a tick is not enqueued here. The
// error matches [redlock.ErrContended] if another scheduler has enqueued the tick, as
// intended. Any other error is an outage: perhaps no scheduler has. It is called
// concurrently. By default there is none. It is an error if handler is nil.
func WithErrorHandler(handler func(task *asynq.Task, err error)) Option {
	return optionFunc(func(g *Guard) error {
		if handler == nil {
			return invalid("WithErrorHandler(nil): want a function")
		}
		g.onError = handler
		return nil
	})
}

const (
	leastHold = 50 * time.Millisecond
	maxWait   = time.Second
)

// A Guard lets one of several schedulers enqueue a tick of a periodic task. Each scheduler
// has a Guard of its own, or shares that of its process. It is safe for concurrent use, and
// there is nothing to close.
type Guard struct {
	locker     *redlock.Locker
	hold, wait time.Duration
	key        func(*asynq.Task, []asynq.Option) string
	onError    func(*asynq.Task, error)
}

// New returns a Guard for tasks that are enqueued every interval. If intervals differ, it is
// the shortest time between two ticks of any task. Ticks of a task are never nearer to each
// other than the hold; see [WithHold]. The error matches [redlock.ErrInvalidArgument].
func New(locker *redlock.Locker, interval time.Duration, opts ...Option) (*Guard, error) {
	g := &Guard{locker: locker, hold: interval / 10 * 9, key: uniqueKey, onError: func(*asynq.Task, error) {}}
	switch {
	case locker == nil:
		return nil, invalid("New: nil locker")
	case g.hold < leastHold:
		return nil, invalid("New: interval %v: want more (a bare number is nanoseconds: write time.Minute)", interval)
	}
	for i, o := range opts {
		if o == nil {
			return nil, invalid("New: option %d is nil", i+1)
		}
		if err := o.apply(g); err != nil {
			return nil, err
		}
	}
	// Short beside the hold: whoever waits for that to end enqueues what was enqueued already.
	g.wait = min(g.hold/10, maxWait)
	return g, nil
}

// PreEnqueue is for PreEnqueueFunc of asynq.SchedulerOpts. It returns if this scheduler must
// enqueue the tick. If not, it ends its goroutine by [runtime.Goexit], because the function
// cannot return an error: asynq runs each tick on a goroutine of its own. So call it nowhere
// else; there, [Guard.Claim] returns an error. A PreEnqueueFunc of your own calls it first.
//
// It waits for a tenth of the hold at most, and no longer than 1 s.
func (g *Guard) PreEnqueue(task *asynq.Task, opts []asynq.Option) {
	if err := g.Claim(context.Background(), task, opts...); err != nil {
		g.onError(task, err)
		runtime.Goexit()
	}
}

// Claim is for programs that have a scheduler of their own. After nil, the program must
// enqueue the task. If the error matches [redlock.ErrContended], another scheduler has
// enqueued it, or was about to, within the hold. Any other error is one of redlock's
// Locker.Lock. opts are those of asynq.Client.Enqueue.
func (g *Guard) Claim(ctx context.Context, task *asynq.Task, opts ...asynq.Option) error {
	if task == nil {
		return invalid("nil task")
	}
	// It is left to run out: a scheduler whose clock is behind has to find it taken.
	_, err := g.locker.Lock(ctx, g.key(task, opts), g.hold, redlock.WithMaxWait(g.wait),
		redlock.WithRetry(redlock.Forever, g.wait/4), redlock.WithoutAutoExtend(), redlock.WithoutFencing())
	return err
}

// uniqueKey names a task by what asynq.Unique goes by.
func uniqueKey(task *asynq.Task, opts []asynq.Option) string {
	queue := "default"
	for _, o := range opts {
		if o != nil && o.Type() == asynq.QueueOpt {
			queue, _ = o.Value().(string) // the last one counts
		}
	}
	parts, _ := json.Marshal([]any{queue, task.Type(), task.Payload()}) // of these, it never fails
	sum := sha256.Sum256(parts)
	return "asynq:" + task.Type() + ":" + hex.EncodeToString(sum[:8])
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: asynqlock: %s", redlock.ErrInvalidArgument, fmt.Sprintf(format, args...))
}
