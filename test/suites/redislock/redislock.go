// Package redislock has what the tests of github.com/bsm/redislock use of it, upon this
// library. It is compiled in the place of that package.
package redislock

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
)

const (
	nodeTimeout = 20 * time.Second // for busy machines
	shortest    = time.Second      // the TTL of a lock that outlives the answer of one
	mostTries   = 100              // at a lock that does not
)

// Errors that the tests compare with.
var (
	ErrNotObtained = errors.New("redislock: not obtained")
	ErrLockNotHeld = errors.New("redislock: lock not held")
)

// A RedisClient is what New takes.
type RedisClient interface{ redis.Scripter }

// A Client obtains locks.
type Client struct {
	locker *redlock.Locker
	err    error
}

// New returns a Client on one node, with a Locker of its own.
func New(client RedisClient) *Client {
	node, ok := client.(redlock.Client)
	if !ok {
		return &Client{err: fmt.Errorf("a %T is no node", client)}
	}
	locker, err := redlock.NewSingle(node, redlock.WithNodeTimeout(nodeTimeout))
	return &Client{locker: locker, err: err}
}

// Options are those of one call.
type Options struct {
	RetryStrategy RetryStrategy
	Metadata      string
	Token         string
}

// Obtain obtains a lock by a Client that is used once.
func Obtain(ctx context.Context, client RedisClient, key string, ttl time.Duration, opt *Options) (*Lock, error) {
	return New(client).Obtain(ctx, key, ttl, opt)
}

// Obtain obtains a lock. As with redislock, the wait ends after the TTL unless ctx has a
// deadline.
func (c *Client) Obtain(ctx context.Context, key string, ttl time.Duration, opt *Options) (*Lock, error) {
	if c.err != nil {
		return nil, c.err
	}
	opts, err := opt.translate()
	if err != nil {
		return nil, err
	}
	wait := ctx
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, ttl)
		defer cancel()
	}
	lock, err := c.locker.Lock(wait, key, ttl, opts...)
	// A lock of 5 ms can be over by the time the answer comes. redislock does not look, and
	// grants it; here it is tried again.
	for try := 0; try < mostTries && ctx.Err() == nil && wasTooLate(err) && ttl < shortest; try++ {
		lock, err = c.locker.Lock(ctx, key, ttl, opts...)
	}
	switch {
	case errors.Is(err, redlock.ErrContended):
		return nil, ErrNotObtained
	case err != nil:
		return nil, err
	}
	tellOfEarlier(lock)
	return &Lock{Client: c, lock: lock}, nil
}

// wasTooLate reports whether all that kept a call from the lock was time: it ended while the
// call waited for the node, or before the validity could be known. Any other failure of the
// node is one of the test.
func wasTooLate(err error) bool {
	e, ok := errors.AsType[*redlock.LockError](err)
	if !ok || errors.Is(err, redlock.ErrContended) {
		return false
	}
	for _, node := range e.Nodes {
		if node.ErrorType() != "no_answer" {
			return false
		}
	}
	return errors.Is(err, redlock.ErrNoQuorum) || errors.Is(err, context.DeadlineExceeded)
}

// over has the end of the validity of the lock that was granted last, by key.
var over sync.Map

// tellOfEarlier says so where a lock is granted behind the validity of the one before: a test
// that wanted it refused was too slow. It is silent where the one before was still valid.
func tellOfEarlier(lock *redlock.Lock) {
	if until, ok := over.Swap(lock.Resource(), lock.Until()); ok && time.Now().After(until.(time.Time)) {
		fmt.Println("granted when the lock before it had run out")
	}
}

func (o *Options) translate() (opts []redlock.LockOption, err error) {
	if o == nil {
		o = new(Options)
	}
	if o.Token != "" {
		return nil, errors.New("this library draws the token of each lock itself")
	}
	if o.Metadata != "" {
		opts = append(opts, redlock.WithOwner(o.Metadata))
	}
	return append(opts, redlock.WithRetry(o.RetryStrategy.count, o.RetryStrategy.delay)), nil
}

// A Lock is one that was obtained.
type Lock struct {
	*Client
	lock *redlock.Lock
}

// Key returns the key of the lock.
func (l *Lock) Key() string { return l.lock.Resource() }

// Token returns the random part of the lock's value, 16 bytes, in the digits of redislock.
func (l *Lock) Token() string {
	random, err := hex.DecodeString(l.lock.Value()[:32])
	if err != nil {
		return err.Error()
	}
	return base64.RawURLEncoding.EncodeToString(random)
}

// Metadata returns what the node tells of the owner of the lock.
func (l *Lock) Metadata() string {
	state, err := l.locker.Inspect(context.Background(), l.Key())
	if err != nil {
		return err.Error()
	}
	return state.Holder.Owner
}

// TTL returns for how long the node still has the lock, 0 if it does not have it.
func (l *Lock) TTL(ctx context.Context) (time.Duration, error) {
	state, err := l.locker.Inspect(ctx, l.Key())
	if err != nil || state.Holder.Mark != l.lock.Mark() {
		return 0, err
	}
	return state.Remaining, nil
}

// Refresh extends the lock.
func (l *Lock) Refresh(ctx context.Context, ttl time.Duration, _ *Options) error {
	err := l.lock.Extend(ctx, ttl)
	if errors.Is(err, redlock.ErrLockLost) {
		return ErrNotObtained
	}
	return err
}

// Release releases the lock.
func (l *Lock) Release(ctx context.Context) error {
	if l == nil {
		return ErrLockNotHeld
	}
	err := l.lock.Unlock(ctx)
	if errors.Is(err, redlock.ErrLockLost) {
		return ErrLockNotHeld
	}
	return err
}

// A RetryStrategy is how long a call waits: count times delay.
type RetryStrategy struct {
	count int
	delay time.Duration
}

// LinearBackoff waits until the context ends.
func LinearBackoff(backoff time.Duration) RetryStrategy {
	return RetryStrategy{count: redlock.Forever, delay: backoff}
}

// LimitRetry waits for a number of retries.
func LimitRetry(s RetryStrategy, n int) RetryStrategy { return RetryStrategy{count: n, delay: s.delay} }
