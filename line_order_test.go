package redlock_test

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
)

// The line of Lockers that the gate of a resource keeps, each in a process of
// its own.

// inTurn waits for a lock without an end.
var inTurn = redlock.WithRetry(redlock.Forever, 400*time.Millisecond)

const lineOfA, nextOfA = "{a}:redlock:line", "{a}:redlock:next"

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
	err := l.With(t.Context(), "a", ttl, func(context.Context, *redlock.Lock) error {
		o.add(who)
		time.Sleep(d)
		return nil
	}, nil, inTurn)
	assert.NoError(t, err)
}

// gateOf returns the node that keeps the line of "a", in which somebody waits.
func gateOf(t *testing.T, nodes []*node) *node {
	t.Helper()
	for _, n := range nodes {
		if n.Exists(lineOfA) {
			return n
		}
	}
	require.Fail(t, "nobody waits in line")
	return nil
}

// waiting returns how many Lockers stand in the line for "a".
func waiting(t *testing.T, nodes []*node) int {
	t.Helper()
	all := 0
	for _, n := range nodes {
		if n.Exists(lineOfA) {
			members, err := n.ZMembers(lineOfA)
			require.NoError(t, err)
			all += len(members)
		}
	}
	return all
}

// requireNoLine requires that nothing is left of the line for "a".
func requireNoLine(t *testing.T, nodes []*node) {
	t.Helper()
	synctest.Wait()
	time.Sleep(time.Second) // a reservation lasts no longer
	for i, n := range nodes {
		assert.Empty(t, n.Keys(), "node %d", i)
	}
}

func TestLockersAreServedInTheOrderInWhichTheyCame(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5} {
		t.Run(fmt.Sprint(n, " nodes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, n)
				holder := newLocker(t, nodes)
				warmUp(t, holder)
				k := lock(t, holder)
				var all sync.WaitGroup
				var order turnLog
				for i := range 20 {
					l := newLocker(t, nodes)
					all.Go(func() { order.turn(t, l, i, time.Millisecond) })
					time.Sleep(10 * time.Millisecond)
				}
				require.Equal(t, 20, waiting(t, nodes))
				start := time.Now()
				require.NoError(t, k.Unlock(t.Context()))
				all.Wait()
				assert.True(t, slices.IsSorted(order.who), "%v", order.who)
				assert.Less(t, time.Since(start), 50*time.Millisecond, "nobody pauses for long")
				requireNoLine(t, nodes)
			})
		})
	}
}

func TestContendersThatListTheNodesInAnotherOrderStandInTheSameLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 5)
		k := lock(t, newLocker(t, nodes))
		var all sync.WaitGroup
		var order turnLog
		for i := range 10 {
			l := newLocker(t, nodes)
			all.Go(func() { order.turn(t, l, i, time.Millisecond) })
			time.Sleep(10 * time.Millisecond)
			nodes = append(nodes[1:], nodes[0])
		}
		gateOf(t, nodes)
		require.Equal(t, 10, waiting(t, nodes))
		require.NoError(t, k.Unlock(t.Context()))
		all.Wait()
		assert.True(t, slices.IsSorted(order.who), "%v", order.who)
	})
}

func TestAReleaseCallsTheNextOneOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k := lock(t, newLocker(t, nodes))
		var all sync.WaitGroup
		var order turnLog
		for i := range 100 {
			l := newLocker(t, nodes)
			all.Go(func() { order.turn(t, l, i, 0) })
		}
		time.Sleep(time.Second)
		require.Equal(t, 100, waiting(t, nodes))
		before := commandsOf(nodes)
		require.NoError(t, k.Unlock(t.Context()))
		all.Wait()
		synctest.Wait()
		assert.LessOrEqual(t, commandsOf(nodes)-before, 3+100*8, "an acquire and a release each, and nodes asked again whose release is under way")
	})
}

func commandsOf(nodes []*node) int {
	all := 0
	for _, n := range nodes {
		all += n.commands()
	}
	return all
}

func TestAWaiterThatOnlyTheGateHasGrantedKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k := lock(t, newLocker(t, nodes))
		var all sync.WaitGroup
		var order turnLog
		for i := range 2 {
			l := newLocker(t, nodes)
			all.Go(func() { order.turn(t, l, i, 0) })
			time.Sleep(10 * time.Millisecond)
		}
		gate := gateOf(t, nodes)
		came, err := gate.ZMembers(lineOfA)
		require.NoError(t, err)
		// The gate loses the lock and lets those try who wait; the others refuse.
		gate.Del("a")
		tried := 0
		for range 1000 {
			time.Sleep(time.Millisecond)
			waiting, err := gate.ZMembers(lineOfA)
			if len(waiting) == len(came) {
				require.NoError(t, err)
				require.Equal(t, came, waiting, "in the order in which they came")
			} else {
				tried++
			}
		}
		assert.Positive(t, tried, "somebody has left the line and come back")
		require.NoError(t, k.Unlock(t.Context()))
		all.Wait()
		assert.ElementsMatch(t, []int{0, 1}, order.who)
	})
}

func TestTryLockStandsInNoLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k := lock(t, newLocker(t, nodes))
		l := newLocker(t, nodes)
		for range 10 {
			_, err := l.TryLock(t.Context(), "a", ttl)
			require.ErrorIs(t, err, redlock.ErrContended)
			_, err = l.Lock(t.Context(), "a", ttl, redlock.WithRetry(0, 0))
			require.ErrorIs(t, err, redlock.ErrContended)
			synctest.Wait()
			require.Zero(t, waiting(t, nodes))
			require.Empty(t, listening(nodes))
		}
		require.NoError(t, k.Unlock(t.Context()))
		requireNoLine(t, nodes)
	})
}

// listening returns the channels that somebody listens to.
func listening(nodes []*node) []string {
	var all []string
	for _, n := range nodes {
		all = append(all, n.PubSubChannels("*")...)
	}
	return all
}

func TestANewcomerDoesNotOvertakeTheOneThatWasCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		require.NoError(t, nodes[0].Set(nextOfA, "somebody"))
		nodes[0].SetTTL(nextOfA, 30*time.Millisecond)
		l := newLocker(t, nodes)
		_, err := l.TryLock(t.Context(), "a", ttl)
		require.ErrorIs(t, err, redlock.ErrContended)
		start := time.Now()
		k := lock(t, l)
		assert.InDelta(t, 30*time.Millisecond, time.Since(start), float64(5*time.Millisecond), "who was called does not come")
		require.NoError(t, k.Unlock(t.Context()))
		requireNoLine(t, nodes)
	})
}

func TestALockThatAMajorityGrantsIsGivenBackWhereSomebodyElseWasCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k := lock(t, newLocker(t, nodes))
		var all sync.WaitGroup
		var order turnLog
		l := newLocker(t, nodes)
		all.Go(func() { order.turn(t, l, 0, 0) })
		time.Sleep(100 * time.Millisecond)
		gate := gateOf(t, nodes)
		require.NoError(t, k.Unlock(t.Context()))
		all.Wait()
		synctest.Wait() // the release has come to the gate too
		require.NoError(t, gate.Set(nextOfA, "somebody"))
		gate.SetTTL(nextOfA, 500*time.Millisecond)
		for _, n := range nodes {
			if n != gate {
				n.slow(time.Millisecond) // so that the gate's answer is there in time
			}
		}
		_, err := newLocker(t, nodes).TryLock(t.Context(), "a", ttl)
		require.ErrorIs(t, err, redlock.ErrContended)
		requireNoLine(t, nodes)
	})
}

func TestWaitingLockersAreBoundedAsWithoutALine(t *testing.T) {
	for name, c := range map[string]struct {
		opts     []redlock.LockOption
		from, to time.Duration
	}{
		"retries":           {[]redlock.LockOption{redlock.WithRetry(5, 100*time.Millisecond), redlock.WithJitter(0)}, 500 * time.Millisecond, 500 * time.Millisecond},
		"retries, jittered": {[]redlock.LockOption{redlock.WithRetry(5, 100*time.Millisecond)}, 0, time.Second},
		"no pauses":         {[]redlock.LockOption{redlock.WithRetry(5, 0)}, 0, 0},
		"max wait":          {[]redlock.LockOption{redlock.WithMaxWait(700 * time.Millisecond)}, 700 * time.Millisecond, 700 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				k, l := lock(t, newLocker(t, nodes)), newLocker(t, nodes)
				start := time.Now()
				_, err := l.Lock(t.Context(), "a", ttl, c.opts...)
				require.ErrorIs(t, err, redlock.ErrContended)
				assert.GreaterOrEqual(t, time.Since(start), c.from)
				assert.LessOrEqual(t, time.Since(start), c.to)
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				start = time.Now()
				_, err = l.Lock(ctx, "a", ttl, inTurn)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorIs(t, err, redlock.ErrContended)
				assert.Equal(t, 300*time.Millisecond, time.Since(start))
				synctest.Wait()
				assert.Zero(t, waiting(t, nodes))
				require.NoError(t, k.Unlock(t.Context()))
				requireNoLine(t, nodes)
			})
		})
	}
}

func TestWithoutWaitingLineNothingIsKeptBesideTheResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k := lock(t, newLocker(t, nodes))
		l := newLocker(t, nodes, redlock.WithoutWaitingLine())
		var all sync.WaitGroup
		var order turnLog
		all.Go(func() { order.turn(t, l, 0, 0) })
		for range 100 {
			time.Sleep(10 * time.Millisecond)
			require.Zero(t, waiting(t, nodes))
			require.Empty(t, listening(nodes))
		}
		require.NoError(t, k.Unlock(t.Context()))
		all.Wait()
		requireNoLine(t, nodes)
	})
}

func TestAResourceWhoseNameCannotShareASlotWithItsLineHasNone(t *testing.T) {
	for _, resource := range []string{"a}", "{}a", "}{"} {
		synctest.Test(t, func(t *testing.T) {
			nodes := newNodes(t, 3)
			k, err := newLocker(t, nodes).Lock(t.Context(), resource, ttl)
			require.NoError(t, err)
			l := newLocker(t, nodes)
			done := make(chan struct{})
			go func() {
				defer close(done)
				k, err := l.Lock(t.Context(), resource, ttl, inTurn)
				assert.NoError(t, err)
				assert.NoError(t, k.Unlock(t.Context()))
			}()
			time.Sleep(time.Second)
			for _, n := range nodes {
				require.Subset(t, []string{resource}, n.Keys())
			}
			require.Empty(t, listening(nodes))
			require.NoError(t, k.Unlock(t.Context()))
			<-done
			requireNoLine(t, nodes)
		})
	}
}

// A tagged resource and its line have one hash tag; one without becomes it.
func TestTheLineHasTheHashTagOfItsResource(t *testing.T) {
	for resource, line := range map[string]string{"b": "{b}:", "{b}c": "{b}c:", "c{b}": "c{b}:", "{b": "{{b}:"} {
		synctest.Test(t, func(t *testing.T) {
			nodes := newNodes(t, 1)
			k, err := newLocker(t, nodes).Lock(t.Context(), resource, ttl)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			l := newLocker(t, nodes)
			go func() { _, _ = l.Lock(ctx, resource, ttl, inTurn) }()
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
		nodes := newNodes(t, 1)
		newDeaf := func() *redlock.Locker {
			l, err := redlock.New([]redlock.Client{deafClient{nodes[0].client}})
			require.NoError(t, err)
			return l
		}
		k := lock(t, newDeaf())
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
		requireNoLine(t, nodes)
	})
}
