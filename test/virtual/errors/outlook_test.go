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

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestALockThatAnotherOneHoldsIsNeverToldAsTooFewAnswers(t *testing.T) {
	for line, opts := range rig.LineAndNone {
		for name, bound := range rig.Bounds {
			for _, every := range []time.Duration{time.Millisecond, 5 * time.Millisecond, 30 * time.Millisecond} {
				t.Run(fmt.Sprint(line, ", ", name, ", one each ", every), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						nodes := rig.New(t, 3)
						k := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithAutoExtend(redlock.Forever))
						l := rig.NewLocker(t, nodes, opts...)
						rig.WarmUp(t, l)
						for _, n := range nodes {
							n.Slow(10 * time.Millisecond)
						}
						var all sync.WaitGroup
						var told rig.Outcomes
						for range 100 {
							all.Go(func() {
								ctx, cancel, opt := bound(context.Background(), 200*time.Millisecond)
								defer cancel()
								_, err := l.Lock(ctx, "a", rig.TTL, opt)
								told.Add(err)
							})
							time.Sleep(every)
						}
						all.Wait()
						assert.Zero(t, told.NoQuorum, "%v", told.Example)
						if name != "context" { // who never saw an answer is told only that the context has ended
							assert.Equal(t, 100, told.Contended)
						}
						require.NoError(t, k.Unlock(t.Context()))
					})
				})
			}
		}
	}
}

func TestBurstsForALockThatAnotherOneHoldsAreToldSoOnRealServers(t *testing.T) {
	on := rig.NewReal(t, 3)
	k, err := on.Other(t).Lock(t.Context(), "order:7", rig.LongTTL)
	require.NoError(t, err)
	for _, burst := range []int{2, 100, 1000} {
		l := on.Locker(t, redlock.WithNodeTimeout(rig.Patience)) // a busy machine stalls for seconds
		_, err := l.TryLock(t.Context(), "order:7", rig.LongTTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		var all sync.WaitGroup
		var told rig.Outcomes
		for range burst {
			all.Go(func() {
				_, err := l.Lock(context.Background(), "order:7", 10*time.Second, redlock.WithMaxWait(time.Second))
				told.Add(err)
			})
		}
		all.Wait()
		assert.Zero(t, told.NoQuorum, "of %d: %v", burst, told.Example)
		rig.Drain(t, l)
	}
	require.NoError(t, k.Unlock(t.Context()))
}

func TestNodesThatAreDownAreNeverToldAsALockThatAnotherOneHolds(t *testing.T) {
	for name, bound := range rig.Bounds {
		for _, how := range []string{"refuse connections", "are frozen"} {
			for _, several := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, they %s, several resources: %t", name, how, several), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						nodes := rig.New(t, 3)
						l := rig.NewLocker(t, nodes)
						rig.WarmUp(t, l)
						for _, n := range nodes {
							if how == "are frozen" {
								n.Freeze()
							} else {
								n.Stop()
							}
						}
						var all sync.WaitGroup
						var told rig.Outcomes
						for range 10 {
							all.Go(func() {
								ctx, cancel, opt := bound(context.Background(), 500*time.Millisecond)
								defer cancel()
								resources := []string{"a"}
								if several {
									resources = []string{"a", "b"}
								}
								_, err := l.LockAll(ctx, resources, rig.TTL, opt)
								told.Add(err)
							})
						}
						all.Wait()
						assert.Zero(t, told.Contended)
						if name != "context" {
							assert.Equal(t, 10, told.NoQuorum)
						}
						for _, n := range nodes {
							n.Thaw()
						}
					})
				})
			}
		}
	}
}

func TestWhoHasSeenTheHolderIsToldWhenTheNodesFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.Lock(t, rig.NewLocker(t, nodes))
		stop := make(chan struct{})
		go func() { // somebody is always in the line of the Locker
			defer close(stop)
			_, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(8*time.Second))
			assert.ErrorIs(t, err, redlock.ErrNoQuorum)
		}()
		time.Sleep(time.Second)
		_, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(100*time.Millisecond))
		require.ErrorIs(t, err, redlock.ErrContended)
		for _, n := range nodes {
			n.Freeze()
		}
		time.Sleep(4 * time.Second)
		_, err = l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(100*time.Millisecond))
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		<-stop
		for _, n := range nodes {
			n.Thaw()
		}
	})
}

func TestWhoWaitsBehindItsOwnLockerIsToldAsOneThatTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		mark := rig.Lock(t, l).Mark()
		_, tried := l.TryLock(t.Context(), "a", rig.TTL)
		_, waited := l.Lock(t.Context(), "a", rig.TTL, redlock.WithRetry(1, time.Millisecond))
		assert.EqualError(t, tried, `redlock: lock "a": held by another, mark `+mark+`: a caller of the same Locker, free in 10s at the latest unless extended`)
		assert.EqualError(t, waited, `redlock: lock "a": held by another, mark `+mark+`: a caller of the same Locker, free in 9.999s at the latest unless extended`)
	})
}

func TestWhoComesToTheFrontTooLateIsToldThatItsLockerHadTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k := rig.Lock(t, l)
		for _, n := range nodes {
			n.Slow(50 * time.Millisecond)
		}
		time.AfterFunc(95*time.Millisecond, func() { assert.NoError(t, k.Unlock(context.Background())) })
		_, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(100*time.Millisecond))
		require.ErrorIs(t, err, redlock.ErrContended)
		synctest.Wait()
	})
}

func TestAllThatWaitAreToldOfAKeyWithoutExpiry(t *testing.T) {
	for line, opts := range rig.LineAndNone {
		for name, bound := range rig.Bounds {
			t.Run(line+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nodes := rig.New(t, 3)
					for _, n := range nodes[:2] {
						require.NoError(t, n.Set("a", `{"name":"somebody"}`))
					}
					l := rig.NewLocker(t, nodes, opts...)
					var wg sync.WaitGroup
					for _, resources := range [][]string{{"a"}, {"a"}, {"a", "b"}} {
						wg.Go(func() {
							ctx, cancel, wait := bound(t.Context(), 3*time.Second)
							defer cancel()
							_, err := l.LockAll(ctx, resources, rig.TTL, wait)
							e, ok := errors.AsType[*redlock.LockError](err)
							assert.ErrorIs(t, err, redlock.ErrContended)
							assert.True(t, ok && e.RetryAfter == redlock.Forever)
							assert.ErrorContains(t, err, "has no expiry")
						})
					}
					wg.Wait()
				})
			})
		}
	}
}

func TestAKeyWithoutExpiryOnAMinorityIsNotToldAsTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		rig.Lock(t, rig.NewLocker(t, nodes))
		require.NoError(t, nodes[0].Set("a", "data"))
		_, err := rig.NewLocker(t, nodes).TryLock(t.Context(), "a", rig.TTL)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.NotEqualValues(t, redlock.Forever, e.RetryAfter)
		assert.NotContains(t, err.Error(), "expiry")
	})
}

// The first one has two grants of four nodes and waits for a third one.
func TestWhoStandsBehindAnAttemptThatGoesOnIsToldOfAnotherCaller(t *testing.T) {
	for _, away := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 4)
			l := rig.NewLocker(t, nodes, redlock.WithNodeTimeout(10*time.Second), redlock.WithoutWaitingLine())
			rig.WarmUp(t, l)
			require.NoError(t, nodes[0].Set("a", "theirs"))
			for _, n := range nodes {
				n.Slow(10 * time.Millisecond)
			}
			nodes[1].Freeze()
			if away {
				nodes[2].Freeze()
			}
			time.Sleep(time.Second)
			go func() { _, _ = l.Lock(t.Context(), "a", time.Minute) }()
			time.Sleep(time.Millisecond)
			_, err := l.Lock(t.Context(), "a", time.Minute, redlock.WithMaxWait(300*time.Millisecond))
			if away {
				require.ErrorIs(t, err, redlock.ErrNoQuorum)
			} else {
				require.ErrorIs(t, err, redlock.ErrContended)
			}
			nodes[1].Thaw()
			nodes[2].Thaw()
		})
	}
}
