package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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

func TestThroughPipelinersAnyNumberOfNodesGrantsExtendsReleasesAndExcludes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3, 5} {
		t.Run(fmt.Sprintf("%d nodes", n), func(t *testing.T) {
			t.Parallel()
			rig := newRealRig(t, n)
			l, plain := rig.locker(t, redlock.WithAutoPipeline()), rig.other(t)
			for range 20 {
				lock, err := l.TryLock(t.Context(), "k", realTTL)
				require.NoError(t, err)
				_, err = plain.TryLock(t.Context(), "k", realTTL)
				require.ErrorIs(t, err, redlock.ErrContended)
				drainCalls(t, l)
				drainCalls(t, plain)
				require.GreaterOrEqual(t, rig.holders(t, "k", lock.Value()), n/2+1)
				require.NoError(t, lock.Extend(t.Context(), 2*realTTL))
				drainCalls(t, l)
				for node := range n {
					require.Greater(t, rig.pttl(t, node, "k"), realTTL, "node %d", node)
				}
				require.NoError(t, lock.Unlock(t.Context()))

				theirs, err := plain.Lock(t.Context(), "k", realTTL)
				require.NoError(t, err)
				_, err = l.TryLock(t.Context(), "k", realTTL)
				require.ErrorIs(t, err, redlock.ErrContended)
				require.NoError(t, theirs.Unlock(t.Context()))
				drainCalls(t, plain)
			}
			fenced, err := l.LockAll(t.Context(), []string{"a", "b"}, realTTL, redlock.WithFencing(time.Hour))
			require.NoError(t, err)
			require.Positive(t, fenced.Token())
			_, err = plain.TryLock(t.Context(), "b", realTTL)
			require.ErrorIs(t, err, redlock.ErrContended)
			require.NoError(t, fenced.Unlock(t.Context()))
			drain(t, l)
			drain(t, plain)
			for _, c := range rig.direct {
				require.NoError(t, c.Del(t.Context(), "{a}:redlock:token", "{b}:redlock:token").Err())
			}
			rig.requireEmpty(t, realTTL/3)
		})
	}
}

func TestManyCallersThroughPipelinersExcludeEachOtherAndLeaveNothing(t *testing.T) {
	t.Parallel()
	const (
		callers   = 64
		turns     = 10_000
		resources = 48 // so that some are waited for
	)
	rig := newRealRig(t, 3)
	lockers := []*redlock.Locker{
		rig.locker(t, redlock.WithAutoPipeline(), redlock.WithNodeTimeout(realPatience)),
		newRealLocker(t, rig.newClients(t), redlock.WithAutoPipeline(), redlock.WithNodeTimeout(realPatience)),
	}
	var (
		wg     sync.WaitGroup
		next   atomic.Int64
		inside [resources]atomic.Int32
	)
	for caller := range callers {
		l := lockers[caller%len(lockers)]
		wg.Go(func() {
			for n := next.Add(1); n <= turns; n = next.Add(1) {
				r := n % resources
				err := l.With(t.Context(), fmt.Sprint("k", r), realTTL, func(context.Context, *redlock.Lock) error {
					assert.EqualValues(t, 1, inside[r].Add(1), "two holders")
					inside[r].Add(-1)
					return nil
				}, func(err error) { assert.NoError(t, err) }, redlock.WithMaxWait(realPatience))
				if !assert.NoError(t, err) {
					return
				}
			}
		})
	}
	wg.Wait()
	for _, l := range lockers {
		drain(t, l)
	}
	rig.requireEmpty(t, realTTL/3)
}

func TestThroughPipelinersOwnReleaseNeverRefusesTheNextLock(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 3)
	relock(t, rig.locker(t, redlock.WithAutoPipeline()), 5_000)
	rig.requireEmpty(t, realTTL/3)
}

// stat returns the sum of a figure in the servers' statistics.
func (rig *realRig) stat(t *testing.T, section, name string, figure func(value string) string) int {
	t.Helper()
	sum := 0
	for _, c := range rig.direct {
		info, err := c.Info(t.Context(), section).Result()
		require.NoError(t, err)
		_, rest, found := strings.Cut(info, "\r\n"+name)
		require.True(t, found, "%s in %s", name, info)
		line, _, _ := strings.Cut(rest, "\r\n")
		n, err := strconv.Atoi(figure(line))
		require.NoError(t, err)
		sum += n
	}
	return sum
}

func (rig *realRig) reads(t *testing.T) int {
	t.Helper()
	return rig.stat(t, "stats", "total_reads_processed:", func(line string) string { return line })
}

func (rig *realRig) scripts(t *testing.T) int {
	t.Helper()
	return rig.stat(t, "commandstats", "cmdstat_evalsha:calls=", func(line string) string {
		calls, _, _ := strings.Cut(line, ",")
		return calls
	})
}

func TestWhatManyCallersWantIsSentInBatches(t *testing.T) {
	t.Parallel()
	const callers, rounds = 64, 30
	rig := newRealRig(t, 3)
	rig.loadScripts(t)
	perRead := func(opts ...redlock.Option) float64 {
		l := newRealLocker(t, rig.newClients(t), opts...)
		reads, scripts := rig.reads(t), rig.scripts(t)
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Go(func() {
				for range rounds {
					lockOnce(t, l, fmt.Sprint("k", caller), redlock.WithNodeTimeout(realPatience))
				}
			})
		}
		wg.Wait()
		drain(t, l)
		reads, scripts = rig.reads(t)-reads, rig.scripts(t)-scripts
		require.GreaterOrEqual(t, scripts, 2*2*callers*rounds)
		t.Logf("%d scripts in %d reads", scripts, reads)
		return float64(scripts) / float64(reads)
	}
	require.LessOrEqual(t, perRead(), 1.0)
	require.Greater(t, perRead(redlock.WithAutoPipeline()), 4.0)
}

func TestWhoWaitsInLineIsCalledWhilePipelinersAreUsed(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 3)
	// Only a message comes sooner than the next retry.
	opts := []redlock.Option{redlock.WithAutoPipeline(), redlock.WithRetry(redlock.Forever, time.Hour), redlock.WithJitter(0)}
	l, other := rig.locker(t, opts...), newRealLocker(t, rig.newClients(t), opts...)
	for round := range 5 {
		lock, err := l.Lock(t.Context(), "k", 10*realTTL)
		require.NoError(t, err)
		got := make(chan *redlock.Lock, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), realPatience)
			defer cancel()
			theirs, err := other.Lock(ctx, "k", 10*realTTL)
			assert.NoError(t, err, "round %d", round)
			got <- theirs
		}()
		require.Eventually(t, func() bool { return rig.waiting(t, "k") == 1 }, realPatience, realTick)
		require.NoError(t, lock.Unlock(t.Context()))
		theirs := <-got
		require.NotNil(t, theirs)
		require.NoError(t, theirs.Unlock(t.Context()))
	}
	drain(t, l)
	drain(t, other)
	rig.requireEmpty(t, realTTL/3)
}

func TestThroughPipelinersCommandsWhoseReplyIsLostDoWhatTheyShould(t *testing.T) {
	t.Parallel()
	const callers, rounds = 16, 40
	rig := newRealProxiedRig(t, 3)
	rig.loadScripts(t)
	l := rig.locker(t, redlock.WithAutoPipeline(), redlock.WithNodeTimeout(realPatience))
	// Each fault ends a batch: some of it was applied, and is sent again.
	var requests, met atomic.Int64
	rig.setFault(func(node int, _ []string) faultproxy.Fault {
		switch n := requests.Add(1); {
		case node != 0:
			return faultproxy.Pass
		case n%97 == 0:
			met.Add(1)
			return faultproxy.CutAfterApply
		case n%89 == 0:
			met.Add(1)
			return faultproxy.CutBeforeApply
		default:
			return faultproxy.Pass
		}
	})
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			key := fmt.Sprint("k", caller)
			for range rounds {
				lock, err := l.TryLock(t.Context(), key, realTTL)
				if !assert.NoError(t, err, "its own value does not refuse an acquire that is sent again") {
					return
				}
				assert.NoError(t, lock.Extend(t.Context(), 2*realTTL))
				err = lock.Unlock(t.Context())
				if !errors.Is(err, redlock.ErrNoQuorum) { // both copies met a fault
					assert.NoError(t, err, "a release that is sent again finds nothing")
				}
			}
		})
	}
	wg.Wait()
	require.Positive(t, met.Load())
	drain(t, l)
	rig.requireEmpty(t, realTTL/3)
}
