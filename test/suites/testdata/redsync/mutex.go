package redsync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/b0401464/redlock"
	"github.com/go-redsync/redsync/v4/redis"
)

const nodeTimeout = 20 * time.Second // for busy machines

// A DelayFunc is used to decide the amount of time to wait between retries.
type DelayFunc func(tries int) time.Duration

// A Mutex has the fields that redsync's tests and options set, and locks by another library.
type Mutex struct {
	name   string
	expiry time.Duration

	tries     int
	delayFunc DelayFunc

	driftFactor   float64
	timeoutFactor float64

	quorum int

	genValueFunc  func() (string, error) // not called: each lock has a value of its own
	value         string
	shuffle       bool
	failFast      bool
	setNXOnExtend bool

	pools []redis.Pool

	nodes  []*node
	locker *redlock.Locker
	lock   *redlock.Lock
}

// genValue is there for the tests that name it.
func genValue() (string, error) { return "", errors.New("nobody asks for a value") }

// Value returns the value of the lock.
func (m *Mutex) Value() string { return m.value }

// TryLock makes one attempt.
func (m *Mutex) TryLock() error { return m.TryLockContext(context.Background()) }

// TryLockContext makes one attempt.
func (m *Mutex) TryLockContext(ctx context.Context) error {
	return m.obtain(func() (*redlock.Lock, error) { return m.locker.TryLock(ctx, m.name, m.expiry) })
}

// Lock makes as many attempts as m says. The first one of redsync's tries is no retry.
func (m *Mutex) Lock() error {
	return m.obtain(func() (*redlock.Lock, error) {
		return m.locker.Lock(context.Background(), m.name, m.expiry, redlock.WithRetry(m.tries-1, m.delayFunc(1)))
	})
}

// obtain locks by lock, with a Locker of m's own.
func (m *Mutex) obtain(lock func() (*redlock.Lock, error)) (err error) {
	if m.locker == nil {
		if m.nodes, m.locker, err = connect(m.pools, redlock.WithDriftFactor(m.driftFactor), redlock.WithNodeTimeout(nodeTimeout)); err != nil {
			return err
		}
	}
	defer m.await()()
	got, err := lock()
	switch {
	case errors.Is(err, redlock.ErrContended):
		return fmt.Errorf("%w: %w", &ErrTaken{}, err)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	m.lock, m.value = got, got.Value()
	return nil
}

// Unlock unlocks m.
func (m *Mutex) Unlock() (bool, error) {
	if m.lock == nil {
		return false, errors.New("this library does not unlock by a value that another Mutex had")
	}
	defer m.await()()
	switch err := m.lock.Unlock(context.Background()); {
	case errors.Is(err, redlock.ErrLockLost):
		return false, fmt.Errorf("%w: %w", ErrLockAlreadyExpired, err)
	default:
		return err == nil, err
	}
}

// Extend extends the lock by its TTL.
func (m *Mutex) Extend() (bool, error) {
	defer m.await()()
	if err := m.lock.Extend(context.Background(), m.expiry); err != nil {
		return false, fmt.Errorf("%w: %w", ErrExtendFailed, err)
	}
	return true, nil
}

// Valid tells if the lock is valid.
func (m *Mutex) Valid() (bool, error) { return m.lock.Valid(), nil }

// await returns what waits until all nodes have answered that are asked from now on. redsync
// waits for all, and its tests look at all; this library returns once a majority has decided.
func (m *Mutex) await() func() {
	before := make([]int64, len(m.nodes))
	for i, n := range m.nodes {
		before[i] = n.answers.Load()
	}
	return func() {
		deadline := time.Now().Add(time.Duration(float64(m.expiry) * m.timeoutFactor))
		for i, n := range m.nodes {
			for n.answers.Load() == before[i] && time.Now().Before(deadline) {
				time.Sleep(time.Millisecond)
			}
		}
	}
}
