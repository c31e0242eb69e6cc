package redlock_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.MainVirtual(m) }

// Programs have interfaces of their own for what they use of a Locker. A Func that were a type
// by itself would break them.
var _ interface {
	Do(ctx context.Context, resource string, ttl time.Duration, fn func(ctx context.Context) error, opts ...redlock.LockOption) error
	With(ctx context.Context, resource string, ttl time.Duration,
		fn func(ctx context.Context, lock *redlock.Lock) error, onUnlockErr func(error), opts ...redlock.LockOption) error
} = (*redlock.Locker)(nil)

func TestLockPutsItsValueOnEveryNodeForTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		start := time.Now()
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		rig.RequireLocked(t, k, nodes...)
		for _, n := range nodes {
			assert.Equal(t, rig.TTL, n.TTL("a"))
		}
		assert.Regexp(t, "^[0-9a-f]{32}$", k.Value())
		assert.Equal(t, "a", k.Resource())
		assert.Equal(t, start.Add(rig.TTL-rig.Drift), k.Until())
		assert.True(t, k.Valid())

		time.Sleep(rig.TTL)
		rig.RequireFree(t, nodes...)
	})
}

func TestEveryAttemptUsesAFreshValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		seen := map[string]bool{}
		for range 100 {
			k := rig.Lock(t, l)
			require.False(t, seen[k.Value()])
			seen[k.Value()] = true
			require.NoError(t, k.Unlock(t.Context()))
		}
	})
}

func TestASecondLockWaitsUntilTheFirstExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		start := time.Now()
		first := rig.Lock(t, rig.NewLocker(t, nodes))
		second := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithRetry(redlock.Forever, 100*time.Millisecond))
		assert.False(t, first.Valid())
		assert.GreaterOrEqual(t, time.Since(start), rig.TTL)
		assert.Less(t, time.Since(start), rig.TTL+200*time.Millisecond)
		synctest.Wait() // a majority is enough for Lock
		rig.RequireLocked(t, second, nodes...)
	})
}

func TestALockerThatWaitsTakesOverWhenTheLockOfADeadOneRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		var waiting []*redlock.Locker
		for range 3 {
			waiting = append(waiting, rig.NewLocker(t, nodes))
			rig.WarmUp(t, waiting[len(waiting)-1])
		}
		start := time.Now()
		rig.Lock(t, rig.NewLocker(t, nodes)) // nobody unlocks it
		got := make(chan time.Duration, len(waiting))
		for _, l := range waiting {
			go func() {
				k := rig.Lock(t, l, redlock.WithRetry(redlock.Forever, time.Hour)) // polls come too late
				took := time.Since(start)
				assert.NoError(t, k.Unlock(t.Context()))
				got <- took
			}()
		}
		first := <-got
		assert.GreaterOrEqual(t, first, rig.TTL)
		assert.LessOrEqual(t, first, rig.TTL+2*time.Millisecond)
		<-got
		<-got
	})
}

func TestAResourceCanBeLockedRightAfterUnlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		for range 50 {
			k, err := l.TryLock(t.Context(), "a", rig.TTL)
			require.NoError(t, err)
			require.NoError(t, k.Unlock(t.Context()))
		}
		rig.RequireFree(t, nodes...)
	})
}

func TestAResourceCanBeLockedRightAfterExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		rig.Lock(t, rig.NewLocker(t, nodes))
		time.Sleep(rig.TTL)
		_, err := rig.NewLocker(t, nodes).TryLock(t.Context(), "a", rig.TTL)
		require.NoError(t, err)
	})
}

func TestResourcesDoNotDisturbEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.Lock(t, l)
		_, err := l.TryLock(t.Context(), "b", rig.TTL)
		require.NoError(t, err)
	})
}

func TestLockGivesUpAfterTheLastRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		start := time.Now()
		_, err := rig.NewLocker(t, nodes, redlock.WithoutWaitingLine()).Lock(t.Context(), "a", rig.TTL, redlock.WithRetry(3, 100*time.Millisecond), redlock.WithJitter(0))
		assert.Equal(t, 300*time.Millisecond, time.Since(start))
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.NotErrorIs(t, err, redlock.ErrNoQuorum)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, redlock.OpLock, e.Op)
		assert.Equal(t, []string{"a"}, e.Resources)
		assert.Equal(t, 4, e.Attempts)
		assert.Equal(t, 0, e.Agreed)
		assert.Equal(t, 2, e.Quorum)
		assert.Equal(t, rig.TTL-300*time.Millisecond, e.RetryAfter)
		assert.Empty(t, e.Nodes)
		assert.Equal(t, "contended", e.ErrorType())
		assert.EqualError(t, err, `redlock: lock "a": held by another, mark `+k.Mark()+`, free in 9.7s at the latest unless extended: 0 of 3 nodes agreed, 2 needed after 4 attempts`)
	})
}

func TestTheDefaultIsElevenAttemptsInFourSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		_, err := rig.NewLocker(t, nodes).Lock(t.Context(), "a", time.Hour)
		require.NoError(t, err)
		start := time.Now()
		_, err = rig.NewLocker(t, nodes, redlock.WithoutWaitingLine()).Lock(t.Context(), "a", rig.TTL)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, 11, e.Attempts)
		assert.Equal(t, 4*time.Second, time.Since(start))
	})
}

func TestMaxWaitEndsTheWaitWithTheErrorOfTheLastAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		rig.Lock(t, rig.NewLocker(t, nodes))
		l := rig.NewLocker(t, nodes)
		start := time.Now()
		_, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(5*time.Second))
		assert.Equal(t, 5*time.Second, time.Since(start))
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.NotErrorIs(t, err, context.DeadlineExceeded)

		start = time.Now()
		_, err = l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(time.Second), redlock.WithRetry(1, time.Millisecond))
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.Equal(t, time.Second, time.Since(start), "whatever WithRetry stands beside it")

		for _, n := range nodes {
			n.Freeze()
		}
		start = time.Now()
		_, err = l.Lock(t.Context(), "b", rig.TTL, redlock.WithMaxWait(300*time.Millisecond))
		assert.Equal(t, 300*time.Millisecond, time.Since(start))
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.NotErrorIs(t, err, redlock.ErrContended)
		for _, n := range nodes {
			n.Thaw()
		}
		require.NoError(t, l.Shutdown(t.Context()))
	})
}

func TestAMinorityHeldByAnotherDoesNotKeepTheLockAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 5)
		for _, n := range nodes[:2] {
			require.NoError(t, n.Set("a", "theirs"))
		}
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		rig.RequireLocked(t, k, nodes[2:]...)
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
		require.NoError(t, k.Unlock(t.Context()))
		rig.RequireFree(t, nodes[2:]...)
		for _, n := range nodes[:2] {
			value, err := n.Get("a")
			require.NoError(t, err)
			assert.Equal(t, "theirs", value)
		}
	})
}

func TestAMajorityHeldByAnotherKeepsTheLockAwayAndLeavesTheRestFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 5)
		for _, n := range nodes[:3] {
			require.NoError(t, n.Set("a", "theirs"))
		}
		_, err := rig.NewLocker(t, nodes).TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		e, _ := errors.AsType[*redlock.LockError](err)
		assert.EqualValues(t, redlock.Forever, e.RetryAfter)
		rig.RequireFree(t, nodes[3:]...)
	})
}

func TestUnreachableNodesUseEveryRetryAndAreAllNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		for _, n := range nodes {
			n.Stop()
		}
		_, err := rig.NewLocker(t, nodes).Lock(t.Context(), "a", rig.TTL, redlock.WithRetry(2, 10*time.Second), redlock.WithJitter(0), redlock.WithNodeTimeout(4*time.Second))
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, 3, e.Attempts)
		require.GreaterOrEqual(t, len(e.Nodes), 2, "enough failures decide the outcome")
		for _, n := range e.Nodes {
			assert.Equal(t, redlock.OpAcquire, n.Op)
			assert.Contains(t, err.Error(), n.Addr)
			assert.Contains(t, err.Error(), "connection refused")
		}
	})
}

func TestAtMostOneHolder(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 7} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, n)
			for i, n := range nodes {
				n.Slow(time.Duration(i+1) * time.Millisecond)
			}
			var c checker
			var wg sync.WaitGroup
			for range 4 {
				l := rig.NewLocker(t, nodes)
				wg.Go(func() {
					for range 10 {
						err := l.With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error {
							defer c.enter()()
							time.Sleep(10 * time.Millisecond)
							return nil
						}, nil, redlock.WithRetry(redlock.Forever, 20*time.Millisecond))
						assert.NoError(t, err)
					}
				})
			}
			wg.Wait()
			assert.Equal(t, 40, c.sections)
			assert.Zero(t, c.overlaps, "with %d nodes", n)
			time.Sleep(time.Second) // the last releases are on their way
			rig.RequireFree(t, nodes...)
		})
	}
}

// A checker looks at overlapping critical sections.
type checker struct {
	mu                         sync.Mutex
	inside, sections, overlaps int
}

func (c *checker) enter() (leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sections++
	if c.inside++; c.inside > 1 {
		c.overlaps++
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.inside--
	}
}

func TestACancelledLockReturnsAtOnceAndLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		nodes[0].Freeze()
		nodes[1].Freeze()
		l := rig.NewLocker(t, nodes)
		reason := errors.New("the client hung up")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(20*time.Millisecond, func() { cancel(reason) })
		start := time.Now()
		_, err := l.Lock(ctx, "a", rig.TTL)
		assert.Equal(t, 20*time.Millisecond, time.Since(start))
		require.ErrorIs(t, err, context.Canceled)
		assert.NotErrorIs(t, err, redlock.ErrNoQuorum, "no attempt was finished")
		assert.NotErrorIs(t, err, redlock.ErrContended)
		assert.Contains(t, err.Error(), "the client hung up")
		nodes[0].Thaw()
		nodes[1].Thaw()
		require.NoError(t, l.Shutdown(t.Context()))
		rig.RequireFree(t, nodes...)
	})
}
