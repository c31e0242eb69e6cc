package suites

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/vault/sdk/physical"

	"github.com/b0401464/redlock"
)

const lockTTL = 10 * time.Second

// A haBackend has Vault's servers lock by a Locker.
type haBackend struct{ locker *redlock.Locker }

func (b haBackend) HAEnabled() bool { return true }

// LockWith returns a lock that is not locked yet. The value is its owner on the nodes.
func (b haBackend) LockWith(key, value string) (physical.Lock, error) {
	return &haLock{locker: b.locker, key: key, value: value}, nil
}

// A fencingBackend is one whose locks have tokens.
type fencingBackend struct{ haBackend }

// RegisterActiveNodeLock is told by whose lock writes are to be fenced.
func (fencingBackend) RegisterActiveNodeLock(l physical.Lock) error {
	if lock, ok := l.(*haLock); !ok || lock.held.Token() == 0 {
		return fmt.Errorf("%v has no token", l)
	}
	return nil
}

// A haLock is a lock of a server of Vault.
type haLock struct {
	locker     *redlock.Locker
	key, value string
	held       *redlock.Lock
	stop       context.CancelFunc
}

// Lock waits until it has the lock or stop is closed, and returns what is closed when the lock
// is lost, nil if it has none.
func (l *haLock) Lock(stop <-chan struct{}) (<-chan struct{}, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	lock, err := l.locker.Lock(ctx, l.key, lockTTL, redlock.WithOwner(l.value),
		redlock.WithAutoExtend(redlock.Forever), redlock.WithRetry(redlock.Forever, 400*time.Millisecond))
	switch {
	case errors.Is(err, context.Canceled):
		return nil, nil
	case err != nil:
		return nil, err
	}
	var held context.Context
	l.held = lock
	held, l.stop = lock.Context(context.Background())
	return held.Done(), nil
}

func (l *haLock) Unlock() error {
	defer l.stop()
	return l.held.Unlock(context.Background())
}

// Value tells if anybody has the lock, and the value of that one, as a majority of the nodes
// has it.
func (l *haLock) Value() (held bool, value string, err error) {
	state, err := l.locker.Inspect(context.Background(), l.key)
	return state.Verdict == redlock.VerdictHeld, state.Holder.Owner, err
}
