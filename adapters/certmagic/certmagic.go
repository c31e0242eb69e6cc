// Package certmagiclock gives certmagic, and so Caddy, locks on a majority of Redis nodes,
// wherever its certificates are stored. Most programs only need [NewStorage].
//
// # Limits
//
// A lock is a lease, and certmagic does not ask during an operation whether it still has it.
// While no majority of the nodes can be reached for longer than the TTL, its work may
// overlap with that of another instance. certmagic expects that of locks: two instances may
// then obtain a certificate for the same name, and nothing breaks.
package certmagiclock

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/b0401464/redlock"
)

var (
	_ certmagic.Locker           = (*Locker)(nil)
	_ certmagic.TryLocker        = (*Locker)(nil)
	_ certmagic.LockLeaseRenewer = (*Locker)(nil)

	_ certmagic.Storage          = (*Storage)(nil)
	_ certmagic.TryLocker        = (*Storage)(nil)
	_ certmagic.LockLeaseRenewer = (*Storage)(nil)
)

// Defaults of the options, and what certmagic's calls go by.
const (
	defaultTTL    = 15 * time.Second
	defaultPrefix = "certmagic:"

	leastTTL   = time.Second
	retryDelay = 400 * time.Millisecond // between polls, where nodes are down or keep no line
)

// An Option configures a [Locker].
type Option interface{ apply(l *Locker) error }

type optionFunc func(l *Locker) error

func (f optionFunc) apply(l *Locker) error { return f(l) }

// WithTTL sets how long a lock stands after its process has died, and how long a held lock
// outlasts an outage of the nodes. A held lock is extended each time a third of it has
// passed. The default is 15 s. It is an error if d is under 1 s.
func WithTTL(d time.Duration) Option {
	return optionFunc(func(l *Locker) error {
		if d < leastTTL {
			return invalid("WithTTL(%v): want at least %v", d, leastTTL)
		}
		l.ttl = d
		return nil
	})
}

// WithPrefix sets what the keys on the nodes begin with, before certmagic's names. Instances
// that share a storage must have the same prefix. Others on the same nodes must have another
// one: otherwise TryLock tells them that their work is being done. The default is
// "certmagic:".
func WithPrefix(prefix string) Option {
	return optionFunc(func(l *Locker) error {
		l.prefix = prefix
		return nil
	})
}

// A Locker is certmagic's Locker, TryLocker and LockLeaseRenewer. [New] makes it. It is safe
// for concurrent use, and must not be copied. [NewStorage] adds its locks to an existing
// storage; a storage of your own can embed a *Locker.
//
// At most one caller of a Locker has a name at a time, even if its lock was lost on the
// nodes: the next one waits for its Unlock, too.
type Locker struct {
	locker *redlock.Locker
	ttl    time.Duration
	prefix string

	mu   sync.Mutex
	held map[string]*holding // by name, from Lock to Unlock
}

// A holding is a name that somebody in this process has.
type holding struct {
	lock *redlock.Lock // another one after it was lost and taken anew; guarded by Locker.mu
	over chan struct{} // closed at Unlock
}

// New returns a Locker on the nodes of locker. Shut that down after certmagic has stopped.
// New sends nothing. The error matches [redlock.ErrInvalidArgument] if locker or an option
// is nil, or an option is out of range.
func New(locker *redlock.Locker, opts ...Option) (*Locker, error) {
	if locker == nil {
		return nil, invalid("nil redlock.Locker")
	}
	l := &Locker{locker: locker, ttl: defaultTTL, prefix: defaultPrefix, held: make(map[string]*holding)}
	for i, opt := range opts {
		if opt == nil {
			return nil, invalid("option %d is nil", i+1)
		}
		if err := opt.apply(l); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Lock locks name until [Locker.Unlock], or until the process ends. It waits until it has
// the lock or ctx ends, also through outages of the nodes, whatever limits the
// [redlock.Locker] was given. ctx bounds the waiting only.
//
// The error is that of [redlock.Locker.Lock]: it matches ctx's error, [redlock.ErrShutdown],
// or [redlock.ErrInvalidArgument] if the redlock.Locker does not take the name or the TTL.
func (l *Locker) Lock(ctx context.Context, name string) error {
	for {
		earlier, err := l.acquire(ctx, name, l.locker.Lock)
		if err != nil || earlier == nil {
			return err
		}
		select {
		case <-earlier.over:
		case <-ctx.Done():
			return fmt.Errorf("redlock: certmagic lock %q: lost by its holder in this process, which is still at work: %w", name, ctx.Err())
		}
	}
}

// TryLock is [Locker.Lock] with one attempt. It reports false if another caller has the
// lock. If that is not known, the error matches [redlock.ErrNoQuorum], because too few nodes
// answered, or is one of the errors of Lock.
func (l *Locker) TryLock(ctx context.Context, name string) (bool, error) {
	earlier, err := l.acquire(ctx, name, l.locker.TryLock)
	if errors.Is(err, redlock.ErrContended) {
		return false, nil
	}
	return err == nil && earlier == nil, err
}

// Unlock releases name, which must be locked here: a name does not tell callers apart. It
// waits for the outcome until ctx ends, for the node timeout at most. The lock is not
// extended any more, whatever the outcome is.
//
// The error is that of [redlock.Lock.Unlock]. It matches [redlock.ErrLockLost] if the lock
// had been lost, so that another instance may have been at work, too, and
// [redlock.ErrNoQuorum] if the lock ends by its TTL. It matches [redlock.ErrUnlocked], and
// nothing is sent, if name is not locked here.
func (l *Locker) Unlock(ctx context.Context, name string) error {
	l.mu.Lock()
	h := l.held[name]
	if h == nil {
		l.mu.Unlock()
		return notHeld(name)
	}
	delete(l.held, name)
	close(h.over)
	lock := h.lock
	l.mu.Unlock()
	return lock.Unlock(ctx)
}

// RenewLockLease lets the nodes confirm that name is still locked here. The lock does not
// need it: it is extended by itself, and the lease is ignored.
//
// A lock that was lost, or cannot be confirmed while it is valid, is taken anew, and the
// call waits as [Locker.Lock] does. So after nil the caller has the lock, but another one
// may have had it in between: certmagic looks next whether its work is done already. An
// error would keep certmagic from the work for good.
//
// The error matches [redlock.ErrUnlocked] if name is not locked here. Otherwise it is ctx's
// error or one of [redlock.Locker.Lock]. Only the holder may call it, once at a time.
func (l *Locker) RenewLockLease(ctx context.Context, name string, _ time.Duration) error {
	l.mu.Lock()
	h := l.held[name]
	if h == nil {
		l.mu.Unlock()
		return notHeld(name)
	}
	lock := h.lock
	l.mu.Unlock()

	err := lock.Extend(ctx, l.ttl)
	switch {
	case errors.Is(err, redlock.ErrLockLost):
	case errors.Is(err, redlock.ErrNoQuorum) && ctx.Err() == nil:
		// It was tried until the lock was about to end. If that was extended after all,
		// the next one would wait for it.
		_ = lock.Unlock(ctx)
	default:
		return err
	}
	lock, err = l.locker.Lock(ctx, l.prefix+name, l.ttl, options()...)
	if err != nil {
		return err
	}
	l.mu.Lock()
	held := l.held[name] == h
	if held {
		h.lock = lock
	}
	l.mu.Unlock()
	if !held { // unlocked meanwhile
		_ = lock.Unlock(ctx) // if that fails, it ends by its TTL
		return notHeld(name)
	}
	return nil
}

// acquire locks name by a method of a [redlock.Locker]. If somebody in this process has
// lost it without having unlocked it yet, acquire lets it go and returns what that one has.
func (l *Locker) acquire(
	ctx context.Context, name string,
	by func(context.Context, string, time.Duration, ...redlock.LockOption) (*redlock.Lock, error),
) (earlier *holding, err error) {
	lock, err := by(ctx, l.prefix+name, l.ttl, options()...)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	earlier = l.held[name]
	if earlier == nil {
		l.held[name] = &holding{lock, make(chan struct{})}
	}
	l.mu.Unlock()
	if earlier != nil {
		// Else the Unlock of either one would release the lock of the other.
		_ = lock.Unlock(ctx) // if that fails, it ends by its TTL
	}
	return earlier, nil
}

// options are those of each lock, in place of what the [redlock.Locker] was given.
func options() []redlock.LockOption {
	return []redlock.LockOption{
		redlock.WithAutoExtend(redlock.Forever),
		redlock.WithRetry(redlock.Forever, retryDelay),
		redlock.WithMaxWait(math.MaxInt64),
		redlock.WithoutFencing(), // certmagic has no place for a token, nor each name for a counter
	}
}

func notHeld(name string) error {
	return fmt.Errorf("%w: certmagic lock %q is not held here", redlock.ErrUnlocked, name)
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", redlock.ErrInvalidArgument, fmt.Sprintf(format, args...))
}

// A Storage is a certmagic.Storage with the locks of a Locker. All else is in the storage
// that [NewStorage] was given.
type Storage struct {
	*Locker
	data
}

// data lies one level deeper than [Locker], whose methods so win over those of the storage.
type data struct{ certmagic.Storage }

// NewStorage returns storage with the locks of a Locker in place of its own. All instances
// that share the storage must do so. The error is that of [New]; it matches
// [redlock.ErrInvalidArgument] also if storage is nil.
func NewStorage(storage certmagic.Storage, locker *redlock.Locker, opts ...Option) (*Storage, error) {
	if storage == nil {
		return nil, invalid("nil certmagic.Storage")
	}
	l, err := New(locker, opts...)
	if err != nil {
		return nil, err
	}
	return &Storage{l, data{storage}}, nil
}

// String returns the name of the storage, or its type. certmagic logs it.
func (s *Storage) String() string {
	if name, ok := s.Storage.(fmt.Stringer); ok {
		return name.String() + " with locks on Redis"
	}
	return fmt.Sprintf("%T with locks on Redis", s.Storage)
}
