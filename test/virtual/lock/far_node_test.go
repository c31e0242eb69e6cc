package lock_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// One node is in another region, so that it counts as slow.
func TestALockLivesThroughTheRestartOfEveryNodeThoughOneIsFarAway(t *testing.T) {
	for line, opts := range rig.LineAndNone {
		for far := range 3 {
			for _, distance := range []time.Duration{120 * time.Millisecond, 200 * time.Millisecond} {
				t.Run(fmt.Sprint(line, ", node ", far, " is ", distance, " away"), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						nodes := rig.New(t, 3)
						for i, nd := range nodes {
							nd.Slow(5 * time.Millisecond)
							if i == far {
								nd.Slow(distance)
							}
						}
						holder := rig.NewLocker(t, nodes)
						rig.WarmUp(t, holder)
						k, err := holder.Lock(t.Context(), "a", 3*time.Second, redlock.WithAutoExtend(redlock.Forever))
						require.NoError(t, err)
						held, stop := k.Context(context.Background())
						defer stop()
						defer rig.WaitBehind(t, nodes, 4, opts...)()
						time.Sleep(5 * time.Second)
						for i, nd := range nodes {
							nd.Stop()
							time.Sleep(100 * time.Millisecond)
							nd.Restart()
							start := time.Now()
							for {
								v, _ := nd.Get("a")
								if v == k.Value() {
									break
								}
								if held.Err() != nil || time.Since(start) > 10*time.Second {
									t.Errorf("node %d was not armed in %v; held: %v", i, time.Since(start), context.Cause(held))
									break
								}
								time.Sleep(5 * time.Millisecond)
							}
							if held.Err() != nil || t.Failed() {
								break
							}
							time.Sleep(3 * time.Second)
						}
						assert.NoError(t, context.Cause(held))
					})
				})
			}
		}
	}
}

// A call with WithMaxWait waits for as long as it may: what comes meanwhile is its.
func TestMaxWaitIsWaitedOutThoughAnAttemptHasTakenLong(t *testing.T) {
	for line, opts := range rig.LineAndNone {
		for _, wait := range []time.Duration{1500 * time.Millisecond, 1900 * time.Millisecond, 2500 * time.Millisecond, 4 * time.Second} {
			t.Run(fmt.Sprint(line, ", ", wait), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nodes := rig.New(t, 3)
					l := rig.NewLocker(t, nodes, opts...)
					rig.WarmUp(t, l)
					for _, n := range nodes[:2] {
						n.Freeze()
					}
					time.AfterFunc(wait-200*time.Millisecond, func() {
						for _, n := range nodes {
							n.Thaw()
						}
					})
					start := time.Now()
					k, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(wait))
					assert.NoError(t, err, "after %v", time.Since(start))
					_ = k.Unlock(t.Context())
					time.Sleep(time.Second)
				})
			})
		}
	}
}

// Many resources: what the Locker remembers of one takes the place of what it
// remembers of another.
func TestAGateThatIsLeftAloneIsNotToldAsALockOfAnotherThoughResourcesAreMany(t *testing.T) {
	rig.Long(t)
	for _, frozen := range []bool{false, true} {
		for name, bound := range rig.Bounds {
			t.Run(fmt.Sprint(name, ", frozen: ", frozen), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nodes := rig.New(t, 3)
					other := rig.NewLocker(t, nodes)
					l := rig.NewLocker(t, nodes)
					many := manyResources
					var locks []*redlock.Lock
					for i := range many {
						k, err := other.Lock(t.Context(), strconv.Itoa(i), time.Hour)
						require.NoError(t, err)
						locks = append(locks, k)
					}
					rig.WarmUp(t, l)
					var all sync.WaitGroup
					call := func(into *rig.Outcomes) {
						for i := range many {
							all.Go(func() {
								ctx, cancel, opt := bound(context.Background(), 200*time.Millisecond)
								defer cancel()
								_, err := l.Lock(ctx, strconv.Itoa(i), rig.TTL, opt)
								into.Add(err)
							})
						}
						time.Sleep(50 * time.Millisecond)
					}
					var before, after rig.Outcomes
					for range 10 {
						call(&before)
					}
					for _, n := range nodes[1:] {
						if frozen {
							n.Freeze()
						} else {
							n.Stop()
						}
					}
					for range 60 {
						call(&before)
					}
					for range 20 {
						call(&after)
					}
					all.Wait()
					assert.Zero(t, after.Contended, "three seconds later: %d are told so", after.NoQuorum)
					t.Log(before.Contended, before.NoQuorum, after.Contended, after.NoQuorum, after.Neither)
					for _, n := range nodes {
						n.Thaw()
						n.Unreachable(false)
					}
					for _, k := range locks {
						_ = k.Unlock(t.Context())
					}
				})
			})
		}
	}
}

const manyResources = 20
