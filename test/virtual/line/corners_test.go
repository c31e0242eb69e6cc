package line_test

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
	"github.com/b0401464/redlock/test/rig"
)

// Corners of the line, in one Locker and between them.

func TestWhereMostNodesAreGoneNobodyIsToldForLongThatSomebodyElseHasTheLock(t *testing.T) {
	oneTry := func(ctx context.Context, l *redlock.Locker) error {
		_, err := l.TryLock(ctx, "a", rig.TTL)
		return err
	}
	fewTries := func(ctx context.Context, l *redlock.Locker) error {
		_, err := l.Lock(ctx, "a", rig.TTL, redlock.WithRetry(5, 200*time.Millisecond), redlock.WithJitter(0))
		return err
	}
	for name, try := range map[string]func(context.Context, *redlock.Locker) error{"one try": oneTry, "a few tries": fewTries} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				_, others := rig.FindGate(t, nodes)
				_ = rig.Lock(t, rig.NewLocker(t, nodes))
				l := rig.NewLocker(t, nodes)
				require.ErrorIs(t, try(t.Context(), l), redlock.ErrContended)
				for _, n := range others {
					n.Stop()
				}
				for start := time.Now(); time.Since(start) < time.Second; time.Sleep(20 * time.Millisecond) {
					_ = try(t.Context(), l) // the gate, which alone is asked, still says that somebody has it
				}
				for range 50 {
					require.ErrorIs(t, try(t.Context(), l), redlock.ErrNoQuorum)
					time.Sleep(20 * time.Millisecond)
				}
			})
		})
	}
}

func TestALineExpiresWhateverItsWaitersDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		gate, others := rig.FindGate(t, nodes)
		for _, n := range others { // the gate has lost the key
			require.NoError(t, n.Set("a", "somebody"))
		}
		p := rig.NewProcess(t, nodes)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = p.Locker.Lock(ctx, "a", rig.TTL, rig.InTurn)
		}()
		immortal := rig.Poll(10*time.Second, func() bool { return gate.Exists(rig.LineOfA) && gate.TTL(rig.LineOfA) == 0 })
		p.Die()
		cancel()
		<-done
		assert.NoError(t, p.Locker.Shutdown(t.Context()))
		time.Sleep(24 * time.Hour)
		assert.False(t, immortal, "the line has no expiry")
		assert.False(t, gate.Exists(rig.LineOfA), "a day after the only waiter has died")
	})
}

func TestACallerThatPollsOftenIsNotHeldUpByOneBeforeItThatPollsSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		l := rig.NewLocker(t, nodes, redlock.WithoutWaitingLine())
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			_, _ = l.Lock(ctx, "a", rig.TTL, redlock.WithRetry(redlock.Forever, time.Minute), redlock.WithJitter(0))
		})
		synctest.Wait()
		time.AfterFunc(100*time.Millisecond, func() { assert.NoError(t, k.Unlock(t.Context())) })
		k2, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithRetry(redlock.Forever, 10*time.Millisecond), redlock.WithMaxWait(30*time.Second))
		assert.NoError(t, err, "nobody has had the lock for 29.9 s")
		cancel()
		all.Wait()
		_ = k2.Unlock(t.Context())
	})
}

func TestACallerKeepsThePlaceOfItsLockerWhenTheOneBeforeItGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k, l := rig.Lock(t, rig.NewLocker(t, nodes)), rig.NewLocker(t, nodes)
		var all sync.WaitGroup
		var order turnLog
		all.Go(func() {
			_, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(time.Second))
			assert.ErrorIs(t, err, redlock.ErrContended)
		})
		time.Sleep(10 * time.Millisecond)
		all.Go(func() { order.turn(t, l, 0, 0) })
		for i := range 5 {
			time.Sleep(10 * time.Millisecond)
			all.Go(func() { order.turn(t, rig.NewLocker(t, nodes), i+1, 0) })
		}
		time.Sleep(1500 * time.Millisecond)
		require.NoError(t, k.Unlock(t.Context()))
		all.Wait()
		assert.Equal(t, []int{0, 1, 2, 3, 4, 5}, order.who, "in the order in which they came")
	})
}

func TestALockerCanLockAgainAtOnceWhereOnlyTheDeadWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		gate, _ := rig.FindGate(t, nodes)
		l := rig.NewLocker(t, nodes)
		k := rig.Lock(t, l)
		for i := range 3 {
			_, err := gate.ZAdd(rig.LineOfA, float64(i), fmt.Sprint("dead", i))
			require.NoError(t, err)
		}
		require.NoError(t, k.Unlock(t.Context()))
		k, err := l.TryLock(t.Context(), "a", rig.TTL)
		assert.NoError(t, err, "nobody listens for those who wait")
		_ = k.Unlock(t.Context())
	})
}
