package certmagiclock_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	certmagiclock "github.com/b0401464/redlock/adapters/certmagic"
	"github.com/b0401464/redlock/test/rig"
)

const (
	name = "issue_cert_example.com"
	key  = "certmagic:" + name
	ttl  = 15 * time.Second // the default
)

// newLocker returns the Locker of an instance on nodes.
func newLocker(t *testing.T, nodes []*rig.Node, opts ...redlock.Option) *certmagiclock.Locker {
	t.Helper()
	l, err := certmagiclock.New(rig.NewLocker(t, nodes, opts...))
	require.NoError(t, err)
	return l
}

// start calls f in the background.
func start(f func() error) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	return ended
}

// lock has name locked in the background.
func lock(t *testing.T, l *certmagiclock.Locker) <-chan error {
	t.Helper()
	return start(func() error { return l.Lock(t.Context(), name) })
}

// requireWaits requires that nothing comes of a call for five minutes.
func requireWaits(t *testing.T, ended <-chan error) {
	t.Helper()
	time.Sleep(5 * time.Minute)
	if len(ended) > 0 {
		require.Fail(t, "the call has ended", "error: %v", <-ended)
	}
}

// restart ends an outage. Pools whose dials have failed find out within a second.
func restart(nodes []*rig.Node) {
	for _, n := range nodes {
		n.Restart()
	}
	time.Sleep(2 * time.Second)
}

// requireSoon requires that a call succeeds within a second.
func requireSoon(t *testing.T, ended <-chan error) {
	t.Helper()
	time.Sleep(time.Second)
	require.NotEmpty(t, ended)
	require.NoError(t, <-ended)
}

// requireFree requires that nothing is left on the nodes.
func requireFree(t *testing.T, nodes []*rig.Node) {
	t.Helper()
	time.Sleep(2 * time.Second) // a resource is reserved for who was called for no longer
	for i, n := range nodes {
		require.Empty(t, n.Keys(), "node %d", i)
	}
}

func TestOneInstanceAtATimeHasAName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		one, other := newLocker(t, nodes), newLocker(t, nodes)
		require.NoError(t, one.Lock(t.Context(), name))
		next := lock(t, other)
		requireWaits(t, next)
		require.NoError(t, one.Unlock(t.Context(), name))
		requireSoon(t, next)
		again := lock(t, one)
		requireWaits(t, again)
		require.NoError(t, other.Unlock(t.Context(), name))
		requireSoon(t, again)
		require.NoError(t, one.Unlock(t.Context(), name))
		requireFree(t, nodes)
	})
}

func TestOneCallerOfAnInstanceAtATimeHasAName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := newLocker(t, nodes)
		inside, most := 0, 0
		var mu sync.Mutex
		count := func(by int) {
			mu.Lock()
			defer mu.Unlock()
			inside += by
			most = max(most, inside)
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if assert.NoError(t, l.Lock(t.Context(), name)) {
					count(1)
					time.Sleep(time.Minute)
					count(-1)
					assert.NoError(t, l.Unlock(t.Context(), name))
				}
			})
		}
		all.Wait()
		require.Equal(t, 1, most)
		requireFree(t, nodes)
	})
}

func TestTheLockOfADeadProcessIsFreeAfterOneTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		process := rig.NewProcess(t, nodes)
		dead, err := certmagiclock.New(process.Locker)
		require.NoError(t, err)
		require.NoError(t, dead.Lock(t.Context(), name))
		require.NoError(t, dead.RenewLockLease(t.Context(), name, 30*24*time.Hour)) // must not keep it for longer
		next := lock(t, newLocker(t, nodes))
		requireWaits(t, next)
		process.Die()
		died := time.Now()
		defer runtime.KeepAlive(dead) // a lock that is out of reach is not extended
		select {
		case err := <-next:
			require.NoError(t, err)
		case <-time.After(ttl + time.Second):
			require.Fail(t, "it is still locked")
		}
		assert.GreaterOrEqual(t, time.Since(died), ttl/2)
	})
}

func TestLockWaitsThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		nodes[0].Stop()
		nodes[1].Stop()
		l := newLocker(t, nodes)
		waiting := lock(t, l)
		requireWaits(t, waiting)
		nodes[0].Restart()
		time.Sleep(10 * time.Second)
		require.NotEmpty(t, waiting)
		require.NoError(t, <-waiting)
		require.NoError(t, l.Unlock(t.Context(), name))
		restart(nodes[:2])
	})
}

func TestLockEndsWithItsContextAndLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		one, other := newLocker(t, nodes), newLocker(t, nodes)
		require.NoError(t, one.Lock(t.Context(), name))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, other.Lock(ctx, name), context.DeadlineExceeded)
		require.ErrorIs(t, one.Lock(ctx, name), context.DeadlineExceeded)
		require.ErrorIs(t, one.Unlock(ctx, name), context.DeadlineExceeded) // and the release is sent all the same
		requireFree(t, nodes)
	})
}

func TestNoLimitOfTheRedlockLockerBoundsALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		one, other := newLocker(t, nodes, redlock.WithAutoExtend(time.Minute)),
			newLocker(t, nodes, redlock.WithMaxWait(time.Second), redlock.WithRetry(0, 0))
		require.NoError(t, one.Lock(t.Context(), name))
		next := lock(t, other)
		requireWaits(t, next)
		require.NoError(t, one.Unlock(t.Context(), name))
		requireSoon(t, next)
		require.NoError(t, other.Unlock(t.Context(), name))
	})
}

func TestTryLockTellsARefusalFromAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		one, other := newLocker(t, nodes), newLocker(t, nodes)
		ok, err := one.TryLock(t.Context(), name)
		require.NoError(t, err)
		require.True(t, ok)
		for _, l := range []*certmagiclock.Locker{one, other} {
			ok, err = l.TryLock(t.Context(), name)
			require.NoError(t, err)
			require.False(t, ok)
		}
		time.Sleep(10 * time.Minute) // it is kept as one of Lock is
		ok, err = other.TryLock(t.Context(), name)
		require.NoError(t, err)
		require.False(t, ok)
		require.NoError(t, one.Unlock(t.Context(), name))
		requireFree(t, nodes)

		nodes[0].Stop()
		nodes[1].Stop()
		ok, err = other.TryLock(t.Context(), name)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		require.False(t, ok)
		restart(nodes[:2])
	})
}

func TestUnlockOfWhatIsNotHeldSaysSoAndReleasesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		one, other := newLocker(t, nodes), newLocker(t, nodes)
		require.ErrorIs(t, one.Unlock(t.Context(), name), redlock.ErrUnlocked)
		require.NoError(t, one.Lock(t.Context(), name))
		require.NoError(t, one.Unlock(t.Context(), name))
		require.NoError(t, other.Lock(t.Context(), name))
		err := one.Unlock(t.Context(), name)
		require.ErrorIs(t, err, redlock.ErrUnlocked)
		require.ErrorContains(t, err, name)
		ok, err := one.TryLock(t.Context(), name)
		require.NoError(t, err)
		require.False(t, ok)
		require.NoError(t, other.Unlock(t.Context(), name))
	})
}

func TestUnlockDuringAnOutageSaysSoAndTheLockEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		one, other := newLocker(t, nodes), newLocker(t, nodes)
		require.NoError(t, one.Lock(t.Context(), name))
		for _, n := range nodes {
			n.Unreachable(true)
		}
		require.ErrorIs(t, one.Unlock(t.Context(), name), redlock.ErrNoQuorum)
		require.ErrorIs(t, one.Unlock(t.Context(), name), redlock.ErrUnlocked)
		for _, n := range nodes {
			n.Unreachable(false)
		}
		began := time.Now()
		require.NoError(t, other.Lock(t.Context(), name))
		assert.LessOrEqual(t, time.Since(began), ttl+time.Second)
		require.NoError(t, other.Unlock(t.Context(), name))
	})
}

// lose has l lock name and lose it.
func lose(t *testing.T, l *certmagiclock.Locker, nodes []*rig.Node) {
	t.Helper()
	require.NoError(t, l.Lock(t.Context(), name))
	synctest.Wait()
	for _, n := range nodes {
		n.FlushAll()
	}
	time.Sleep(ttl) // by then the next extension has found out
}

func TestALateUnlockOfALostLockReleasesNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		one, other := newLocker(t, nodes), newLocker(t, nodes)
		lose(t, one, nodes)
		require.NoError(t, other.Lock(t.Context(), name))
		require.ErrorIs(t, one.Unlock(t.Context(), name), redlock.ErrLockLost)
		ok, err := one.TryLock(t.Context(), name)
		require.NoError(t, err)
		require.False(t, ok)
		require.NoError(t, other.Unlock(t.Context(), name))
		requireFree(t, nodes)
	})
}

func TestTheNextCallerWaitsForTheUnlockOfALostLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		one, other := newLocker(t, nodes), newLocker(t, nodes)
		lose(t, one, nodes)
		next := lock(t, one)
		requireWaits(t, next)
		ok, err := one.TryLock(t.Context(), name)
		require.NoError(t, err)
		require.False(t, ok)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, one.Lock(ctx, name), context.DeadlineExceeded)

		// Another instance is not kept from it: its holder may hang for ever.
		ok, err = other.TryLock(t.Context(), name)
		require.NoError(t, err)
		require.True(t, ok)
		require.NoError(t, other.Unlock(t.Context(), name))

		require.ErrorIs(t, one.Unlock(t.Context(), name), redlock.ErrLockLost)
		requireSoon(t, next)
		ok, err = other.TryLock(t.Context(), name)
		require.NoError(t, err)
		require.False(t, ok)
		require.NoError(t, one.Unlock(t.Context(), name))
		requireFree(t, nodes)
	})
}

func TestAfterShutdownNothingIsLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		locker := rig.NewLocker(t, nodes)
		l, err := certmagiclock.New(locker)
		require.NoError(t, err)
		require.NoError(t, l.Lock(t.Context(), name))
		next := lock(t, l)
		synctest.Wait()
		down := start(func() error { return locker.Shutdown(t.Context()) })
		require.ErrorIs(t, <-next, redlock.ErrShutdown)
		_, err = l.TryLock(t.Context(), name)
		require.ErrorIs(t, err, redlock.ErrShutdown)
		requireWaits(t, down) // what is held is kept
		require.NoError(t, l.RenewLockLease(t.Context(), name, time.Minute))
		require.NoError(t, l.Unlock(t.Context(), name))
		require.NoError(t, <-down)
		requireFree(t, nodes)
	})
}
