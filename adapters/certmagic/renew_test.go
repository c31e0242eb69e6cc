package certmagiclock_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	certmagiclock "github.com/b0401464/redlock/adapters/certmagic"
	"github.com/b0401464/redlock/test/rig"
)

// lease is what certmagic asks for last, between two attempts that are hours apart.
const lease = 30 * 24 * time.Hour

func renew(t *testing.T, l *certmagiclock.Locker) <-chan error {
	t.Helper()
	return start(func() error { return l.RenewLockLease(t.Context(), name, lease) })
}

func TestALeaseThatIsRenewedLastsForTheTTLOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := newLocker(t, nodes)
		require.NoError(t, l.Lock(t.Context(), name))
		time.Sleep(4 * time.Second)
		require.NoError(t, l.RenewLockLease(t.Context(), name, lease))
		synctest.Wait()
		for i, n := range nodes {
			assert.Equal(t, ttl, n.TTL(key), "node %d", i)
		}
		require.NoError(t, l.Unlock(t.Context(), name))
	})
}

func TestALostLockIsTakenAnewWhenItIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		one, other := newLocker(t, nodes), newLocker(t, nodes)
		lose(t, one, nodes)
		require.NoError(t, one.RenewLockLease(t.Context(), name, lease))
		next := lock(t, other)
		requireWaits(t, next)
		require.NoError(t, one.Unlock(t.Context(), name))
		requireSoon(t, next)
		require.NoError(t, other.Unlock(t.Context(), name))
		requireFree(t, nodes)
	})
}

func TestALostLockThatAnotherOneHasIsRenewedWhenItIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		one, other := newLocker(t, nodes), newLocker(t, nodes)
		lose(t, one, nodes)
		require.NoError(t, other.Lock(t.Context(), name))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, one.RenewLockLease(ctx, name, lease), context.DeadlineExceeded)
		renewed := renew(t, one)
		requireWaits(t, renewed)
		require.NoError(t, other.Unlock(t.Context(), name))
		requireSoon(t, renewed)
		ok, err := other.TryLock(t.Context(), name)
		require.NoError(t, err)
		require.False(t, ok)
		require.NoError(t, one.Unlock(t.Context(), name))
	})
}

func TestARenewalWaitsThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := newLocker(t, nodes)
		require.NoError(t, l.Lock(t.Context(), name))
		// What an extension ends with during an outage is a matter of moments: that the lock is lost,
		// or may be.
		for range 10 {
			for _, n := range nodes {
				n.Stop()
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := l.RenewLockLease(ctx, name, lease)
			cancel()
			require.ErrorIs(t, err, redlock.ErrNoQuorum)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			renewed := renew(t, l)
			time.Sleep(time.Minute)
			require.Empty(t, renewed)
			restart(nodes)
			time.Sleep(10 * time.Second)
			require.NotEmpty(t, renewed)
			require.NoError(t, <-renewed)
		}
		require.NoError(t, l.Unlock(t.Context(), name))
		requireFree(t, nodes)
	})
}

func TestWhatIsNotHeldIsNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := newLocker(t, nodes)
		require.ErrorIs(t, l.RenewLockLease(t.Context(), name, lease), redlock.ErrUnlocked)
		require.NoError(t, l.Lock(t.Context(), name))
		require.NoError(t, l.Unlock(t.Context(), name))
		require.ErrorIs(t, l.RenewLockLease(t.Context(), name, lease), redlock.ErrUnlocked)
		requireFree(t, nodes)
	})
}

func TestALockThatIsUnlockedWhileItIsTakenAnewIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		one, other := newLocker(t, nodes), newLocker(t, nodes)
		lose(t, one, nodes)
		require.NoError(t, other.Lock(t.Context(), name))
		renewed := renew(t, one)
		synctest.Wait()
		require.ErrorIs(t, one.Unlock(t.Context(), name), redlock.ErrLockLost)
		require.NoError(t, other.Unlock(t.Context(), name))
		require.ErrorIs(t, <-renewed, redlock.ErrUnlocked)
		requireFree(t, nodes)
	})
}

// The one who comes between is served by the nodes first, and sees that the lost lock is
// not unlocked yet.
func TestARenewalGoesBeforeTheNextCallerOfItsInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		one, other := newLocker(t, nodes), newLocker(t, nodes)
		lose(t, one, nodes)
		require.NoError(t, other.Lock(t.Context(), name))
		next := lock(t, one)
		time.Sleep(time.Second)
		renewed := renew(t, one)
		time.Sleep(time.Second)
		require.NoError(t, other.Unlock(t.Context(), name))
		requireSoon(t, renewed)
		requireWaits(t, next)
		require.NoError(t, one.Unlock(t.Context(), name))
		requireSoon(t, next)
		require.NoError(t, one.Unlock(t.Context(), name))
		requireFree(t, nodes)
	})
}
