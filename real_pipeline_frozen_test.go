package redlock_test

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
	"github.com/b0401464/redlock/internal/faultproxy"
)

// A pipelineCrowd is callers of one Locker, each with a resource of its own.
type pipelineCrowd struct {
	stop    chan struct{}
	workers sync.WaitGroup
	turns   []atomic.Int64 // by caller
	unknown atomic.Int64   // calls for a lock that stood on no majority without a frozen node

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
		func() (err error) { lock, err = l.TryLock(t.Context(), key, realTTL); return err },
		func() error { return lock.Extend(t.Context(), realTTL) },
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
		require.True(t, poll(realPatience, func() bool { return c.turns[i].Load() >= until || t.Failed() }))
	}
}

func (c *pipelineCrowd) end() {
	close(c.stop)
	c.workers.Wait()
}

func TestABatchOnAFrozenNodeHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	for _, n := range []int{3, 5} {
		t.Run(fmt.Sprintf("%d nodes", n), func(t *testing.T) {
			t.Parallel()
			const (
				callers     = 32
				nodeTimeout = time.Second     // a lock that stood on a frozen node may wait for it once
				bound       = 4 * time.Second // a client comes back after 5 s
			)
			rig := newRealRig(t, n)
			var gaveUp realCounter // commands that the client came back from
			l := rig.locker(t, redlock.WithAutoPipeline(), redlock.WithNodeTimeout(nodeTimeout),
				redlock.WithRetry(2, 50*time.Millisecond), // so often a lock of those may wait
				redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) {
					if !strings.Contains(err.Error(), "no answer within") {
						gaveUp.n.Add(1)
					}
				}))
			crowd := newPipelineCrowd(t, l, callers)
			crowd.waitFor(t, 10)
			frozen := time.Now()
			for _, s := range rig.servers[:n/2] {
				s.Freeze() // with batches under way
			}
			crowd.waitFor(t, 2)
			// Until the clients have given batches up, which ends with orphans if
			// nobody cleans up.
			require.True(t, poll(realPatience, func() bool { return gaveUp.n.Load() > 0 || t.Failed() }))
			crowd.waitFor(t, 2)
			for _, s := range rig.servers[:n/2] {
				s.Thaw()
			}
			t.Logf("frozen for %v", time.Since(frozen))
			within := realTTL / 3
			if time.Since(frozen) > 15*time.Second {
				// On a busy machine the clients may have given both tries of a release
				// up too: what the acquire before it has left ends with its TTL.
				within += realTTL
			}
			crowd.waitFor(t, 10)
			crowd.end()
			t.Logf("the slowest call took %v; %d node errors; %d calls unknown", crowd.slowest, gaveUp.n.Load(), crowd.unknown.Load())
			require.Less(t, crowd.slowest, bound)
			require.Less(t, crowd.unknown.Load(), int64(callers))
			drain(t, l)
			rig.requireEmpty(t, within)
		})
	}
}

func TestBatchesThatHangHoldUpOnlyWhatWasToGoNext(t *testing.T) {
	t.Parallel()
	const (
		callers     = 16
		nodeTimeout = 300 * time.Millisecond
		bound       = 4 * time.Second // a client gives a batch up after 5 s
	)
	rig := newRealProxiedRig(t, 1)
	rig.loadScripts(t)
	l := rig.locker(t, redlock.WithAutoPipeline(), redlock.WithNodeTimeout(nodeTimeout), redlock.WithRetry(0, 0))
	lockOnce(t, l, "before")
	var met atomic.Int64
	rig.setFault(func(int, []string) faultproxy.Fault {
		if met.Add(1) > 2 {
			return faultproxy.Pass
		}
		return faultproxy.DropReply
	})
	begun := time.Now()
	var stuck sync.WaitGroup
	for i := range 2 { // as many batches as can be under way
		stuck.Go(func() {
			_, err := l.Lock(t.Context(), fmt.Sprint("stuck", i), realTTL)
			assert.ErrorIs(t, err, redlock.ErrNoQuorum)
		})
		require.Eventually(t, func() bool { return met.Load() > int64(i) }, realPatience, time.Millisecond)
	}
	stuck.Wait()
	next := 0
	realEventually(t, realPatience, func(c *assert.CollectT) {
		next++
		lock, err := l.TryLock(t.Context(), fmt.Sprint("next", next), realTTL)
		if assert.NoError(c, err) {
			assert.NoError(c, lock.Unlock(t.Context()))
		}
	})
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() { lockOnce(t, l, fmt.Sprint("k", caller)) })
	}
	wg.Wait()
	require.Less(t, time.Since(begun), bound)
	require.NotZero(t, redlock.OpenCalls(l), "the batch still hangs")
	drain(t, l)
	rig.requireEmpty(t, realTTL/3)
}

func TestRepliesThatComeLateThroughPipelinersLeaveNothing(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 3)
	l := rig.locker(t, redlock.WithAutoPipeline())
	crowd := newPipelineCrowd(t, l, 16)
	for node := range 3 {
		crowd.waitFor(t, 5)
		rig.servers[node].Freeze()
		crowd.waitFor(t, 5)
		rig.servers[node].Thaw() // before the client gives up
	}
	crowd.end()
	drain(t, l)
	rig.requireEmpty(t, realTTL/3)
}

func TestFrozenMajorityBehindPipelinersIsGivenUpInTimeAndComesBack(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d nodes", n), func(t *testing.T) {
			t.Parallel()
			const (
				callers     = 32
				nodeTimeout = 300 * time.Millisecond
				bound       = nodeTimeout + 2*time.Second // a client comes back after 5 s
			)
			rig := newRealRig(t, n)
			l := rig.locker(t, redlock.WithAutoPipeline(), redlock.WithNodeTimeout(nodeTimeout), redlock.WithRetry(0, 0))
			lockOnce(t, l, "before")
			for _, s := range rig.servers {
				s.Freeze()
			}
			var wg sync.WaitGroup
			for caller := range callers {
				wg.Go(func() {
					for i := range 2 {
						begun := time.Now()
						_, err := l.Lock(t.Context(), fmt.Sprintf("k%d/%d", caller, i), realTTL)
						assert.ErrorIs(t, err, redlock.ErrNoQuorum)
						assert.NotErrorIs(t, err, redlock.ErrContended)
						assert.Less(t, time.Since(begun), bound)
					}
				})
			}
			wg.Wait()
			for _, s := range rig.servers {
				s.Thaw()
			}
			realEventually(t, realPatience, func(c *assert.CollectT) {
				lock, err := l.TryLock(t.Context(), "after", realTTL)
				if assert.NoError(c, err) {
					assert.NoError(c, lock.Unlock(t.Context()))
				}
			})
			drain(t, l)
			rig.requireEmpty(t, realTTL/3)
		})
	}
}

func TestNodesBehindPipelinersMayDieAndComeBackOneAfterTheOther(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 3)
	l := rig.locker(t, redlock.WithAutoPipeline())
	lock, err := l.Lock(t.Context(), "held", realTTL)
	require.NoError(t, err)
	drainCalls(t, l)
	crowd := newPipelineCrowd(t, l, 16)
	for node, s := range rig.servers {
		crowd.waitFor(t, 5)
		s.Kill()
		crowd.waitFor(t, 5)
		require.NoError(t, lock.Extend(t.Context(), realTTL), "with node %d down", node)
		s.Restart()
		realEventually(t, realPatience, func(c *assert.CollectT) {
			assert.NoError(c, lock.Extend(t.Context(), realTTL))
			assert.Equal(c, lock.Value(), rig.get(c, node, "held"), "the node has the key again")
		})
		require.NoError(t, lock.Extend(t.Context(), realTTL), "counts again")
	}
	crowd.end()
	require.NoError(t, lock.Unlock(t.Context()))
	drain(t, l)
	rig.requireEmpty(t, realTTL/3)
}

func TestShutdownWaitsForBatchesUntilAFrozenNodeHasAnswered(t *testing.T) {
	rig := newRealRig(t, 3)
	l := rig.locker(t, redlock.WithAutoPipeline())
	lockOnce(t, l, "k")
	drainCalls(t, l)
	rig.servers[0].Freeze()
	for i := range 8 {
		lockOnce(t, l, fmt.Sprint("k", i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, l.Shutdown(ctx), context.DeadlineExceeded)
	require.NotZero(t, redlock.OpenCalls(l))
	require.Positive(t, couriers())
	rig.servers[0].Thaw()
	drain(t, l)
	require.Eventually(t, func() bool { return couriers() == 0 }, realPatience, realTick)
	rig.requireEmpty(t, realTTL/3)
	require.NoError(t, l.Shutdown(t.Context()), "again")
	for _, c := range rig.clients {
		require.NoError(t, c.Ping(t.Context()).Err(), "the clients stay open")
	}
}

func TestALockUnlockedAgainAfterShutdownStillReachesTheNodes(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 3)
	l := rig.locker(t, redlock.WithAutoPipeline(), redlock.WithRetry(0, 0))
	lock, err := l.Lock(t.Context(), "k", time.Second)
	require.NoError(t, err)
	drainCalls(t, l)
	for _, s := range rig.servers {
		s.Kill()
	}
	require.ErrorIs(t, lock.Unlock(t.Context()), redlock.ErrNoQuorum)
	drain(t, l)
	for _, s := range rig.servers {
		s.Restart()
	}
	realEventually(t, realPatience, func(c *assert.CollectT) {
		assert.NoError(c, lock.Unlock(t.Context()), "a later release that finds nothing")
	})
}
