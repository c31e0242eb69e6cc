package line_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
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

// The line of Lockers that the gate of a resource keeps, each in a process of
// its own.

// A turnLog is who had the lock, in order.
type turnLog struct {
	mu   sync.Mutex
	who  []int
	when []time.Time
}

func (o *turnLog) add(who int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.who, o.when = append(o.who, who), append(o.when, time.Now())
}

// turn has l take the lock once, in turn, for d.
func (o *turnLog) turn(t *testing.T, l *redlock.Locker, who int, d time.Duration) {
	t.Helper()
	err := l.With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error {
		o.add(who)
		time.Sleep(d)
		return nil
	}, nil, rig.InTurn)
	assert.NoError(t, err)
}

func TestLockersAreServedInTheOrderInWhichTheyCame(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5} {
		t.Run(fmt.Sprint(n, " nodes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, n)
				holder := rig.NewLocker(t, nodes)
				rig.WarmUp(t, holder)
				k := rig.Lock(t, holder)
				var all sync.WaitGroup
				var order turnLog
				for i := range 20 {
					l := rig.NewLocker(t, nodes)
					all.Go(func() { order.turn(t, l, i, time.Millisecond) })
					time.Sleep(10 * time.Millisecond)
				}
				require.Equal(t, 20, rig.Waiting(t, nodes))
				start := time.Now()
				require.NoError(t, k.Unlock(t.Context()))
				all.Wait()
				assert.True(t, slices.IsSorted(order.who), "%v", order.who)
				assert.Less(t, time.Since(start), 50*time.Millisecond, "nobody pauses for long")
				rig.RequireNoLine(t, nodes)
			})
		})
	}
}

func TestContendersThatListTheNodesInAnotherOrderStandInTheSameLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 5)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		var all sync.WaitGroup
		var order turnLog
		for i := range 10 {
			l := rig.NewLocker(t, nodes)
			all.Go(func() { order.turn(t, l, i, time.Millisecond) })
			time.Sleep(10 * time.Millisecond)
			nodes = append(nodes[1:], nodes[0])
		}
		rig.GateOf(t, nodes)
		require.Equal(t, 10, rig.Waiting(t, nodes))
		require.NoError(t, k.Unlock(t.Context()))
		all.Wait()
		assert.True(t, slices.IsSorted(order.who), "%v", order.who)
	})
}

func TestAReleaseCallsTheNextOneOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		var all sync.WaitGroup
		var order turnLog
		for i := range 100 {
			l := rig.NewLocker(t, nodes)
			all.Go(func() { order.turn(t, l, i, 0) })
		}
		time.Sleep(time.Second)
		require.Equal(t, 100, rig.Waiting(t, nodes))
		before := commandsOf(nodes)
		require.NoError(t, k.Unlock(t.Context()))
		all.Wait()
		synctest.Wait()
		assert.LessOrEqual(t, commandsOf(nodes)-before, 3+100*8, "an acquire and a release each, and nodes asked again whose release is under way")
	})
}

func commandsOf(nodes []*rig.Node) int {
	all := 0
	for _, n := range nodes {
		all += n.Commands()
	}
	return all
}

func TestWaitersLeaveAGateThatHasLostTheLockToItsHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		var all sync.WaitGroup
		var order turnLog
		for i := range 2 {
			l := rig.NewLocker(t, nodes)
			all.Go(func() { order.turn(t, l, i, 0) })
			time.Sleep(10 * time.Millisecond)
		}
		gate := rig.GateOf(t, nodes)
		came, err := gate.ZMembers(rig.LineOfA)
		require.NoError(t, err)
		gate.Del("a")
		for range 1000 {
			time.Sleep(time.Millisecond)
			waiting, err := gate.ZMembers(rig.LineOfA)
			require.NoError(t, err)
			require.Equal(t, came, waiting, "in the order in which they came")
			require.False(t, gate.Exists("a"))
		}
		require.NoError(t, k.Unlock(t.Context()))
		all.Wait()
		assert.ElementsMatch(t, []int{0, 1}, order.who)
	})
}

func TestTryLockStandsInNoLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		l := rig.NewLocker(t, nodes)
		for range 10 {
			_, err := l.TryLock(t.Context(), "a", rig.TTL)
			require.ErrorIs(t, err, redlock.ErrContended)
			_, err = l.Lock(t.Context(), "a", rig.TTL, redlock.WithRetry(0, 0))
			require.ErrorIs(t, err, redlock.ErrContended)
			synctest.Wait()
			require.Zero(t, rig.Waiting(t, nodes))
			require.Empty(t, rig.Listening(nodes))
		}
		require.NoError(t, k.Unlock(t.Context()))
		rig.RequireNoLine(t, nodes)
	})
}

func TestANewcomerDoesNotOvertakeTheOneThatWasCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		for key, is := range map[string]string{rig.NextOfA: "somebody", "a": "redlock:next"} { // as a release leaves them
			require.NoError(t, nodes[0].Set(key, is))
			nodes[0].SetTTL(key, 30*time.Millisecond)
		}
		l := rig.NewLocker(t, nodes)
		_, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		start := time.Now()
		k := rig.Lock(t, l)
		assert.InDelta(t, 30*time.Millisecond, time.Since(start), float64(5*time.Millisecond), "who was called does not come")
		require.NoError(t, k.Unlock(t.Context()))
		rig.RequireNoLine(t, nodes)
	})
}

func TestALockThatAMajorityGrantsIsGivenBackWhereSomebodyElseWasCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		var all sync.WaitGroup
		var order turnLog
		l := rig.NewLocker(t, nodes)
		all.Go(func() { order.turn(t, l, 0, 0) })
		time.Sleep(100 * time.Millisecond)
		gate := rig.GateOf(t, nodes)
		require.NoError(t, k.Unlock(t.Context()))
		all.Wait()
		synctest.Wait() // the release has come to the gate too
		require.NoError(t, gate.Set(rig.NextOfA, "somebody"))
		gate.SetTTL(rig.NextOfA, 500*time.Millisecond)
		for _, n := range nodes {
			if n != gate {
				n.Slow(time.Millisecond) // so that the gate's answer is there in time
			}
		}
		_, err := rig.NewLocker(t, nodes).TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		rig.RequireNoLine(t, nodes)
	})
}

func TestWaitingLockersAreBoundedAsWithoutALine(t *testing.T) {
	for name, c := range map[string]struct {
		opts     []redlock.LockOption
		from, to time.Duration
	}{
		"retries":           {[]redlock.LockOption{redlock.WithRetry(5, 100*time.Millisecond), redlock.WithJitter(0)}, 500 * time.Millisecond, 500 * time.Millisecond},
		"retries, jittered": {[]redlock.LockOption{redlock.WithRetry(5, 100*time.Millisecond)}, 500 * time.Millisecond, 500 * time.Millisecond},
		"no pauses":         {[]redlock.LockOption{redlock.WithRetry(5, 0)}, 5 * time.Millisecond, 5 * time.Millisecond},
		"max wait":          {[]redlock.LockOption{redlock.WithMaxWait(700 * time.Millisecond)}, 700 * time.Millisecond, 700 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				k, l := rig.Lock(t, rig.NewLocker(t, nodes)), rig.NewLocker(t, nodes)
				start := time.Now()
				_, err := l.Lock(t.Context(), "a", rig.TTL, c.opts...)
				require.ErrorIs(t, err, redlock.ErrContended)
				assert.GreaterOrEqual(t, time.Since(start), c.from)
				assert.LessOrEqual(t, time.Since(start), c.to)
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				start = time.Now()
				_, err = l.Lock(ctx, "a", rig.TTL, rig.InTurn)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorIs(t, err, redlock.ErrContended)
				assert.Equal(t, 300*time.Millisecond, time.Since(start))
				synctest.Wait()
				assert.Zero(t, rig.Waiting(t, nodes))
				require.NoError(t, k.Unlock(t.Context()))
				rig.RequireNoLine(t, nodes)
			})
		})
	}
}

func TestWithoutWaitingLineNothingIsKeptBesideTheResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		l := rig.NewLocker(t, nodes, redlock.WithoutWaitingLine())
		var all sync.WaitGroup
		var order turnLog
		all.Go(func() { order.turn(t, l, 0, 0) })
		for range 100 {
			time.Sleep(10 * time.Millisecond)
			require.Zero(t, rig.Waiting(t, nodes))
			require.Empty(t, rig.Listening(nodes))
		}
		require.NoError(t, k.Unlock(t.Context()))
		all.Wait()
		rig.RequireNoLine(t, nodes)
	})
}

func TestAResourceWhoseNameCannotShareASlotWithItsLineHasNone(t *testing.T) {
	for _, resource := range []string{"a}", "{}a", "}{"} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 3)
			k, err := rig.NewLocker(t, nodes).Lock(t.Context(), resource, rig.TTL)
			require.NoError(t, err)
			l := rig.NewLocker(t, nodes)
			done := make(chan struct{})
			go func() {
				defer close(done)
				k, err := l.Lock(t.Context(), resource, rig.TTL, rig.InTurn)
				assert.NoError(t, err)
				assert.NoError(t, k.Unlock(t.Context()))
			}()
			time.Sleep(time.Second)
			for _, n := range nodes {
				require.Subset(t, []string{resource}, n.Keys())
			}
			require.Empty(t, rig.Listening(nodes))
			require.NoError(t, k.Unlock(t.Context()))
			<-done
			rig.RequireNoLine(t, nodes)
		})
	}
}

// A tagged resource and its line have one hash tag; one without becomes it.
func TestTheLineHasTheHashTagOfItsResource(t *testing.T) {
	for resource, line := range map[string]string{"b": "{b}:", "{b}c": "{b}c:", "c{b}": "c{b}:", "{b": "{{b}:"} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 1)
			k, err := rig.NewLocker(t, nodes).Lock(t.Context(), resource, rig.TTL)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			l := rig.NewLocker(t, nodes)
			go func() { _, _ = l.Lock(ctx, resource, rig.TTL, rig.InTurn) }()
			time.Sleep(100 * time.Millisecond)
			assert.Contains(t, nodes[0].Keys(), line+"redlock:line")
			<-ctx.Done()
			require.NoError(t, k.Unlock(t.Context()))
		})
	}
}

// A deafClient can only process commands.
type deafClient struct{ client *redis.Client }

func (d deafClient) Process(ctx context.Context, cmd redis.Cmder) error {
	return d.client.Process(ctx, cmd)
}

func TestANodeWhoseClientCannotListenHasNoLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		newDeaf := func() *redlock.Locker {
			l, err := redlock.New([]redlock.Client{deafClient{nodes[0].Client}})
			require.NoError(t, err)
			return l
		}
		k := rig.Lock(t, newDeaf())
		var all sync.WaitGroup
		var order turnLog
		for i := range 3 {
			l := newDeaf()
			all.Go(func() { order.turn(t, l, i, 0) })
		}
		time.Sleep(100 * time.Millisecond)
		for _, key := range nodes[0].Keys() {
			assert.False(t, strings.Contains(key, "redlock"), key)
		}
		require.NoError(t, k.Unlock(t.Context()))
		all.Wait()
		assert.Len(t, order.who, 3)
		rig.RequireNoLine(t, nodes)
	})
}
