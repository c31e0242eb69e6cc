package errors_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// Nodes that are well, 60 ms away, are told to the handler as not answering because the
// caller's bound has cut its attempt off.
func TestNodesThatAnswerAreNotToldOfBecauseOfTheBoundOfACaller(t *testing.T) {
	for _, far := range []time.Duration{10 * time.Millisecond, 60 * time.Millisecond} {
		for line, opts := range rig.LineAndNone {
			t.Run(fmt.Sprint(far, ", ", line), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var heard nodeLog
					nodes := rig.New(t, 3)
					rig.Lock(t, rig.NewLocker(t, nodes))
					l := rig.NewLocker(t, nodes, append(opts, heard.option())...)
					rig.WarmUp(t, l)
					for _, n := range nodes {
						n.Slow(far)
					}
					var all sync.WaitGroup
					for range 100 {
						all.Go(func() {
							_, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(200*time.Millisecond))
							assert.ErrorIs(t, err, redlock.ErrContended)
						})
						time.Sleep(5 * time.Millisecond)
					}
					all.Wait()
					assert.Empty(t, heard.take())
				})
			})
		}
	}
}

// errgroup cancels its context with the error of the first function as the cause.
func TestACallersContextThatAnErrgroupCancelledIsToldAsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l, other := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
		_, err := other.Lock(t.Context(), "b", time.Minute)
		require.NoError(t, err)
		g, ctx := errgroup.WithContext(t.Context())
		g.Go(func() error {
			return l.Do(ctx, "a", time.Second, func(ctx context.Context) error {
				<-ctx.Done() // its lock runs out
				return ctx.Err()
			})
		})
		_, err = l.Lock(ctx, "b", rig.TTL, rig.WaitForever)
		assert.ErrorIs(t, err, context.Canceled, "ctx has been cancelled, by the errgroup, and is no context of a lock: %v", err)
		assert.NotErrorIs(t, err, redlock.ErrLockLost, "b was never held")
		_ = g.Wait()
	})
}

func TestUnlockUnderACancelledErrgroupReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k := rig.Lock(t, l)
		synctest.Wait()
		g, ctx := errgroup.WithContext(t.Context())
		g.Go(func() error {
			return l.Do(ctx, "c", time.Second, func(ctx context.Context) error {
				<-ctx.Done()
				return nil
			})
		})
		<-ctx.Done()
		for _, n := range nodes {
			n.Freeze()
		}
		start := time.Now()
		err := k.Unlock(ctx)
		assert.ErrorIs(t, err, context.Canceled, "%v", err)
		assert.Zero(t, time.Since(start))
		for _, n := range nodes {
			n.Thaw()
		}
		_ = g.Wait()
	})
}

// What LockAll has seen of "b" is told of "a", which nobody holds.
func TestWhatIsSeenOfOneResourceOfSeveralIsNotToldOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l, other := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
		_, err := other.Lock(t.Context(), "b", time.Minute)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			_, _ = l.LockAll(ctx, []string{"a", "b"}, rig.TTL, redlock.WithRetry(redlock.Forever, 10*time.Second))
		})
		time.Sleep(time.Second)
		for _, n := range nodes {
			n.Freeze()
		}
		_, err = l.Lock(ctx, "a", rig.TTL, redlock.WithMaxWait(100*time.Millisecond))
		assert.NotErrorIs(t, err, redlock.ErrContended, "nobody has ever held a: %v", err)
		assert.ErrorIs(t, err, redlock.ErrNoQuorum)
		for _, n := range nodes {
			n.Thaw()
		}
		cancel()
		all.Wait()
	})
}

func TestRetryAfterIsNotLaterThanTheHoldersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k, err := rig.NewLocker(t, nodes).Lock(t.Context(), "a", 10*time.Second)
		require.NoError(t, err)
		end := k.Until().Add(time.Second)
		l := rig.NewLocker(t, nodes, redlock.WithoutWaitingLine())
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			_, _ = l.Lock(ctx, "a", rig.TTL, redlock.WithRetry(redlock.Forever, 5*time.Second), redlock.WithJitter(0))
		})
		time.Sleep(4 * time.Second)
		_, _ = l.Lock(ctx, "a", rig.TTL, redlock.WithRetry(1, 300*time.Millisecond))
		_, err = l.Lock(ctx, "a", rig.TTL, redlock.WithMaxWait(100*time.Millisecond), redlock.WithRetry(1, time.Hour))
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.False(t, time.Now().Add(e.RetryAfter).After(end), "%v", err)
		cancel()
		all.Wait()
	})
}

// ctx ends every attempt before the node timeout.
func TestAFrozenNodeIsToldOfThoughContextsEndTheCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard nodeLog
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, heard.option())
		rig.WarmUp(t, l)
		nodes[0].Freeze()
		nodes[1].Freeze()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := l.Lock(ctx, "a", rig.TTL)
		require.Error(t, err)
		time.Sleep(4 * time.Second)
		nodes[0].Thaw()
		nodes[1].Thaw()
		time.Sleep(time.Minute)
		assert.NotEmpty(t, heard.take(), "frozen for 4.5 s: %v", err)
	})
}

// A majority is down, the gate is up and names who had the lock.
func TestAGateThatIsLeftAloneIsNotToldAsALockThatAnotherOneHolds(t *testing.T) {
	for name, bound := range rig.Bounds {
		for _, how := range []string{"down", "frozen"} {
			t.Run(name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nodes := rig.New(t, 3)
					_, others := rig.FindGate(t, nodes)
					l := rig.NewLocker(t, nodes)
					k, err := rig.NewLocker(t, nodes).Lock(t.Context(), "a", time.Hour)
					require.NoError(t, err)
					rig.WarmUp(t, l)
					var all sync.WaitGroup
					var before, after rig.Outcomes
					call := func(into *rig.Outcomes) {
						all.Go(func() {
							ctx, cancel, opt := bound(context.Background(), 200*time.Millisecond)
							defer cancel()
							_, err := l.Lock(ctx, "a", rig.TTL, opt)
							into.Add(err)
						})
						time.Sleep(30 * time.Millisecond)
					}
					for range 30 {
						call(&before)
					}
					for _, n := range others {
						if how == "down" {
							n.Stop()
						} else {
							n.Freeze()
						}
					}
					start := time.Now()
					for time.Since(start) < 2*time.Second {
						call(&before)
					}
					all.Wait()
					for range 60 {
						call(&after)
					}
					all.Wait()
					assert.Zero(t, after.Contended, "more than two seconds later")
					t.Log(before.Contended, before.NoQuorum, after.Contended, after.NoQuorum, after.Neither)
					for _, n := range others {
						n.Thaw()
						n.Restart()
					}
					_ = k.Unlock(t.Context())
				})
			})
		}
	}
}

func TestANodeIsNotToldOfForACallThatItWasNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard nodeLog
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, heard.option())
		rig.WarmUp(t, l)
		for _, n := range nodes {
			n.Slow(400 * time.Millisecond)
		}
		for range 3 { // the later ones wait behind the first, and are dropped
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			_, err := l.TryLock(ctx, "a", rig.TTL)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
		}
		time.Sleep(time.Minute)
		assert.Empty(t, heard.take())
	})
}

func TestACallThatAMajorityRefusesIsToldSoThoughItsGateHasJustGone(t *testing.T) {
	for _, how := range []string{"down", "frozen"} {
		for _, size := range []int{3, 5} {
			t.Run(fmt.Sprint(how, ", ", size, " nodes"), func(t *testing.T) {
				for left := 36 * time.Millisecond; left < 96*time.Millisecond; left += 3 * time.Millisecond {
					synctest.Test(t, func(t *testing.T) {
						nodes := rig.New(t, size)
						gate, _ := rig.FindGate(t, nodes)
						_, err := rig.NewLocker(t, nodes).Lock(t.Context(), "a", time.Hour)
						require.NoError(t, err)
						l := rig.NewLocker(t, nodes, redlock.WithNodeTimeout(40*time.Millisecond))
						rig.WarmUp(t, l)
						for _, n := range nodes {
							n.Slow(2 * time.Millisecond)
						}
						ended := make(chan error, 1)
						const wait = 400 * time.Millisecond
						go func() {
							_, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(wait), redlock.WithRetry(redlock.Forever, 30*time.Millisecond))
							ended <- err
						}()
						time.Sleep(wait - left)
						if how == "down" {
							gate.Stop()
						} else {
							gate.Freeze()
						}
						require.ErrorIs(t, <-ended, redlock.ErrContended, "%v before its end", left)
						if how == "frozen" {
							gate.Thaw()
						}
					})
				}
			})
		}
	}
}
