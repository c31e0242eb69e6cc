package extend_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A manual Extend to a much shorter TTL, while an automatic extension pauses
// between two rounds, is followed by automatic extensions in time.
func TestAnExtendToAShortTTLDuringThePauseOfAnAutomaticOneIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k, ctx := rig.Keep(t, rig.NewLocker(t, nodes), 60*time.Second)
		nodes[1].SetError("LOADING")
		nodes[2].SetError("LOADING")
		time.Sleep(20*time.Second + 100*time.Millisecond) // a round has failed; the next one is at 23 s
		nodes[1].SetError("")
		nodes[2].SetError("")
		require.NoError(t, k.Extend(t.Context(), time.Second))
		time.Sleep(10 * time.Second)
		require.NoError(t, ctx.Err(), "%v", context.Cause(ctx))
		require.NoError(t, k.Unlock(t.Context()))
	})
}

// A node that lost the value after it had agreed to a round must not count
// because that round succeeds late.
func TestANodeThatLostTheValueBeforeALateSuccessDoesNotCountAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k, ctx := rig.Keep(t, rig.NewLocker(t, nodes), 30*time.Second)
		rival, err := redlock.New([]*redis.Client{directClient(t, nodes[0], 1), directClient(t, nodes[1], 2), directClient(t, nodes[2], 3)})
		require.NoError(t, err)

		nodes[1].Freeze()
		nodes[2].Freeze()
		time.Sleep(11200 * time.Millisecond) // the round of 10 s: node 0 agreed, given up at 11 s
		nodes[0].FlushAll()                  // node 0 restarts empty
		time.Sleep(1400 * time.Millisecond)  // the round of 11.75 or 12.5 s: node 0 says gone
		nodes[0].Slow(2 * time.Second)       // what arms node 0 again takes a while
		nodes[1].Thaw()
		nodes[2].Thaw() // nodes 1 and 2 agree, late, to the round of 10 s
		time.Sleep(time.Second)
		require.True(t, k.Valid())
		by := time.Until(k.Until()) - 30*time.Second + 302*time.Millisecond + 13600*time.Millisecond
		require.Contains(t, []time.Duration{10 * time.Second, 11750 * time.Millisecond, 12500 * time.Millisecond}, by, "extended by the round of 10 s, or the one after it")

		// Node 1 restarts empty: the lock stands on node 2 only, and another one
		// gets it, until just before the value comes back to node 0.
		nodes[1].FlushAll()
		other, err := rival.TryLock(t.Context(), "a", time.Minute)
		require.NoError(t, err, "the lock is gone from a majority")
		require.NoError(t, other.Unlock(t.Context()))
		nodes[1].SetError("LOADING") // it tells nothing from here on
		until := k.Until()
		time.Sleep(time.Until(until) + time.Millisecond)
		assert.Equal(t, until, k.Until(), "an extension succeeded across the gap: node 0 was counted")
		assert.Error(t, ctx.Err())
		nodes[1].SetError("")
		nodes[0].Slow(0)
	})
}

// directClient goes to the node without what slows it.
func directClient(t *testing.T, n *rig.Node, i int) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{
		Addr: fmt.Sprintf("127.0.1.%d:6379", i), PoolSize: 100,
		Dialer:                   func(context.Context, string, string) (net.Conn, error) { return n.Dial() },
		MaintNotificationsConfig: n.Client.Options().MaintNotificationsConfig,
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A majority that is back before the validity ends is asked at once, also if the
// nodes were frozen one after the other.
func TestNodesFrozenOneAfterTheOtherAreAskedAsSoonAsTheyAreBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k, ctx := rig.Keep(t, rig.NewLocker(t, nodes), 15*time.Second)
		start := time.Now()
		time.Sleep(9 * time.Second)
		nodes[1].Freeze()
		time.Sleep(2 * time.Second) // extended at 10 s by nodes 0 and 2
		nodes[2].Freeze()
		time.Sleep(time.Until(start.Add(19800 * time.Millisecond))) // between two rounds; node 1 has its key until 20 s
		until := k.Until()
		nodes[1].Thaw()
		synctest.Wait()
		assert.True(t, k.Until().After(until), "extended at once")
		require.NoError(t, ctx.Err(), "%v", context.Cause(ctx))
		nodes[2].Thaw()
		require.NoError(t, k.Unlock(t.Context()))
	})
}

// The same where a manual Extend has left its commands at the frozen nodes.
func TestNodesFrozenUnderAManualExtendThatComeBackInTimeCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k, ctx := rig.Keep(t, rig.NewLocker(t, nodes, redlock.WithRetry(0, 0)), 9*time.Second)
		time.Sleep(2 * time.Second)
		nodes[1].Freeze()
		nodes[2].Freeze()
		require.ErrorIs(t, k.Extend(t.Context(), 9*time.Second), redlock.ErrNoQuorum)
		time.Sleep(time.Until(k.Until()) - 30*time.Millisecond) // after the round of 8.85 s
		nodes[1].Thaw()
		nodes[2].Thaw()
		time.Sleep(time.Second)
		require.NoError(t, ctx.Err(), "%v", context.Cause(ctx))
		require.NoError(t, k.Unlock(t.Context()))
	})
}

// Votes that decide late are heeded while a later round is waiting.
func TestALateSuccessIsHeededWhileALaterRoundWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k, ctx := rig.Keep(t, rig.NewLocker(t, nodes), 15*time.Second)
		nodes[1].Freeze()
		nodes[2].SetError("LOADING")
		// Node 0 agrees to the round of 5 s, node 1 hangs in it, node 2 fails.
		time.Sleep(time.Until(k.Until()) - 1200*time.Millisecond)
		nodes[2].SetError("")
		nodes[2].Freeze() // the next round waits for it
		time.Sleep(700 * time.Millisecond)
		nodes[1].Thaw() // with node 0, a majority has agreed to the round of 5 s
		time.Sleep(time.Second)
		require.NoError(t, ctx.Err(), "%v", context.Cause(ctx))
		nodes[2].Thaw()
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestALossThatLateVotesTellIsToldWhileALaterRoundWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 5)
		_, ctx := rig.Keep(t, rig.NewLocker(t, nodes), 15*time.Second, redlock.WithNodeTimeout(3*time.Second))
		for i, n := range nodes {
			if i < 2 {
				n.Freeze()
			} else {
				n.SetError("LOADING")
			}
		}
		time.Sleep(8100 * time.Millisecond) // the round of 5 s was given up at 8 s, or before
		for _, n := range nodes[2:] {
			n.SetError("")
			n.Freeze() // the next round waits for them
		}
		time.Sleep(1200 * time.Millisecond)
		start := time.Now()
		for _, n := range nodes[:3] {
			n.FlushAll()
			n.Thaw() // three of five say that it is gone
		}
		<-ctx.Done()
		assert.Less(t, time.Since(start), time.Millisecond)
		nodes[3].Thaw()
		nodes[4].Thaw()
	})
}

// A lock that was dropped with its contexts is left to run out.
func TestADroppedLockIsNotExtendedAnyMore(t *testing.T) {
	for name, take := range map[string]func(*testing.T, *redlock.Locker){
		"alone": func(t *testing.T, l *redlock.Locker) {
			t.Helper()
			mustKeep(t, l)
		},
		"with a context that was cancelled": func(t *testing.T, l *redlock.Locker) {
			t.Helper()
			_, cancel := mustKeep(t, l).Context(t.Context())
			cancel()
		},
		"with a context whose parent has ended": func(t *testing.T, l *redlock.Locker) {
			t.Helper()
			parent, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			t.Cleanup(cancel)
			_, _ = mustKeep(t, l).Context(parent)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l := rig.NewLocker(t, nodes)
				take(t, l)
				for range 30 {
					runtime.GC()
					for range 100 {
						runtime.Gosched()
					}
					time.Sleep(time.Second)
				}
				assert.False(t, nodes[0].Exists("a"))
			})
		})
	}
}

// A job has its lock by value.
type job struct{ redlock.Lock }

func TestACopyOfALockKeepsItExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		j := func() *job { return &job{*mustKeep(t, l)} }()
		for range 30 {
			runtime.GC()
			for range 100 {
				runtime.Gosched()
			}
			time.Sleep(time.Second)
		}
		assert.True(t, j.Valid())
		require.NoError(t, j.Unlock(t.Context()))
		rig.RequireFree(t, nodes...)
	})
}

func mustKeep(t *testing.T, l *redlock.Locker) *redlock.Lock {
	t.Helper()
	k, err := l.Lock(t.Context(), "a", 3*time.Second, redlock.WithAutoExtend(redlock.Forever))
	require.NoError(t, err)
	return k
}

// An error of Extend tells of the rounds that it made.
func TestAnExtendThatItsContextEndsWhileItWaitsForItsTurnTellsItsRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithRetry(10, 500*time.Millisecond), redlock.WithJitter(0))
		k, _ := rig.Keep(t, l, 15*time.Second)
		nodes[1].SetError("LOADING")
		nodes[2].SetError("LOADING")
		time.Sleep(4900 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			time.Sleep(50 * time.Millisecond)
			nodes[0].Freeze() // the automatic round of 5 s takes the turn for a second
			nodes[1].SetError("")
			nodes[1].Freeze()
		})
		err := k.Extend(ctx, 15*time.Second)
		wg.Wait()
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, 1, e.Attempts, "%v", err)
		nodes[0].Thaw()
		nodes[1].Thaw()
		nodes[2].SetError("")
		require.NoError(t, k.Unlock(t.Context()))
	})
}
