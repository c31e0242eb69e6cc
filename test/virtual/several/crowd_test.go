package several_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// besideCallers has callers of l wait for set while fn runs, on healthy nodes that take 10 ms
// for a step: what docs/several.md says that a thousand resources take.
func besideCallers(t *testing.T, callers int, set []string, fn func(t *testing.T, l *redlock.Locker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		for _, n := range nodes {
			n.Slow(10 * time.Millisecond)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		time.AfterFunc(100*time.Millisecond, func() {
			for range callers {
				wg.Go(func() { _, _ = l.LockAll(ctx, set, rig.TTL, redlock.WithRetry(redlock.Forever, 400*time.Millisecond)) })
			}
		})
		fn(t, l)
		cancel()
		wg.Wait()
		time.Sleep(time.Minute)
	})
}

func TestAHundredCallersThatWaitKeepNoUnlockFromItsNodes(t *testing.T) {
	besideCallers(t, 100, []string{"a"}, unlocks)
	besideCallers(t, 100, []string{"a", "b"}, unlocks)
}

func unlocks(t *testing.T, l *redlock.Locker) {
	t.Helper()
	k, err := l.Lock(t.Context(), "a", 3*time.Second)
	require.NoError(t, err)
	time.Sleep(1500 * time.Millisecond)
	start := time.Now()
	assert.NoError(t, k.Unlock(t.Context()))
	assert.LessOrEqual(t, time.Since(start), 100*time.Millisecond)
}

// Somebody else has b for the whole time; a comes and goes here.
func TestLocksThatComeAndGoWakeACallerForSeveralABoundedNumberOfTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		rig.LockAll(t, rig.NewLocker(t, nodes), "b")
		for _, n := range nodes {
			n.Slow(time.Millisecond)
		}
		var attempts int
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, err := l.LockAll(t.Context(), []string{"a", "b"}, rig.TTL, redlock.WithRetry(2, time.Second), redlock.WithJitter(0))
			if e, ok := errors.AsType[*redlock.LockError](err); ok {
				attempts = e.Attempts
			}
		}()
		locks := 0
		for over := false; !over; {
			k, err := l.Lock(t.Context(), "a", rig.TTL)
			require.NoError(t, err)
			require.NoError(t, k.Unlock(t.Context()))
			locks++
			select {
			case <-done:
				over = true
			default:
			}
		}
		t.Log(locks, "locks", attempts, "attempts")
		assert.LessOrEqual(t, attempts, 10)
	})
}

// Somebody else has the set all the time, and all nodes answer.
func crowdIsTold(t *testing.T, set ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		k, err := rig.NewLocker(t, nodes).LockAll(t.Context(), set, time.Hour)
		require.NoError(t, err)
		for _, n := range nodes {
			n.Slow(10 * time.Millisecond)
		}
		var wg sync.WaitGroup
		var contended, other atomic.Int64
		var text atomic.Value
		for range 200 {
			wg.Go(func() {
				_, err := l.LockAll(t.Context(), set, 3*time.Second, redlock.WithRetry(5, 400*time.Millisecond))
				if errors.Is(err, redlock.ErrContended) {
					contended.Add(1)
				} else {
					other.Add(1)
					text.Store(err.Error())
				}
			})
		}
		wg.Wait()
		t.Log(contended.Load(), "contended", other.Load(), "other", text.Load())
		assert.Zero(t, other.Load())
		require.NoError(t, k.Unlock(t.Context()))
		time.Sleep(time.Minute)
	})
}

func TestACrowdIsToldThatWhatItWantsIsContended(t *testing.T) {
	crowdIsTold(t, "a")
	crowdIsTold(t, "a", "b")
}

func extendBeside(t *testing.T, callers int, set ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		for _, n := range nodes {
			n.Slow(time.Millisecond)
		}
		k, err := l.Lock(t.Context(), "a", 5*time.Second)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() { _, _ = l.LockAll(ctx, set, rig.TTL, redlock.WithRetry(redlock.Forever, 400*time.Millisecond)) })
		}
		time.Sleep(2 * time.Second)
		start := time.Now()
		err = k.Extend(t.Context(), 5*time.Second)
		t.Log("extend", time.Since(start), err)
		assert.NoError(t, err)
		assert.Less(t, time.Since(start), 100*time.Millisecond)
		start = time.Now()
		err = k.Unlock(t.Context())
		t.Log("unlock", time.Since(start), err)
		assert.NoError(t, err)
		assert.Less(t, time.Since(start), 100*time.Millisecond)
		cancel()
		wg.Wait()
		time.Sleep(time.Minute)
	})
}

func TestCallersThatWaitCostTheHolderNothing(t *testing.T) {
	extendBeside(t, 500, "a")
	extendBeside(t, 500, "a", "b")
}
