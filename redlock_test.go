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
)

const ttl = 10 * time.Second

// drift of ttl with the default factor.
const drift = 102 * time.Millisecond

// lock locks "a" for ttl and lets all nodes answer that can.
func lock(t *testing.T, l *redlock.Locker, opts ...redlock.LockOption) *redlock.Lock {
	t.Helper()
	k, err := l.Lock(t.Context(), "a", ttl, opts...)
	require.NoError(t, err)
	synctest.Wait()
	return k
}

// requireLocked checks that the value of "a" is k's on exactly these nodes.
func requireLocked(t *testing.T, k *redlock.Lock, nodes ...*node) {
	t.Helper()
	synctest.Wait()
	for i, n := range nodes {
		value, err := n.Get("a")
		require.NoError(t, err, "node %d", i)
		require.Equal(t, k.Value(), value, "node %d", i)
	}
}

func requireFree(t *testing.T, nodes ...*node) {
	t.Helper()
	synctest.Wait()
	for i, n := range nodes {
		require.Empty(t, n.Keys(), "node %d", i)
	}
}

func TestLockPutsItsValueOnEveryNodeForTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		start := time.Now()
		k := lock(t, newLocker(t, nodes))
		requireLocked(t, k, nodes...)
		for _, n := range nodes {
			assert.Equal(t, ttl, n.TTL("a"))
		}
		assert.Regexp(t, "^[0-9a-f]{32}$", k.Value())
		assert.Equal(t, "a", k.Resource())
		assert.Equal(t, start.Add(ttl-drift), k.Until())
		assert.True(t, k.Valid())

		time.Sleep(ttl)
		requireFree(t, nodes...)
	})
}

func TestEveryAttemptUsesAFreshValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		l := newLocker(t, nodes)
		seen := map[string]bool{}
		for range 100 {
			k := lock(t, l)
			require.False(t, seen[k.Value()])
			seen[k.Value()] = true
			require.NoError(t, k.Unlock(t.Context()))
		}
	})
}

func TestASecondLockWaitsUntilTheFirstExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		start := time.Now()
		first := lock(t, newLocker(t, nodes))
		second := lock(t, newLocker(t, nodes), redlock.WithRetry(redlock.Forever, 100*time.Millisecond))
		assert.False(t, first.Valid())
		assert.GreaterOrEqual(t, time.Since(start), ttl)
		assert.Less(t, time.Since(start), ttl+200*time.Millisecond)
		requireLocked(t, second, nodes...)
	})
}

func TestAResourceCanBeLockedRightAfterUnlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		for range 50 {
			k, err := l.TryLock(t.Context(), "a", ttl)
			require.NoError(t, err)
			require.NoError(t, k.Unlock(t.Context()))
		}
		requireFree(t, nodes...)
	})
}

func TestAResourceCanBeLockedRightAfterExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		lock(t, newLocker(t, nodes))
		time.Sleep(ttl)
		_, err := newLocker(t, nodes).TryLock(t.Context(), "a", ttl)
		require.NoError(t, err)
	})
}

func TestResourcesDoNotDisturbEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		lock(t, l)
		_, err := l.TryLock(t.Context(), "b", ttl)
		require.NoError(t, err)
	})
}

func TestLockGivesUpAfterTheLastRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		lock(t, newLocker(t, nodes))
		start := time.Now()
		_, err := newLocker(t, nodes, redlock.WithoutWaitingLine()).Lock(t.Context(), "a", ttl, redlock.WithRetry(3, 100*time.Millisecond), redlock.WithJitter(0))
		assert.Equal(t, 300*time.Millisecond, time.Since(start))
		require.ErrorIs(t, err, redlock.ErrNotAcquired)
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.NotErrorIs(t, err, redlock.ErrNoQuorum)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, redlock.OpLock, e.Op)
		assert.Equal(t, []string{"a"}, e.Resources)
		assert.Equal(t, 4, e.Attempts)
		assert.Equal(t, 0, e.Agreed)
		assert.Equal(t, 2, e.Quorum)
		assert.Equal(t, ttl-300*time.Millisecond, e.RetryAfter)
		assert.Empty(t, e.Nodes)
		assert.Equal(t, "contended", e.ErrorType())
		assert.EqualError(t, err, `redlock: lock "a": held by another: 0 of 2 required nodes agreed after 4 attempts, free in 9.7s at the latest unless extended`)
	})
}

func TestTheDefaultIsElevenAttemptsWithPausesOfZeroTo800Milliseconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		_, err := newLocker(t, nodes).Lock(t.Context(), "a", time.Hour)
		require.NoError(t, err)
		start := time.Now()
		_, err = newLocker(t, nodes, redlock.WithoutWaitingLine()).Lock(t.Context(), "a", ttl)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, 11, e.Attempts)
		assert.Less(t, time.Since(start), 8*time.Second)
		assert.Greater(t, time.Since(start), time.Second)
	})
}

func TestRetriesCanBeSetForOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		lock(t, newLocker(t, nodes))
		l := newLocker(t, nodes, redlock.WithoutWaitingLine(), redlock.WithRetry(5, time.Millisecond), redlock.WithJitter(0))
		for want, opts := range map[int][]redlock.LockOption{
			6: nil,
			1: {redlock.WithRetry(0, time.Second)},
			3: {redlock.WithRetry(2, time.Millisecond)},
		} {
			_, err := l.Lock(t.Context(), "a", ttl, opts...)
			e, ok := errors.AsType[*redlock.LockError](err)
			require.True(t, ok)
			assert.Equal(t, want, e.Attempts)
		}
		_, err := l.TryLock(t.Context(), "a", ttl, redlock.WithRetry(7, time.Millisecond))
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, 1, e.Attempts)
	})
}

func TestMaxWaitEndsTheWaitWithTheErrorOfTheLastAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		lock(t, newLocker(t, nodes))
		l := newLocker(t, nodes)
		start := time.Now()
		_, err := l.Lock(t.Context(), "a", ttl, redlock.WithMaxWait(5*time.Second))
		assert.Equal(t, 5*time.Second, time.Since(start))
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.NotErrorIs(t, err, context.DeadlineExceeded)

		start = time.Now()
		_, err = l.Lock(t.Context(), "a", ttl, redlock.WithMaxWait(time.Second), redlock.WithRetry(1, time.Millisecond))
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.Less(t, time.Since(start), 3*time.Millisecond, "a WithRetry beside it still counts")

		for _, n := range nodes {
			n.freeze()
		}
		start = time.Now()
		_, err = l.Lock(t.Context(), "b", ttl, redlock.WithMaxWait(300*time.Millisecond))
		assert.Equal(t, 300*time.Millisecond, time.Since(start))
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.NotErrorIs(t, err, redlock.ErrContended)
		for _, n := range nodes {
			n.thaw()
		}
		require.NoError(t, l.Shutdown(t.Context()))
	})
}

func TestAMinorityHeldByAnotherDoesNotKeepTheLockAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 5)
		for _, n := range nodes[:2] {
			require.NoError(t, n.Set("a", "theirs"))
		}
		k := lock(t, newLocker(t, nodes))
		requireLocked(t, k, nodes[2:]...)
		require.NoError(t, k.Extend(t.Context(), ttl))
		require.NoError(t, k.Unlock(t.Context()))
		requireFree(t, nodes[2:]...)
		for _, n := range nodes[:2] {
			value, err := n.Get("a")
			require.NoError(t, err)
			assert.Equal(t, "theirs", value)
		}
	})
}

func TestAMajorityHeldByAnotherKeepsTheLockAwayAndLeavesTheRestFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 5)
		for _, n := range nodes[:3] {
			require.NoError(t, n.Set("a", "theirs"))
		}
		_, err := newLocker(t, nodes).TryLock(t.Context(), "a", ttl)
		require.ErrorIs(t, err, redlock.ErrContended)
		e, _ := errors.AsType[*redlock.LockError](err)
		assert.Zero(t, e.RetryAfter, "a key without expiry tells nothing")
		requireFree(t, nodes[3:]...)
	})
}

func TestUnreachableNodesUseEveryRetryAndAreAllNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		for _, n := range nodes {
			n.stop()
		}
		_, err := newLocker(t, nodes).Lock(t.Context(), "a", ttl, redlock.WithRetry(2, time.Second), redlock.WithNodeTimeout(5*time.Second))
		require.ErrorIs(t, err, redlock.ErrNotAcquired)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, 3, e.Attempts)
		require.GreaterOrEqual(t, len(e.Nodes), 2, "enough failures decide the outcome")
		for _, n := range e.Nodes {
			assert.Equal(t, redlock.NodeAcquire, n.Op)
			assert.Contains(t, err.Error(), n.Addr)
			assert.Contains(t, err.Error(), "connection refused")
		}
	})
}

func TestAtMostOneHolder(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 7} {
		synctest.Test(t, func(t *testing.T) {
			nodes := newNodes(t, n)
			for i, n := range nodes {
				n.slow(time.Duration(i+1) * time.Millisecond)
			}
			var c checker
			var wg sync.WaitGroup
			for range 4 {
				l := newLocker(t, nodes)
				wg.Go(func() {
					for range 10 {
						err := l.With(t.Context(), "a", ttl, func(context.Context, *redlock.Lock) error {
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
			requireFree(t, nodes...)
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

func TestTiesSettleWithinTensOfMilliseconds(t *testing.T) {
	for _, n := range []int{2, 3, 4, 5, 7} {
		synctest.Test(t, func(t *testing.T) {
			nodes := newNodes(t, n)
			for _, n := range nodes {
				n.slow(time.Millisecond)
			}
			const contenders = 3
			var slowest time.Duration
			for range 15 {
				start := time.Now()
				var first sync.Once
				var wg sync.WaitGroup
				for range contenders {
					l := newLocker(t, nodes)
					wg.Go(func() {
						k, err := l.Lock(t.Context(), "a", ttl, redlock.WithRetry(redlock.Forever, time.Second))
						if !assert.NoError(t, err) {
							return
						}
						first.Do(func() { slowest = max(slowest, time.Since(start)) })
						assert.NoError(t, k.Unlock(t.Context()))
					})
				}
				wg.Wait()
			}
			assert.Less(t, slowest, 300*time.Millisecond, "with %d nodes", n)
			t.Logf("%d nodes, %d contenders: the slowest of 15 ties took %v", n, contenders, slowest)
		})
	}
}

func TestACancelledLockReturnsAtOnceAndLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		nodes[0].freeze()
		nodes[1].freeze()
		l := newLocker(t, nodes)
		reason := errors.New("the client hung up")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(20*time.Millisecond, func() { cancel(reason) })
		start := time.Now()
		_, err := l.Lock(ctx, "a", ttl)
		assert.Equal(t, 20*time.Millisecond, time.Since(start))
		require.ErrorIs(t, err, redlock.ErrNotAcquired)
		require.ErrorIs(t, err, context.Canceled)
		assert.NotErrorIs(t, err, redlock.ErrNoQuorum, "no attempt was finished")
		assert.NotErrorIs(t, err, redlock.ErrContended)
		assert.Contains(t, err.Error(), "the client hung up")
		nodes[0].thaw()
		nodes[1].thaw()
		require.NoError(t, l.Shutdown(t.Context()))
		requireFree(t, nodes...)
	})
}

func TestADeadlineThatEndsTheWaitIsInTheErrorBesideTheLastOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		lock(t, newLocker(t, nodes))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		_, err := newLocker(t, nodes).Lock(ctx, "a", ttl, redlock.WithRetry(redlock.Forever, time.Second))
		assert.Equal(t, 3*time.Second, time.Since(start))
		require.ErrorIs(t, err, redlock.ErrNotAcquired)
		require.ErrorIs(t, err, redlock.ErrContended)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestAContextThatIsOverSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := newLocker(t, nodes).Lock(ctx, "a", ttl)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, redlock.ErrNotAcquired)
		assert.Zero(t, nodes[0].commands())
	})
}

func TestALateGrantOfAnAttemptThatWasGivenUpIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 5)
		for _, n := range nodes[:3] {
			require.NoError(t, n.Set("a", "theirs"))
		}
		l := newLocker(t, nodes)
		warmUp(t, l)
		nodes[3].slow(time.Second)
		nodes[4].slow(2 * time.Second)
		start := time.Now()
		_, err := l.TryLock(t.Context(), "a", ttl)
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.Zero(t, time.Since(start), "three refusals decide")
		require.NoError(t, l.Shutdown(t.Context()))
		assert.Equal(t, 4*time.Second, time.Since(start), "the release follows its acquire")
		requireFree(t, nodes[3:]...)
	})
}

func TestAMajorityThatComesTooLateIsNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		begin := time.Now()
		redlock.SetWallJump(l, func() time.Duration {
			if time.Since(begin) > 0 {
				return time.Minute // the machine was suspended while the replies were on their way
			}
			return 0
		})
		for _, n := range nodes {
			n.slow(time.Millisecond)
		}
		_, err := l.TryLock(t.Context(), "a", ttl)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		require.NoError(t, l.Shutdown(t.Context()))
		requireFree(t, nodes...)
	})
}
