package waiting_test

import (
	"context"
	"fmt"
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

// The line of callers in one Locker.

func TestCallersOfOneLockerAreServedInTheOrderInWhichTheyCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		k := rig.Lock(t, l)
		var wg sync.WaitGroup
		var order []int // guarded by the lock
		for i := range 50 {
			wg.Go(func() {
				err := l.With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error {
					order = append(order, i)
					time.Sleep(time.Millisecond)
					return nil
				}, nil, rig.WaitForever)
				assert.NoError(t, err)
			})
			synctest.Wait()
		}
		before := nodes[0].Commands()
		start := time.Now()
		require.NoError(t, k.Unlock(t.Context()))
		wg.Wait()
		for i, who := range order {
			assert.Equal(t, i, who)
		}
		assert.Equal(t, 50*time.Millisecond, time.Since(start), "nobody pauses")
		assert.Equal(t, 101, nodes[0].Commands()-before, "an acquire and a release each")
	})
}

func TestOnlyTheHeadOfTheLineTalksToTheNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l, other := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		k := rig.Lock(t, other)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				assert.NoError(t, l.With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error { return nil }, nil, rig.WaitForever))
			})
		}
		synctest.Wait()
		before := nodes[0].Commands()
		time.Sleep(5 * time.Second)
		assert.Less(t, nodes[0].Commands()-before, 60, "one caller's attempts, each with its release")
		require.NoError(t, k.Unlock(t.Context()))
		wg.Wait()
	})
}

func TestALockThatRunsOutLetsTheNextOneGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		start := time.Now()
		_, err := l.Lock(t.Context(), "a", time.Second)
		require.NoError(t, err)
		k, err := l.Lock(t.Context(), "a", time.Second, redlock.WithRetry(redlock.Forever, 10*time.Millisecond))
		require.NoError(t, err)
		assert.InDelta(t, time.Second, time.Since(start), float64(30*time.Millisecond))
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestWaitingInLineIsBoundedAsPausesBetweenAttemptsAre(t *testing.T) {
	for name, c := range map[string]struct {
		opts     []redlock.LockOption
		from, to time.Duration
	}{
		"retries":           {[]redlock.LockOption{redlock.WithRetry(5, 100*time.Millisecond), redlock.WithJitter(0)}, 500 * time.Millisecond, 500 * time.Millisecond},
		"retries, jittered": {[]redlock.LockOption{redlock.WithRetry(5, 100*time.Millisecond)}, 500 * time.Millisecond, 500 * time.Millisecond},
		"max wait":          {[]redlock.LockOption{redlock.WithMaxWait(700 * time.Millisecond)}, 700 * time.Millisecond, 700 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l := rig.NewLocker(t, nodes)
				k := rig.Lock(t, l)
				synctest.Wait()
				before, start := nodes[0].Commands(), time.Now()
				_, err := l.Lock(t.Context(), "a", rig.TTL, c.opts...)
				require.ErrorIs(t, err, redlock.ErrContended)
				assert.GreaterOrEqual(t, time.Since(start), c.from)
				assert.LessOrEqual(t, time.Since(start), c.to)
				assert.Equal(t, before, nodes[0].Commands(), "nothing is sent")
				assert.True(t, k.Valid())
				require.NoError(t, k.Unlock(t.Context()))
			})
		})
	}
}

func TestANestedLockWaitsForItselfUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		err := l.With(t.Context(), "a", rig.TTL, func(ctx context.Context, _ *redlock.Lock) error {
			ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
			defer cancel()
			err := l.With(ctx, "a", rig.TTL, func(context.Context, *redlock.Lock) error { return nil }, nil, rig.WaitForever)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			return nil
		}, nil)
		require.NoError(t, err)
	})
}

func TestANestedLockWaitsForItselfForAsLongAsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rig.NewLocker(t, rig.New(t, 3))
		require.NoError(t, l.Do(t.Context(), "a", rig.TTL, func(ctx context.Context) error {
			start := time.Now()
			err := l.Do(ctx, "a", rig.TTL, func(context.Context) error { return nil })
			require.ErrorIs(t, err, redlock.ErrContended)
			rig.RequireNotCancelled(t, err)
			require.Equal(t, 4*time.Second, time.Since(start))
			return nil
		}))
	})
}

func TestTryLockAndASingleAttemptDoNotStandInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k := rig.Lock(t, l)
		waiter := make(chan *redlock.Lock)
		go func() {
			k, err := l.Lock(t.Context(), "a", rig.TTL, rig.WaitForever)
			assert.NoError(t, err)
			waiter <- k
		}()
		synctest.Wait()
		start := time.Now()
		_, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		_, err = l.Lock(t.Context(), "a", rig.TTL, redlock.WithRetry(0, 0))
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.Equal(t, start, time.Now())
		require.NoError(t, k.Unlock(t.Context()))
		next := <-waiter
		assert.Equal(t, start, time.Now())
		require.NoError(t, next.Unlock(t.Context()))
	})
}

func TestAWaiterThatLeavesLetsTheOthersThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k := rig.Lock(t, l)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := l.Lock(ctx, "a", rig.TTL, rig.WaitForever)
				assert.ErrorIs(t, err, context.Canceled)
			})
		}
		synctest.Wait()
		wg.Go(func() {
			assert.NoError(t, l.With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error { return nil }, nil, rig.WaitForever))
		})
		synctest.Wait()
		start := time.Now()
		cancel()
		require.NoError(t, k.Unlock(t.Context()))
		wg.Wait()
		assert.Equal(t, start, time.Now())
	})
}

func TestShutdownTurnsAwayWhoeverStandsInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k := rig.Lock(t, l)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := l.Lock(t.Context(), "a", rig.TTL, rig.WaitForever)
				assert.ErrorIs(t, err, redlock.ErrShutdown)
			})
		}
		synctest.Wait()
		go func() {
			time.Sleep(time.Second)
			assert.NoError(t, k.Unlock(context.Background()))
		}()
		require.NoError(t, l.Shutdown(t.Context()))
		wg.Wait()
	})
}

func TestThousandsOfCallersThatGiveUpLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		var wg sync.WaitGroup
		for i := range 2000 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i*7919%2000)*time.Millisecond)
				defer cancel()
				k, err := l.Lock(ctx, fmt.Sprint("r", i%3), 100*time.Millisecond, rig.WaitForever)
				if err == nil && i%2 == 0 { // others never unlock
					assert.NoError(t, k.Unlock(t.Context()))
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		assert.Zero(t, seam.Queues(l))
		require.NoError(t, l.Shutdown(t.Context()))
	})
}
