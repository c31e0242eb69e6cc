package pipeline_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// What batches on frozen nodes cost, in virtual time. Tests on real servers show that
// clients as they are do no worse.

// longestBesideFrozen returns how long the longest of many calls took while so many of
// the nodes freeze, but for calls for a lock that stood on those: each caller may have one.
func longestBesideFrozen(t *testing.T, n, frozen int) (longest time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		const (
			trip        = time.Millisecond
			nodeTimeout = time.Second
		)
		nodes := rig.New(t, n)
		l := rig.NewLocker(t, nodes, redlock.WithAutoPipeline(), redlock.WithNodeTimeout(nodeTimeout))
		rig.WarmUp(t, l)
		for _, n := range nodes {
			n.Slow(trip)
		}
		var (
			wg sync.WaitGroup
			mu sync.Mutex
		)
		for caller := range 16 {
			wg.Go(func() {
				time.Sleep(time.Duration(caller) * trip / 8) // so that batches are not all due at once
				stood := 0                                   // locks on frozen nodes
				for turn := range 10 {
					key := fmt.Sprintf("k%d/%d", caller, turn%3)
					begun := time.Now()
					k, err := l.TryLock(t.Context(), key, time.Hour)
					if !assert.NoError(t, err) {
						return
					}
					times := []time.Duration{time.Since(begun)}
					begun = time.Now()
					extendErr := k.Extend(t.Context(), time.Hour)
					times = append(times, time.Since(begun))
					begun = time.Now()
					unlockErr := k.Unlock(t.Context())
					times = append(times, time.Since(begun))
					if err := errors.Join(extendErr, unlockErr); err != nil || times[1] >= nodeTimeout {
						stood++
						assert.True(t, err == nil || errors.Is(err, redlock.ErrNoQuorum), "%v", err)
						times = times[:1]
					}
					mu.Lock()
					longest = max(longest, slices.Max(times))
					mu.Unlock()
				}
				assert.LessOrEqual(t, stood, min(frozen, 1))
			})
		}
		time.Sleep(10*trip + trip/2)
		for _, n := range nodes[:frozen] {
			n.Freeze()
		}
		wg.Wait()
		for _, n := range nodes[:frozen] {
			n.Thaw()
		}
		time.Sleep(time.Second)
		rig.RequireNoKeys(t, nodes)
	})
	return longest
}

func TestABatchOnAFrozenMinorityCostsACrowdNoTime(t *testing.T) {
	for _, n := range []int{3, 5} {
		healthy, frozen := longestBesideFrozen(t, n, 0), longestBesideFrozen(t, n, n/2)
		t.Logf("%d nodes: at most %v, %v beside frozen ones", n, healthy, frozen)
		assert.LessOrEqual(t, frozen, 2*healthy)
	}
}

func TestABatchOnAFrozenMajorityIsGivenUpAfterTheNodeTimeout(t *testing.T) {
	for _, n := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			const nodeTimeout = 300 * time.Millisecond
			nodes := rig.New(t, n)
			l := rig.NewLocker(t, nodes, redlock.WithAutoPipeline(), redlock.WithRetry(0, 0))
			rig.WarmUp(t, l)
			for _, n := range nodes {
				n.Freeze()
			}
			rig.Together(32, func(key string) {
				for i := range 2 {
					begun := time.Now()
					_, err := l.Lock(t.Context(), fmt.Sprint(key, "/", i), time.Hour, redlock.WithNodeTimeout(nodeTimeout))
					assert.ErrorIs(t, err, redlock.ErrNoQuorum)
					assert.NotErrorIs(t, err, redlock.ErrContended)
					assert.Equal(t, nodeTimeout, time.Since(begun))
				}
			})
			for _, n := range nodes {
				n.Thaw()
			}
			synctest.Wait()
			k, err := l.TryLock(t.Context(), "after", time.Hour)
			require.NoError(t, err)
			require.NoError(t, k.Unlock(t.Context()))
			rig.RequireNoKeys(t, nodes)
		})
	}
}
