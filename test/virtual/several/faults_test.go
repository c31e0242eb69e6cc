package several_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestAFrozenMinorityCostsALockOnSeveralNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 5)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		nodes[0].Freeze()
		nodes[3].Freeze()
		start := time.Now()
		k, err := l.LockAll(t.Context(), many(16), rig.TTL)
		require.NoError(t, err)
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
		require.NoError(t, k.Unlock(t.Context()))
		assert.Zero(t, time.Since(start))
		time.Sleep(time.Second) // the nodes are silent by now
		for range 300 {
			k, err := l.LockAll(t.Context(), []string{"a", "b"}, rig.TTL)
			require.NoError(t, err)
			require.NoError(t, k.Unlock(t.Context()))
		}
		assert.Equal(t, time.Second, time.Since(start))
		nodes[0].Thaw()
		nodes[3].Thaw()
		time.Sleep(time.Minute)
		rig.RequireFree(t, nodes...)
	})
}

// The releases of the one before are still on their way to a slow minority.
func TestResourcesCanBeLockedAgainAtOnceInAnotherSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		nodes[1].Slow(20 * time.Millisecond)
		sets := [][]string{{"a", "b"}, {"b", "c"}, {"c"}, {"a", "b", "c"}, {"b"}, {"c", "a"}, {"a", "d"}}
		for range 20 {
			for _, set := range sets {
				k, err := l.LockAll(t.Context(), set, rig.TTL, rig.OneTry)
				require.NoError(t, err, "%v", set)
				require.NoError(t, k.Unlock(t.Context()))
			}
		}
		time.Sleep(time.Minute)
		rig.RequireFree(t, nodes...)
	})
}

func TestWhatAnAbandonedAttemptForSeveralIsGrantedLateIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		for _, n := range nodes {
			n.Freeze()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := l.LockAll(ctx, many(16), time.Hour)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 10*time.Millisecond, time.Since(start))
		for _, n := range nodes {
			n.Thaw()
		}
		rig.RequireFree(t, nodes...)
		rig.LockAll(t, l, many(16)...)
	})
}

// Each node grants all of a set or nothing, so of two sets that share a resource
// one gets through in the end.
func TestAnEvenNumberOfNodesIsNoDeadlockForSetsThatOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 2)
		sets := [][]string{{"a", "b"}, {"b", "c"}, {"c", "a"}}
		var wg sync.WaitGroup
		for _, set := range sets {
			l := rig.NewLocker(t, nodes)
			wg.Go(func() {
				for range 20 {
					k, err := l.LockAll(t.Context(), set, rig.TTL, redlock.WithRetry(redlock.Forever, 20*time.Millisecond))
					if assert.NoError(t, err) {
						assert.NoError(t, k.Unlock(t.Context()))
					}
				}
			})
		}
		wg.Wait()
		rig.RequireFree(t, nodes...)
	})
}

// A crowd checks that no resource is held twice.
type crowd struct {
	mu    sync.Mutex
	holds map[string]*redlock.Lock
	turns int
}

func (c *crowd) enter(t *testing.T, k *redlock.Lock) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turns++
	for _, resource := range k.Resources() {
		if other := c.holds[resource]; other != nil {
			assert.Failf(t, "two holders", "%q by %v and %v", resource, other.Resources(), k.Resources())
		}
		c.holds[resource] = k
	}
}

func (c *crowd) leave(k *redlock.Lock) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range k.Resources() {
		delete(c.holds, resource)
	}
}

// Contenders of several processes, each with many callers, want random sets in
// random order while one node at a time is slow or frozen.
func TestRandomSetsNeverOverlapNorDeadlockAndLeaveNothingBehind(t *testing.T) {
	for _, seed := range []uint64{1, 2} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				c := &crowd{holds: make(map[string]*redlock.Lock)}
				over := make(chan struct{})
				var wg, faults sync.WaitGroup
				for process := range uint64(3) {
					l := rig.NewLocker(t, nodes)
					for caller := range uint64(8) {
						random := rand.New(rand.NewPCG(seed, 100*process+caller)) //nolint:gosec // repeatable on purpose
						wg.Go(func() { c.contend(t, l, random, 5) })
					}
				}
				faults.Go(func() { disturb(nodes, rand.New(rand.NewPCG(seed, 7777)), over) }) //nolint:gosec // as above
				wg.Wait()
				close(over)
				faults.Wait()
				assert.Positive(t, c.turns)
				t.Log(c.turns, "turns in", 3*8*5, "calls")
				time.Sleep(time.Minute) // of what was given up, the last answer
				rig.RequireFree(t, nodes...)
			})
		})
	}
}

func (c *crowd) contend(t *testing.T, l *redlock.Locker, random *rand.Rand, calls int) {
	t.Helper()
	names := []string{"a", "aa", "b", "{b}", "c", "{c}d"}
	for range calls {
		set := make([]string, 0, len(names))
		for _, i := range random.Perm(len(names))[:1+random.IntN(4)] {
			set = append(set, names[i])
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+random.IntN(20))*time.Second)
		hold := time.Duration(random.IntN(20)) * time.Millisecond
		k, err := l.LockAll(ctx, set, rig.TTL, redlock.WithRetry(redlock.Forever, 60*time.Millisecond))
		if err == nil {
			c.enter(t, k)
			time.Sleep(hold)
			if random.IntN(3) == 0 {
				_ = k.Extend(ctx, rig.TTL) // unknown or lost is as good an end
			}
			if !k.Valid() {
				assert.Fail(t, "not valid within its ttl")
			}
			c.leave(k)
			_ = k.Unlock(ctx) // its outcome is that of the nodes
		}
		cancel()
	}
}

// disturb makes one node at a time slow or frozen.
func disturb(nodes []*rig.Node, random *rand.Rand, over <-chan struct{}) {
	for {
		n := nodes[random.IntN(len(nodes))]
		if random.IntN(2) == 0 {
			n.Freeze()
		} else {
			n.Slow(time.Duration(random.IntN(100)) * time.Millisecond)
		}
		select {
		case <-over:
		case <-time.After(time.Duration(random.IntN(300)) * time.Millisecond):
		}
		n.Thaw()
		n.Slow(0)
		select {
		case <-over:
			return
		default:
		}
	}
}

func TestOneRoundOfLocksOnSeveralSendsOneCommandToEachNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		rig.Unlock(t, rig.LockAll(t, l, many(16)...)) // loads the release for several
		before := sentTo(nodes)
		rig.Unlock(t, rig.LockAll(t, l, many(16)...))
		for i, sent := range sentTo(nodes) {
			assert.Equal(t, before[i]+2, sent, "node %d", i)
		}
	})
}

func sentTo(nodes []*rig.Node) []int {
	all := make([]int, len(nodes))
	for i, n := range nodes {
		all[i] = n.Commands()
	}
	return all
}
