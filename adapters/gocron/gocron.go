// Package gocronlock makes schedulers of gocron v2 on several hosts run each job once, by
// locks of a [redlock.Locker].
//
// A [Locker] decides each run by itself: while one host is left, no run is missed. An
// [Elector] has one host run all jobs; if that host dies, the runs of up to a TTL are
// missed. If gocron is given both, it asks the Elector only.
//
// # Limits
//
// Both are leases: a host that is paused after it was allowed to run can overlap with the
// next one. See package redlock. Guard ends the context of a job when its lock is lost.
package gocronlock

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-co-op/gocron/v2"

	"github.com/b0401464/redlock"
)

var (
	_ gocron.Locker  = (*Locker)(nil)
	_ gocron.Elector = (*Elector)(nil)
)

// ErrNotLeader reports that another host leads, or nobody.
var ErrNotLeader = errors.New("gocronlock: not the leader")

// An Option configures a [Locker].
type Option interface{ apply(l *Locker) error }

type optionFunc func(*Locker) error

func (f optionFunc) apply(l *Locker) error { return f(l) }

// WithHold sets for how long a job does not run again after it was allowed to, however soon
// it ends. It must be longer than the clocks of the hosts differ, and shorter than the time
// between two runs. The default is nine tenths of the interval. It is an error if d is under
// 50 ms.
func WithHold(d time.Duration) Option {
	return duration("WithHold", d, func(l *Locker) { l.hold = d })
}

// WithTTL sets the TTL of the lock of a running job, which is extended until the job ends.
// If the host dies, no other one runs the job within the TTL. The default is 30 s, or the
// hold if that is shorter. It is an error if ttl is under 50 ms.
func WithTTL(ttl time.Duration) Option {
	return duration("WithTTL", ttl, func(l *Locker) { l.ttl = ttl })
}

// WithPrefix sets what the keys on the nodes begin with, by default "gocron:". Programs that
// share nodes need different prefixes: otherwise one of them skips a job that has the same
// name in the other.
func WithPrefix(prefix string) Option {
	return optionFunc(func(l *Locker) error {
		l.prefix = prefix
		return nil
	})
}

func duration(name string, d time.Duration, set func(l *Locker)) Option {
	return optionFunc(func(l *Locker) error {
		if d < least {
			return invalid("%s(%v): want at least %v", name, d, least)
		}
		set(l)
		return nil
	})
}

const (
	least   = 50 * time.Millisecond
	maxWait = time.Second
)

// A Locker is a gocron.Locker, for gocron.WithDistributedLocker or WithDistributedJobLocker.
// It is safe for concurrent use.
//
// Each run takes two locks. The lock of the run is extended while the job runs, and released
// then, so a job does not run twice at a time, however long it takes. The lock of the tick
// runs out after the hold, so a host whose clock is behind does not run the tick again.
type Locker struct {
	locker          *redlock.Locker
	prefix          string
	hold, ttl, wait time.Duration
	running         sync.Map // lock of each run, by the context that gocron made for the job
}

// NewLocker returns a Locker for jobs that run every interval. If intervals differ, it is
// the shortest time between two runs of any job. Runs of a job are never nearer to each
// other than the hold; see [WithHold]. The error matches [redlock.ErrInvalidArgument].
func NewLocker(locker *redlock.Locker, interval time.Duration, opts ...Option) (*Locker, error) {
	l := &Locker{locker: locker, prefix: "gocron:", hold: interval / 10 * 9}
	switch {
	case locker == nil:
		return nil, invalid("NewLocker: nil locker")
	case l.hold < least:
		return nil, invalid("NewLocker: interval %v: want more (a bare number is nanoseconds: write time.Minute)", interval)
	}
	for i, o := range opts {
		if o == nil {
			return nil, invalid("NewLocker: option %d is nil", i+1)
		}
		if err := o.apply(l); err != nil {
			return nil, err
		}
	}
	if l.ttl == 0 {
		l.ttl = min(l.hold, 30*time.Second)
	}
	// Short beside the hold: whoever waits for that to end runs what was run already.
	l.wait = min(l.hold/10, maxWait)
	return l, nil
}

// Lock lets the caller run the job named key, or returns an error for gocron's listener
// AfterLockError. It matches [redlock.ErrContended] if the job runs on another host, or did
// within the hold. Any other error is an outage, as for redlock's Locker.Lock, or a job
// without a name; see [Locker.Guard].
//
// It waits for each of its two locks for a tenth of the hold, at most 1 s.
func (l *Locker) Lock(ctx context.Context, key string) (gocron.Lock, error) {
	switch {
	case ctx == nil:
		return nil, invalid("nil context")
	case key == guarded:
		return nil, invalid("a job with Guard has no name of its own: use gocron.WithName")
	}
	patience := []redlock.LockOption{redlock.WithMaxWait(l.wait), redlock.WithRetry(redlock.Forever, l.wait/4)}
	tick, err := l.locker.Lock(ctx, l.prefix+"tick:"+key, l.hold,
		append(patience, redlock.WithoutAutoExtend(), redlock.WithoutFencing())...)
	if err != nil {
		return nil, err
	}
	lock, err := l.locker.Lock(ctx, l.prefix+"run:"+key, l.ttl, append(patience, redlock.WithAutoExtend(redlock.Forever))...)
	if err != nil {
		_ = tick.Unlock(context.WithoutCancel(ctx)) // it has not run here
		return nil, err
	}
	if hashable(ctx) {
		l.running.Store(ctx, lock)
	}
	return run(func() error {
		if hashable(ctx) {
			l.running.CompareAndDelete(ctx, lock) // not a run that began when this lock was lost
		}
		return lock.Unlock(context.WithoutCancel(ctx)) // it has ended when the scheduler is shut down
	}), nil
}

// A run ends one of a job: it releases the lock of the run and not that of the tick.
type run func() error

// Unlock waits for the node timeout at most.
func (r run) Unlock(context.Context) error { return r() }

// hashable reports whether ctx can be a key, as gocron's can.
func hashable(ctx context.Context) bool { return reflect.ValueOf(ctx).Comparable() }

// Guard returns a function for gocron.NewTask that calls job with a context that ends when
// the lock of the run is lost. The error, for the listener AfterJobRunsWithError, matches
// [redlock.ErrLockLost] if that happened before job returned. [redlock.FromContext] finds
// the lock, and so its fencing token.
//
// The job needs gocron.WithName: gocron would name all jobs with Guard after one function.
// Give NewTask no context: gocron passes its own.
func (l *Locker) Guard(job func(ctx context.Context) error) func(ctx context.Context) error {
	return guard(job, func(ctx context.Context) (*redlock.Lock, error) {
		if hashable(ctx) {
			if lock, ok := l.running.Load(ctx); ok {
				return lock.(*redlock.Lock), nil
			}
		}
		return nil, invalid("Guard: the job does not run under a lock of this Locker, or ctx is not that of gocron")
	})
}

// guard has job called under the lock that find finds. Inlined, it would give the function
// another name in each place.
//
//go:noinline
func guard(job func(context.Context) error, find func(context.Context) (*redlock.Lock, error)) func(context.Context) error {
	return func(ctx context.Context) error {
		if job == nil {
			return invalid("Guard(nil): want a function")
		}
		lock, err := find(ctx)
		if err != nil {
			return err
		}
		held, stop := lock.Context(ctx)
		defer stop()
		if held.Err() != nil {
			return context.Cause(held) // the process was paused before it came here
		}
		err = job(held)
		switch lost := context.Cause(held); {
		case !errors.Is(lost, redlock.ErrLockLost):
			return err
		case err == nil, errors.Is(err, context.Canceled): // that of held: nobody else has cancelled anything
			return lost
		default:
			return fmt.Errorf("%w: %w", lost, err)
		}
	}
}

// guarded is what gocron calls each job with Guard that was given no name.
var guarded = runtime.FuncForPC(reflect.ValueOf(guard(nil, nil)).Pointer()).Name()

// An Elector is a gocron.Elector, for gocron.WithDistributedElector. It is safe for
// concurrent use. Its goroutine stands for election until [Elector.Close], which the program
// must call after the scheduler's Shutdown and before the Locker's.
type Elector struct {
	locker  *redlock.Locker
	name    string
	ttl     time.Duration
	stop    context.CancelFunc
	decided chan struct{} // closed after the first attempt
	ended   chan struct{} // closed when the goroutine has ended
	last    atomic.Pointer[attempt]
	release error // of the lock; written before ended is closed
}

// An attempt is what came of one to become the leader.
type attempt struct {
	lock *redlock.Lock
	err  error // why there is no lock
}

// NewElector returns an Elector that stands for election at once. Of the Electors with one
// name, at most one leads at a time: the holder of the lock of that name, which is extended
// automatically. If its host dies, another one leads after ttl, for which 10 s is a good
// value. The error matches [redlock.ErrInvalidArgument].
func NewElector(locker *redlock.Locker, name string, ttl time.Duration) (*Elector, error) {
	switch {
	case locker == nil || name == "":
		return nil, invalid("NewElector: want a locker and a name")
	case ttl < least:
		return nil, invalid("NewElector: ttl %v: want at least %v (a bare number is nanoseconds: write 10*time.Second)", ttl, least)
	}
	ctx, stop := context.WithCancel(context.Background())
	e := &Elector{locker: locker, name: name, ttl: ttl, stop: stop, decided: make(chan struct{}), ended: make(chan struct{})}
	go e.stand(ctx)
	return e, nil
}

// IsLeader returns nil if this Elector leads. It asks no node, but looks at the clocks: a
// process that was stopped for longer than the TTL is not the leader. It waits only for the
// outcome of the first attempt, or for the end of ctx.
//
// Otherwise the error matches [ErrNotLeader] and, if the reason is known, an error of
// redlock such as [redlock.ErrContended] or [redlock.ErrNoQuorum]. gocron drops it.
func (e *Elector) IsLeader(ctx context.Context) error {
	_, err := e.lead(ctx)
	return err
}

// lead returns the lock by which this Elector leads.
func (e *Elector) lead(ctx context.Context) (*redlock.Lock, error) {
	if ctx == nil {
		return nil, invalid("nil context")
	}
	select {
	case <-e.decided:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrNotLeader, context.Cause(ctx))
	}
	switch a := e.last.Load(); {
	case a.lock.Valid():
		return a.lock, nil
	case a.err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotLeader, a.err)
	default:
		return nil, ErrNotLeader
	}
}

// Guard returns a function for gocron.NewTask that calls job with a context that ends when
// this Elector does not lead any more. The error is that of [Locker.Guard]; it matches
// [ErrNotLeader] if job was not called.
func (e *Elector) Guard(job func(ctx context.Context) error) func(ctx context.Context) error {
	return guard(job, e.lead)
}

// Close gives up the lead, for good. Another Elector may lead at once: hosts whose clocks
// differ may run the tick of that moment twice. Close returns when the lock is released, or
// ctx's error if that ends first. The error matches [redlock.ErrNoQuorum] if too few nodes
// answered: the lock then ends by itself. It may be called again.
func (e *Elector) Close(ctx context.Context) error {
	if ctx == nil {
		return invalid("nil context")
	}
	e.stop()
	select {
	case <-e.ended:
		return e.release
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stand takes the lock again and again until ctx ends.
func (e *Elector) stand(ctx context.Context) {
	defer close(e.ended)
	take := e.locker.TryLock // IsLeader waits for the first outcome
	for first := true; first || ctx.Err() == nil; first = false {
		lock, err := take(ctx, e.name, e.ttl, redlock.WithAutoExtend(redlock.Forever),
			redlock.WithMaxWait(e.ttl), redlock.WithRetry(redlock.Forever, min(e.ttl/4, maxWait)))
		e.last.Store(&attempt{lock, err})
		if first {
			close(e.decided)
			take = e.locker.Lock
		}
		switch {
		case err == nil:
			e.keep(ctx, lock)
		case errors.Is(err, redlock.ErrContended):
		case errors.Is(err, redlock.ErrShutdown), errors.Is(err, redlock.ErrInvalidArgument):
			return
		default: // it may have come at once
			pause, stop := context.WithTimeout(ctx, min(e.ttl/10, maxWait))
			<-pause.Done()
			stop()
		}
	}
	e.last.Store(new(attempt))
}

// keep returns when the lock is lost, or ctx has ended and the lock is released.
func (e *Elector) keep(ctx context.Context, lock *redlock.Lock) {
	held, stop := lock.Context(ctx)
	defer stop()
	<-held.Done()
	if ctx.Err() != nil {
		e.release = lock.Unlock(context.WithoutCancel(ctx))
		return
	}
	e.last.Store(&attempt{err: context.Cause(held)})
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: gocronlock: %s", redlock.ErrInvalidArgument, fmt.Sprintf(format, args...))
}
