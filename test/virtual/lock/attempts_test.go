package lock_test

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
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

func TestRetriesCanBeSetForOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		rig.Lock(t, rig.NewLocker(t, nodes))
		l := rig.NewLocker(t, nodes, redlock.WithoutWaitingLine(), redlock.WithRetry(5, time.Millisecond), redlock.WithJitter(0))
		for want, opts := range map[int][]redlock.LockOption{
			6: nil,
			1: {redlock.WithRetry(0, time.Second)},
			3: {redlock.WithRetry(2, time.Millisecond)},
		} {
			_, err := l.Lock(t.Context(), "a", rig.TTL, opts...)
			e, ok := errors.AsType[*redlock.LockError](err)
			require.True(t, ok)
			assert.Equal(t, want, e.Attempts)
		}
		_, err := l.TryLock(t.Context(), "a", rig.TTL, redlock.WithRetry(7, time.Millisecond))
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, 1, e.Attempts)
	})
}

func TestTiesSettleWithinTensOfMilliseconds(t *testing.T) {
	for _, n := range []int{2, 3, 4, 5, 7} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, n)
			for _, n := range nodes {
				n.Slow(time.Millisecond)
			}
			const contenders = 3
			var slowest time.Duration
			for range 15 {
				start := time.Now()
				var first sync.Once
				var wg sync.WaitGroup
				for range contenders {
					l := rig.NewLocker(t, nodes)
					wg.Go(func() {
						k, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithRetry(redlock.Forever, time.Second))
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

func TestADeadlineThatEndsTheWaitIsInTheErrorBesideTheLastOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		rig.Lock(t, rig.NewLocker(t, nodes))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		_, err := rig.NewLocker(t, nodes).Lock(ctx, "a", rig.TTL, redlock.WithRetry(redlock.Forever, time.Second))
		assert.Equal(t, 3*time.Second, time.Since(start))
		require.ErrorIs(t, err, redlock.ErrContended)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestAContextThatIsOverSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := rig.NewLocker(t, nodes).Lock(ctx, "a", rig.TTL)
		require.ErrorIs(t, err, context.Canceled)
		assert.Zero(t, nodes[0].Commands())
	})
}

func TestALateGrantOfAnAttemptThatWasGivenUpIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 5)
		for _, n := range nodes[:3] {
			require.NoError(t, n.Set("a", "theirs"))
		}
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		nodes[3].Slow(300 * time.Millisecond)
		nodes[4].Slow(600 * time.Millisecond)
		start := time.Now()
		_, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.Zero(t, time.Since(start), "three refusals decide")
		require.NoError(t, l.Shutdown(t.Context()))
		assert.Equal(t, 1200*time.Millisecond, time.Since(start), "the release follows its acquire")
		rig.RequireFree(t, nodes[3:]...)
	})
}

func TestAMajorityThatComesTooLateIsNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		begin := time.Now()
		seam.SetWallJump(l, func() time.Duration {
			if time.Since(begin) > 0 {
				return time.Minute // the machine was suspended while the replies were on their way
			}
			return 0
		})
		for _, n := range nodes {
			n.Slow(time.Millisecond)
		}
		_, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		require.NoError(t, l.Shutdown(t.Context()))
		rig.RequireFree(t, nodes...)
	})
}
