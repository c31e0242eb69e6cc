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
	"github.com/b0401464/redlock/test/faultproxy"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

func TestThroughPipelinersAnyNumberOfNodesGrantsExtendsReleasesAndExcludes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3, 5} {
		t.Run(fmt.Sprintf("%d nodes", n), func(t *testing.T) {
			t.Parallel()
			on := rig.NewReal(t, n)
			l, plain := on.Locker(t, redlock.WithAutoPipeline()), on.Other(t)
			for range 20 {
				lock, err := l.TryLock(t.Context(), "k", rig.LongTTL)
				require.NoError(t, err)
				_, err = plain.TryLock(t.Context(), "k", rig.LongTTL)
				require.ErrorIs(t, err, redlock.ErrContended)
				rig.DrainCalls(t, l)
				rig.DrainCalls(t, plain)
				require.GreaterOrEqual(t, on.Holders(t, "k", lock.Value()), n/2+1)
				require.NoError(t, lock.Extend(t.Context(), 2*rig.LongTTL))
				rig.DrainCalls(t, l)
				for node := range n {
					require.Greater(t, on.PTTL(t, node, "k"), rig.LongTTL, "node %d", node)
				}
				require.NoError(t, lock.Unlock(t.Context()))

				theirs, err := plain.Lock(t.Context(), "k", rig.LongTTL)
				require.NoError(t, err)
				_, err = l.TryLock(t.Context(), "k", rig.LongTTL)
				require.ErrorIs(t, err, redlock.ErrContended)
				require.NoError(t, theirs.Unlock(t.Context()))
				rig.DrainCalls(t, plain)
			}
			fenced, err := l.LockAll(t.Context(), []string{"a", "b"}, rig.LongTTL, redlock.WithFencing(time.Hour))
			require.NoError(t, err)
			require.Positive(t, fenced.Token())
			_, err = plain.TryLock(t.Context(), "b", rig.LongTTL)
			require.ErrorIs(t, err, redlock.ErrContended)
			require.NoError(t, fenced.Unlock(t.Context()))
			rig.Drain(t, l)
			rig.Drain(t, plain)
			for _, c := range on.Direct {
				require.NoError(t, c.Del(t.Context(), "{a}:redlock:token", "{b}:redlock:token").Err())
			}
			on.RequireEmpty(t, rig.LongTTL/3)
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
	on := rig.NewReal(t, 3)
	lockers := []*redlock.Locker{
		on.Locker(t, redlock.WithAutoPipeline(), redlock.WithNodeTimeout(rig.Patience)),
		rig.NewRealLocker(t, on.NewClients(t), redlock.WithAutoPipeline(), redlock.WithNodeTimeout(rig.Patience)),
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
				err := l.With(t.Context(), fmt.Sprint("k", r), rig.LongTTL, func(context.Context, *redlock.Lock) error {
					assert.EqualValues(t, 1, inside[r].Add(1), "two holders")
					inside[r].Add(-1)
					return nil
				}, func(err error) { assert.NoError(t, err) }, redlock.WithMaxWait(rig.Patience))
				if !assert.NoError(t, err) {
					return
				}
			}
		})
	}
	wg.Wait()
	for _, l := range lockers {
		rig.Drain(t, l)
	}
	on.RequireEmpty(t, rig.LongTTL/3)
}

func TestThroughPipelinersOwnReleaseNeverRefusesTheNextLock(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3)
	relock(t, on.Locker(t, redlock.WithAutoPipeline()), 5_000)
	on.RequireEmpty(t, rig.LongTTL/3)
}

func TestWhatManyCallersWantIsSentInBatches(t *testing.T) {
	t.Parallel()
	const callers, rounds = 64, 30
	on := rig.NewReal(t, 3)
	on.LoadScripts(t)
	perRead := func(opts ...redlock.Option) float64 {
		l := rig.NewRealLocker(t, on.NewClients(t), opts...)
		reads := on.Reads(t)
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Go(func() {
				for range rounds {
					rig.LockOnce(t, l, fmt.Sprint("k", caller), redlock.WithNodeTimeout(rig.Patience))
				}
			})
		}
		wg.Wait()
		rig.Drain(t, l)
		reads = on.Reads(t) - reads
		const commands = 2 * 2 * callers * rounds // at least: to acquire and to release on a majority
		t.Logf("%d commands in %d reads", commands, reads)
		return float64(commands) / float64(reads)
	}
	require.LessOrEqual(t, perRead(), 1.0)
	require.Greater(t, perRead(redlock.WithAutoPipeline()), 4.0)
}

func TestWhoWaitsInLineIsCalledWhilePipelinersAreUsed(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3)
	l := on.Locker(t, redlock.WithAutoPipeline())
	other := rig.NewRealLocker(t, on.NewClients(t), redlock.WithAutoPipeline())
	for range 5 {
		lock, err := l.Lock(t.Context(), "k", 10*rig.LongTTL)
		require.NoError(t, err)
		served := rig.StandInLine(t, func() bool { return on.Waiting(t, "k") == 1 }, rig.LockSeldom(other, "k"))
		require.Empty(t, served)
		require.NoError(t, lock.Unlock(t.Context()))
		require.NoError(t, rig.Within(t, served))
	}
	rig.Drain(t, l)
	rig.Drain(t, other)
	on.RequireEmpty(t, rig.LongTTL/3)
}

func TestThroughPipelinersCommandsWhoseReplyIsLostDoWhatTheyShould(t *testing.T) {
	t.Parallel()
	const callers, rounds = 16, 40
	on := rig.NewProxied(t, 3)
	on.LoadScripts(t)
	l := on.Locker(t, redlock.WithAutoPipeline(), redlock.WithNodeTimeout(rig.Patience))
	// Each fault ends a batch: some of it was applied, and is sent again.
	var requests, met atomic.Int64
	on.SetFault(func(node int, _ []string) faultproxy.Fault {
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
				lock, err := l.TryLock(t.Context(), key, rig.LongTTL)
				if !assert.NoError(t, err, "its own value does not refuse an acquire that is sent again") {
					return
				}
				assert.NoError(t, lock.Extend(t.Context(), 2*rig.LongTTL))
				err = lock.Unlock(t.Context())
				if !errors.Is(err, redlock.ErrNoQuorum) { // both copies met a fault
					assert.NoError(t, err, "a release that is sent again finds nothing")
				}
			}
		})
	}
	wg.Wait()
	require.Positive(t, met.Load())
	rig.Drain(t, l)
	on.RequireEmpty(t, rig.LongTTL/3)
}

// Redis hangs up on who sends more than it takes.
func TestAnOverlongNameFailsNobodyWhoSharesItsBatches(t *testing.T) {
	t.Parallel()
	const callers, rounds = 32, 30
	on := rig.NewReal(t, 3, servers.WithArgs("--proto-max-bulk-len", "1mb"))
	l := on.Locker(t, redlock.WithAutoPipeline(), redlock.WithNodeTimeout(rig.Patience))
	stop := make(chan struct{})
	var others, overlong sync.WaitGroup
	overlong.Go(func() {
		name := strings.Repeat("x", 2<<20)
		for tried := false; ; tried = true {
			select {
			case <-stop:
				assert.True(t, tried)
				return
			default:
				_, err := l.TryLock(t.Context(), name, rig.LongTTL)
				assert.ErrorIs(t, err, redlock.ErrNoQuorum)
			}
		}
	})
	for caller := range callers {
		others.Go(func() {
			for range rounds {
				lock, err := l.TryLock(t.Context(), fmt.Sprint("k", caller), rig.LongTTL)
				if assert.NoError(t, err) {
					assert.NoError(t, lock.Unlock(t.Context()))
				}
			}
		})
	}
	others.Wait()
	close(stop)
	overlong.Wait()
	rig.Drain(t, l)
	on.RequireEmpty(t, rig.LongTTL/3)
}
