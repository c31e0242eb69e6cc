package suites

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/dapr/components-contrib/lock"

	"github.com/b0401464/redlock"
)

// A lockStore is a component of Dapr whose calls go to three Lockers in turn, as those of an
// application with three sidecars may. So the one that unlocks knows the name of the owner,
// and nothing else.
type lockStore struct {
	sidecars [3]*redlock.Locker
	calls    atomic.Int64
}

func (s *lockStore) next() *redlock.Locker { return s.sidecars[s.calls.Add(1)%3] }

func (*lockStore) InitLockStore(context.Context, lock.Metadata) error { return nil }

// Close does nothing: the Lockers are those of the test.
func (*lockStore) Close() error { return nil }

func (s *lockStore) TryLock(ctx context.Context, req *lock.TryLockRequest) (*lock.TryLockResponse, error) {
	ttl := time.Duration(req.ExpiryInSeconds) * time.Second
	_, err := s.next().TryLock(ctx, req.ResourceID, ttl, redlock.WithOwner(req.LockOwner))
	if err != nil && !errors.Is(err, redlock.ErrContended) {
		return nil, err
	}
	return &lock.TryLockResponse{Success: err == nil}, nil
}

// Unlock removes the lock that the owner has. If another one has it by then, it stays.
func (s *lockStore) Unlock(ctx context.Context, req *lock.UnlockRequest) (*lock.UnlockResponse, error) {
	locker := s.next()
	state, err := locker.Inspect(ctx, req.ResourceID)
	switch {
	case err != nil:
		return nil, err
	case state.Verdict == redlock.VerdictFree:
		return &lock.UnlockResponse{Status: lock.LockDoesNotExist}, nil
	case state.Verdict != redlock.VerdictHeld:
		return &lock.UnlockResponse{Status: lock.InternalError}, nil
	case state.Holder.Owner != req.LockOwner:
		return &lock.UnlockResponse{Status: lock.LockBelongsToOthers}, nil
	}
	switch err = locker.Break(ctx, req.ResourceID, state.Holder.Mark); {
	case errors.Is(err, redlock.ErrOtherHolder):
		return &lock.UnlockResponse{Status: lock.LockBelongsToOthers}, nil
	case err != nil:
		return nil, err
	}
	return &lock.UnlockResponse{Status: lock.Success}, nil
}
