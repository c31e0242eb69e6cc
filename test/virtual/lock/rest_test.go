package lock_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

func TestLocksThatAreLeftToRunOutAreNotLookedAtOneByOne(t *testing.T) {
	const locks, seconds = 300, 100
	synctest.Test(t, func(t *testing.T) {
		l := rig.NewLocker(t, rig.New(t, 1))
		var looks atomic.Int64
		seam.SetWallJump(l, func() time.Duration {
			looks.Add(1)
			return 0
		})
		for i := range locks {
			_, err := l.TryLock(t.Context(), strconv.Itoa(i), time.Hour)
			require.NoError(t, err)
		}
		time.Sleep(2 * time.Second)
		looks.Store(0)
		time.Sleep(seconds * time.Second)
		assert.LessOrEqual(t, looks.Load(), int64(10*seconds), "looks at the clock, with %d locks", locks)
		assert.GreaterOrEqual(t, looks.Load(), int64(seconds), "the clock is looked at once a second")
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Zero(t, seam.Queues(l), "nothing is left")
	})
}

// longHeld calls f, for each way to take one, with a lock that has been held for so long that
// little is kept of it.
func longHeld(t *testing.T, f func(t *testing.T, l *redlock.Locker, nodes []*rig.Node, k *redlock.Lock)) {
	t.Helper()
	for name, opts := range map[string][]redlock.LockOption{
		"plain":         nil,
		"without lines": nil,
		"with a token":  {redlock.WithFencing(24 * time.Hour)},
		"with a limit":  {redlock.WithAutoExtend(500 * time.Millisecond)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				var own []redlock.Option
				if name == "without lines" {
					own = append(own, redlock.WithoutWaitingLine())
				}
				l := rig.NewLocker(t, nodes, own...)
				k, err := l.Lock(t.Context(), "a", rig.TTL, opts...)
				require.NoError(t, err)
				value, token := k.Value(), k.Token()
				time.Sleep(2 * time.Second)
				synctest.Wait()
				require.True(t, seam.Rests(k))
				same := func() {
					assert.Equal(t, value, k.Value())
					assert.Equal(t, token, k.Token())
				}
				same()
				f(t, l, nodes, k)
				same()
			})
		})
	}
}

func TestALockThatWasHeldForLongIsUnlockedAndGoesToWhoWaits(t *testing.T) {
	longHeld(t, func(t *testing.T, l *redlock.Locker, nodes []*rig.Node, k *redlock.Lock) {
		t.Helper()
		other := rig.NewLocker(t, nodes)
		next := make(chan error)
		go func() {
			theirs, err := other.Lock(t.Context(), "a", rig.TTL, redlock.WithRetry(5, time.Minute))
			next <- err
			_ = theirs.Unlock(context.Background())
		}()
		time.Sleep(2 * time.Second)
		released := time.Now()
		require.NoError(t, k.Unlock(t.Context()))
		require.NoError(t, <-next)
		if !strings.HasSuffix(t.Name(), "without_lines") {
			assert.Less(t, time.Since(released), 20*time.Millisecond, "it was called")
		}
		again, err := l.Lock(t.Context(), "a", rig.TTL)
		require.NoError(t, err)
		require.NoError(t, again.Unlock(t.Context()))
		require.NoError(t, k.Unlock(t.Context()), "as the first time")
	})
}

func TestALockThatWasHeldForLongIsReleasedOnEveryNodeAtOnce(t *testing.T) {
	longHeld(t, func(t *testing.T, _ *redlock.Locker, nodes []*rig.Node, k *redlock.Lock) {
		t.Helper()
		require.NoError(t, k.Unlock(t.Context()))
		synctest.Wait()
		for _, n := range nodes {
			assert.False(t, n.Exists("a"))
		}
	})
}

func TestALockThatWasHeldForLongIsFoundLost(t *testing.T) {
	longHeld(t, func(t *testing.T, _ *redlock.Locker, nodes []*rig.Node, k *redlock.Lock) {
		t.Helper()
		nodes[0].Del("a")
		nodes[1].Del("a")
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
		synctest.Wait()
		assert.False(t, nodes[2].Exists("a"))
	})
}

func TestALockThatWasHeldForLongIsExtendedAndPutBackWhereItIsGone(t *testing.T) {
	longHeld(t, func(t *testing.T, _ *redlock.Locker, nodes []*rig.Node, k *redlock.Lock) {
		t.Helper()
		nodes[0].Del("a")
		require.NoError(t, k.Extend(t.Context(), time.Minute))
		assert.False(t, seam.Rests(k))
		synctest.Wait()
		for _, n := range nodes {
			value, err := n.Get("a")
			require.NoError(t, err)
			assert.Equal(t, k.Value(), value)
			assert.Equal(t, time.Minute, n.TTL("a"))
		}
		time.Sleep(time.Minute / 2)
		assert.True(t, k.Valid())
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestALockThatWasHeldForLongRunsOutAndNothingIsSent(t *testing.T) {
	longHeld(t, func(t *testing.T, l *redlock.Locker, _ []*rig.Node, k *redlock.Lock) {
		t.Helper()
		time.Sleep(rig.TTL - rig.Drift - 2*time.Second)
		synctest.Wait()
		assert.Zero(t, seam.Queues(l))
		assert.True(t, seam.Rests(k), "nothing is to be sent")
		require.NoError(t, k.Unlock(t.Context()), "the nodes still have it")
	})
}

func TestALockThatWasGrantedLateRestsAndIsRemovedAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		for _, n := range nodes {
			n.Slow(200 * time.Millisecond)
		}
		k, err := l.Lock(t.Context(), "a", rig.TTL)
		require.NoError(t, err)
		for _, n := range nodes {
			n.Slow(0)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.True(t, seam.Rests(k))
		rig.RequireLocked(t, k, nodes...)
		time.Sleep(time.Until(k.Until()) + time.Millisecond)
		rig.RequireFree(t, nodes...)
	})
}

func TestALockThatANodeHasNotAnsweredForKeepsWhatItTakesToRemoveItThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		require.NoError(t, rig.Lock(t, l).Unlock(t.Context()))
		synctest.Wait() // is connected
		nodes[2].Slow(3 * time.Second)
		k, err := l.Lock(t.Context(), "a", rig.TTL)
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		assert.False(t, seam.Rests(k))
		time.Sleep(2 * time.Second)
		nodes[2].Slow(0)
		require.True(t, nodes[2].Exists("a"), "for three seconds more than the lock")
		time.Sleep(rig.TTL - 4*time.Second)
		synctest.Wait()
		assert.False(t, nodes[2].Exists("a"), "granted late, and removed")
	})
}

func TestALockThatANodeHasNotGrantedDoesNotRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		nodes[2].SetError("LOADING Redis is loading the dataset in memory")
		k, err := l.Lock(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		time.Sleep(30 * time.Second)
		assert.False(t, seam.Rests(k), "what that node is going to say is to count")
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestALockCanBeUsedByManyWhileItComesToRest(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			l := rig.NewLocker(t, rig.New(t, 1))
			k := rig.Lock(t, l)
			time.Sleep(time.Second - time.Nanosecond)
			var all sync.WaitGroup
			for _, use := range []func(){
				func() { _ = k.Value() },
				func() { _ = k.Valid() },
				func() { assert.NoError(t, k.Extend(t.Context(), rig.TTL)) },
				func() { assert.NoError(t, k.Extend(t.Context(), rig.TTL)) },
			} {
				all.Go(func() {
					time.Sleep(time.Nanosecond) // as the lock does
					use()
				})
			}
			all.Wait()
			require.NoError(t, k.Unlock(t.Context()))
		})
	}
}
