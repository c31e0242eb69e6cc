package interop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/go-redsync/redsync/v4"
	redsyncredis "github.com/go-redsync/redsync/v4/redis"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
)

// A goLibrary is what a worker in Go locks with.
type goLibrary interface {
	// lock makes one attempt if delay is 0, else as many as the library will.
	lock(ctx context.Context, key string, ttl, delay time.Duration) (goLock, error)
	// refused reports whether an error means no, and not that something broke.
	refused(err error) bool
}

type goLock interface {
	extend(ctx context.Context, ttl time.Duration) error
	unlock(ctx context.Context) error
}

var goLibraries = map[string]func(addrs []string) (goLibrary, error){
	ours.name:   openRedlock,
	fenced.name: openFenced,
	"redsync":   openRedsync,
	"lawless":   func([]string) (goLibrary, error) { return lawless{}, nil },
}

func connect(addrs []string) []*redis.Client {
	var all []*redis.Client
	for _, addr := range addrs {
		all = append(all, redis.NewClient(&redis.Options{Addr: addr}))
	}
	return all
}

type ourLocker struct{ locker *redlock.Locker }

type ourLock struct{ lock *redlock.Lock }

func openRedlock(addrs []string) (goLibrary, error) {
	// A machine that stands still for a moment is no node that fails.
	l, err := redlock.New(connect(addrs), redlock.WithNodeTimeout(patience))
	return ourLocker{l}, err
}

// owner is whose the locks of every second Locker of ours are.
const owner = "interop worker ☃"

// A fencedLocker checks that its tokens grow. Those of others come between them.
type fencedLocker struct {
	ourLocker
	last *int64
}

func openFenced(addrs []string) (goLibrary, error) {
	l, err := redlock.New(connect(addrs), redlock.WithNodeTimeout(patience), redlock.WithFencing(time.Hour), redlock.WithOwner(owner))
	return fencedLocker{ourLocker{l}, new(int64)}, err
}

func (l fencedLocker) lock(ctx context.Context, key string, ttl, delay time.Duration) (goLock, error) {
	got, err := l.ourLocker.lock(ctx, key, ttl, delay)
	if err != nil {
		return nil, err
	}
	ours, _ := got.(ourLock)
	if token := ours.lock.Token(); token <= *l.last {
		return nil, fmt.Errorf("token %d after %d", token, *l.last)
	}
	*l.last = ours.lock.Token()
	return got, nil
}

func (l ourLocker) lock(ctx context.Context, key string, ttl, delay time.Duration) (goLock, error) {
	retry := redlock.WithRetry(0, 0)
	if delay > 0 {
		retry = redlock.WithRetry(redlock.Forever, delay)
	}
	lock, err := l.locker.LockAll(ctx, strings.Split(key, ","), ttl, retry)
	return ourLock{lock}, err
}

func (ourLocker) refused(err error) bool {
	return errors.Is(err, redlock.ErrContended) || errors.Is(err, redlock.ErrLockLost)
}

func (l ourLock) extend(ctx context.Context, ttl time.Duration) error { return l.lock.Extend(ctx, ttl) }
func (l ourLock) unlock(ctx context.Context) error                    { return l.lock.Unlock(ctx) }

type redsyncLocker struct{ redsync *redsync.Redsync }

type redsyncLock struct{ mutex *redsync.Mutex }

func openRedsync(addrs []string) (goLibrary, error) {
	var pools []redsyncredis.Pool
	for _, c := range connect(addrs) {
		pools = append(pools, goredis.NewPool(c))
	}
	return redsyncLocker{redsync.New(pools...)}, nil
}

func (l redsyncLocker) lock(ctx context.Context, key string, ttl, delay time.Duration) (goLock, error) {
	opts := []redsync.Option{
		redsync.WithExpiry(ttl),
		redsync.WithTries(1),
		redsync.WithTimeoutFactor(1), // as with ours: no node fails
	}
	if delay > 0 {
		opts = append(opts, redsync.WithTries(100),
			redsync.WithRetryDelayFunc(func(int) time.Duration { return rand.N(2 * delay) })) //nolint:gosec // no secret
	}
	m := l.redsync.NewMutex(key, opts...)
	return redsyncLock{m}, m.LockContext(ctx)
}

// A short TTL may be over before a busy machine has asked the nodes.
func (redsyncLocker) refused(err error) bool {
	_, broken := errors.AsType[*redsync.RedisError](err)
	return !broken || errors.Is(err, context.DeadlineExceeded)
}

// extend keeps to the TTL of the lock, which redsync lets nobody change.
func (l redsyncLock) extend(ctx context.Context, _ time.Duration) error {
	return redsyncError(l.mutex.ExtendContext(ctx))
}

func (l redsyncLock) unlock(ctx context.Context) error {
	return redsyncError(l.mutex.UnlockContext(ctx))
}

func redsyncError(ok bool, err error) error {
	switch {
	case ok:
		return nil
	case err == nil:
		return redsync.ErrFailed
	default:
		return err
	}
}

// lawless locks nothing and says that it did.
type lawless struct{}

func (lawless) lock(context.Context, string, time.Duration, time.Duration) (goLock, error) {
	return lawless{}, nil
}
func (lawless) refused(error) bool                          { return false }
func (lawless) extend(context.Context, time.Duration) error { return nil }
func (lawless) unlock(context.Context) error                { return nil }
