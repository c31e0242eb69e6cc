package locking_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/faultproxy"
	"github.com/b0401464/redlock/test/rig"
)

// A pipelineCrowd is callers of one Locker, each with a resource of its own. On a busy
// machine nodes that are well may take longer than the node timeout, so that a caller
// asks again, and what became of its lock is unknown.
type pipelineCrowd struct {
	stop    chan struct{}
	workers sync.WaitGroup
	turns   []atomic.Int64 // by caller
	unknown atomic.Int64   // extensions and releases

	mu      sync.Mutex
	slowest time.Duration // of their calls
}

func newPipelineCrowd(t *testing.T, l *redlock.Locker, callers int) *pipelineCrowd {
	t.Helper()
	c := &pipelineCrowd{stop: make(chan struct{}), turns: make([]atomic.Int64, callers)}
	for caller := range callers {
		c.workers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-c.stop:
					return
				default:
				}
				if !c.turn(t, l, fmt.Sprintf("k%d/%d", caller, i%3)) {
					return
				}
				c.turns[caller].Add(1)
			}
		})
	}
	return c
}

// turn locks, extends and unlocks once.
func (c *pipelineCrowd) turn(t *testing.T, l *redlock.Locker, key string) bool {
	t.Helper()
	var lock *redlock.Lock
	for _, call := range []func() error{
		func() (err error) {
			for {
				if lock, err = l.TryLock(t.Context(), key, rig.LongTTL); !errors.Is(err, redlock.ErrNoQuorum) {
					return err
				}
			}
		},
		func() error { return lock.Extend(t.Context(), rig.LongTTL) },
		func() error { return lock.Unlock(t.Context()) },
	} {
		begun := time.Now()
		err := call()
		if lock != nil && errors.Is(err, redlock.ErrNoQuorum) {
			c.unknown.Add(1)
		} else if !assert.NoError(t, err) {
			return false
		}
		c.took(time.Since(begun))
	}
	return true
}

func (c *pipelineCrowd) took(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slowest = max(c.slowest, d)
}

// waitFor waits until every caller has had so many turns from now on.
func (c *pipelineCrowd) waitFor(t *testing.T, turns int64) {
	t.Helper()
	for i := range c.turns {
		until := c.turns[i].Load() + turns
		require.True(t, rig.Poll(rig.Patience, func() bool { return c.turns[i].Load() >= until || t.Failed() }))
	}
}

func (c *pipelineCrowd) end(t *testing.T) {
	t.Helper()
	close(c.stop)
	c.workers.Wait()
	t.Logf("the slowest call took %v; %d calls unknown", c.slowest, c.unknown.Load())
}

// crowdTimeout is the node timeout of a crowd. A caller waits for that long once when a
// node freezes that its lock stood on.
const crowdTimeout = time.Second

func TestABatchOnAFrozenNodeHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	for _, n := range []int{3, 5} {
		t.Run(fmt.Sprintf("%d nodes", n), func(t *testing.T) {
			t.Parallel()
			on := rig.NewReal(t, n)
			l := rig.NewRealLocker(t, on.NewClients(t, rig.Hang), redlock.WithAutoPipeline(), redlock.WithNodeTimeout(crowdTimeout))
			crowd := newPipelineCrowd(t, l, 32)
			crowd.waitFor(t, 10)
			frozen := on.Servers[:n/2]
			for _, s := range frozen {
				s.Freeze() // with batches under way, that end no sooner than it goes on
			}
			crowd.waitFor(t, 10)
			require.NotZero(t, seam.OpenCalls(l))
			for _, s := range frozen {
				s.Thaw()
			}
			crowd.waitFor(t, 10)
			crowd.end(t)
			rig.Drain(t, l)
			on.RequireEmpty(t, rig.Patience)
		})
	}
}

func TestABatchThatClientsGiveUpHoldsNobodyUpAndLeavesNothing(t *testing.T) {
	rig.Long(t)
	t.Parallel()
	on := rig.NewReal(t, 3)
	var gaveUp rig.ErrorCounter // commands that the client came back from
	l := on.Locker(t, redlock.WithAutoPipeline(), redlock.WithNodeTimeout(crowdTimeout),
		redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) {
			if !strings.Contains(err.Error(), "no answer within") {
				gaveUp.N.Add(1)
			}
		}))
	crowd := newPipelineCrowd(t, l, 32)
	crowd.waitFor(t, 10)
	begun := time.Now()
	on.Servers[0].Freeze()
	require.True(t, rig.Poll(rig.Patience, func() bool { return gaveUp.N.Load() > 0 || t.Failed() }))
	crowd.waitFor(t, 2)
	on.Servers[0].Thaw()
	frozen := time.Since(begun)
	crowd.waitFor(t, 10)
	crowd.end(t)
	rig.Drain(t, l)
	t.Logf("frozen for %v, %d node errors", frozen, gaveUp.N.Load())
	if frozen > 3*clientPatience {
		// Both tries of a release may have been given up too: what is left ends with its TTL.
		on.Direct = on.Direct[1:]
	}
	on.RequireEmpty(t, rig.Patience)
}

// clientPatience is for how long a client waits for an answer by default.
const clientPatience = 5 * time.Second

func TestBatchesThatHangHoldUpOnlyWhatWasToGoNext(t *testing.T) {
	t.Parallel()
	const (
		callers     = 16
		nodeTimeout = 300 * time.Millisecond
	)
	on := rig.NewProxied(t, 1, rig.Hang)
	on.LoadScripts(t)
	l := on.Locker(t, redlock.WithAutoPipeline(), redlock.WithRetry(0, 0))
	rig.LockOnce(t, l, "before")
	var met atomic.Int64
	on.SetFault(func(int, []string) faultproxy.Fault {
		if met.Add(1) > 2 {
			return faultproxy.Pass
		}
		return faultproxy.DropReply
	})
	var stuck sync.WaitGroup
	for i := range 2 { // as many batches as can be under way
		stuck.Go(func() {
			_, err := l.Lock(t.Context(), fmt.Sprint("stuck", i), rig.LongTTL, redlock.WithNodeTimeout(nodeTimeout))
			assert.ErrorIs(t, err, redlock.ErrNoQuorum)
		})
		require.Eventually(t, func() bool { return met.Load() > int64(i) }, rig.Patience, time.Millisecond)
	}
	stuck.Wait()
	next := 0
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
		next++
		lock, err := l.TryLock(t.Context(), fmt.Sprint("next", next), rig.LongTTL)
		if assert.NoError(c, err) {
			assert.NoError(c, lock.Unlock(t.Context()))
		}
	})
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() { rig.LockOnce(t, l, fmt.Sprint("k", caller)) })
	}
	wg.Wait()
	require.NotZero(t, seam.OpenCalls(l), "the batches still hang")
	on.Proxies[0].Cut()
	rig.Drain(t, l)
	on.RequireEmpty(t, rig.Patience)
}

func TestRepliesThatComeLateThroughPipelinersLeaveNothing(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3)
	l := rig.NewRealLocker(t, on.NewClients(t, rig.Hang), redlock.WithAutoPipeline(), redlock.WithNodeTimeout(crowdTimeout))
	crowd := newPipelineCrowd(t, l, 16)
	for node := range 3 {
		crowd.waitFor(t, 5)
		on.Servers[node].Freeze()
		crowd.waitFor(t, 5)
		on.Servers[node].Thaw()
	}
	crowd.end(t)
	rig.Drain(t, l)
	on.RequireEmpty(t, rig.Patience)
}

func TestFrozenMajorityBehindPipelinersIsGivenUpAndComesBack(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d nodes", n), func(t *testing.T) {
			t.Parallel()
			const (
				callers     = 32
				nodeTimeout = 300 * time.Millisecond
			)
			on := rig.NewReal(t, n)
			l := rig.NewRealLocker(t, on.NewClients(t, rig.Hang), redlock.WithAutoPipeline(), redlock.WithRetry(0, 0))
			rig.LockOnce(t, l, "before")
			for _, s := range on.Servers {
				s.Freeze()
			}
			var wg sync.WaitGroup
			for caller := range callers {
				wg.Go(func() {
					for i := range 2 {
						_, err := l.Lock(t.Context(), fmt.Sprintf("k%d/%d", caller, i), rig.LongTTL, redlock.WithNodeTimeout(nodeTimeout))
						assert.ErrorIs(t, err, redlock.ErrNoQuorum)
						assert.NotErrorIs(t, err, redlock.ErrContended)
					}
				})
			}
			wg.Wait() // no client comes back before the servers go on
			for _, s := range on.Servers {
				s.Thaw()
			}
			rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
				lock, err := l.TryLock(t.Context(), "after", rig.LongTTL)
				if assert.NoError(c, err) {
					assert.NoError(c, lock.Unlock(t.Context()))
				}
			})
			rig.Drain(t, l)
			on.RequireEmpty(t, rig.Patience)
		})
	}
}

func TestNodesBehindPipelinersMayDieAndComeBackOneAfterTheOther(t *testing.T) {
	rig.Long(t)
	t.Parallel()
	on := rig.NewReal(t, 3)
	l := on.Locker(t, redlock.WithAutoPipeline())
	lock, err := l.Lock(t.Context(), "held", rig.LongTTL)
	require.NoError(t, err)
	rig.DrainCalls(t, l)
	crowd := newPipelineCrowd(t, l, 16)
	for node, s := range on.Servers {
		crowd.waitFor(t, 5)
		s.Kill()
		crowd.waitFor(t, 5)
		require.NoError(t, lock.Extend(t.Context(), rig.LongTTL), "with node %d down", node)
		s.Restart()
		rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
			assert.NoError(c, lock.Extend(t.Context(), rig.LongTTL))
			assert.Equal(c, lock.Value(), on.Get(c, node, "held"), "the node has the key again")
		})
		for range 3 { // until the node has surely answered, and counts again
			require.NoError(t, lock.Extend(t.Context(), rig.LongTTL))
			crowd.waitFor(t, 2)
		}
	}
	crowd.end(t)
	require.NoError(t, lock.Unlock(t.Context()))
	rig.Drain(t, l)
	on.RequireEmpty(t, rig.LongTTL/3)
}

func TestShutdownWaitsForBatchesUntilAFrozenNodeHasAnswered(t *testing.T) {
	on := rig.NewReal(t, 3)
	clients := on.NewClients(t, rig.Hang)
	l := rig.NewRealLocker(t, clients, redlock.WithAutoPipeline())
	rig.LockOnce(t, l, "k")
	rig.DrainCalls(t, l)
	on.Servers[0].Freeze()
	for i := range 8 {
		rig.LockOnce(t, l, fmt.Sprint("k", i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, l.Shutdown(ctx), context.DeadlineExceeded)
	require.NotZero(t, seam.OpenCalls(l))
	require.Positive(t, rig.Senders())
	on.Servers[0].Thaw()
	rig.Drain(t, l)
	require.Eventually(t, func() bool { return rig.Senders() == 0 }, rig.Patience, rig.Tick)
	on.RequireEmpty(t, rig.LongTTL/3)
	require.NoError(t, l.Shutdown(t.Context()), "again")
	for _, c := range clients {
		require.NoError(t, c.Ping(t.Context()).Err(), "the clients stay open")
	}
}

func TestALockUnlockedAgainAfterShutdownStillReachesTheNodes(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3)
	l := on.Locker(t, redlock.WithAutoPipeline(), redlock.WithRetry(0, 0))
	lock, err := l.Lock(t.Context(), "k", rig.LongTTL)
	require.NoError(t, err)
	rig.DrainCalls(t, l)
	for _, s := range on.Servers {
		s.Kill()
	}
	require.ErrorIs(t, lock.Unlock(t.Context()), redlock.ErrNoQuorum)
	rig.Drain(t, l)
	for _, s := range on.Servers {
		s.Restart()
	}
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
		if err := lock.Unlock(t.Context()); err != nil { // the first release may have had no connection
			assert.ErrorIs(c, err, redlock.ErrLockLost, "they have come back empty")
		}
	})
}
