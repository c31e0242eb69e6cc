package lock_test

import (
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

// newNarrow returns nodes whose clients have two connections each, and take d for a command.
func newNarrow(t *testing.T, n int, d time.Duration) []*rig.Node {
	t.Helper()
	nodes := rig.New(t, n)
	for _, n := range nodes {
		n.Client.Options().PoolSize = 2
		n.Slow(d)
	}
	return nodes
}

func TestCallersWaitForAConnectionForLongerThanTheNodeTimeout(t *testing.T) {
	for name, tt := range map[string]struct {
		size int
		opts []redlock.Option
	}{
		"one node":     {1, nil},
		"three nodes":  {3, nil},
		"with a token": {3, []redlock.Option{redlock.WithFencing(redlock.Forever)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNarrow(t, tt.size, 100*time.Millisecond)
				var log rig.ErrorLog
				l := rig.NewLocker(t, nodes, append(tt.opts, log.Option())...)
				rig.WarmUp(t, l)
				begun := time.Now()
				var wg sync.WaitGroup
				for i := range 100 {
					wg.Go(func() {
						k, err := l.TryLock(t.Context(), strconv.Itoa(i), time.Minute)
						if assert.NoError(t, err) {
							assert.NoError(t, k.Extend(t.Context(), time.Minute))
							assert.NoError(t, k.Unlock(t.Context()))
						}
					})
				}
				wg.Wait()
				assert.Greater(t, time.Since(begun), 10*time.Second, "of the node timeout, which is 1 s")
				synctest.Wait()
				time.Sleep(time.Second)
				assert.Empty(t, log.Take(0))
				if tt.opts == nil { // counters stay
					rig.RequireNoKeys(t, nodes)
				}
			})
		})
	}
}

func TestACallerThatWaitsForAConnectionIsBoundAsBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNarrow(t, 3, 200*time.Millisecond)
		var log rig.ErrorLog
		l := rig.NewLocker(t, nodes, log.Option())
		rig.WarmUp(t, l)
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				begun := time.Now()
				_, err := l.TryLock(t.Context(), strconv.Itoa(i), 3*time.Second, redlock.WithNodeTimeout(time.Second))
				if took := time.Since(begun); err != nil {
					assert.ErrorIs(t, err, redlock.ErrNoQuorum)
					assert.Equal(t, 3*time.Second-32*time.Millisecond, took, "it would not be valid any more")
				} else {
					assert.Less(t, took, 3*time.Second)
				}
			})
		}
		synctest.Wait()
		begun := time.Now()
		_, err := l.Lock(t.Context(), "last", time.Minute, redlock.WithMaxWait(1500*time.Millisecond))
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.Equal(t, 1500*time.Millisecond, time.Since(begun))
		wg.Wait()
		time.Sleep(time.Minute)
		assert.Empty(t, log.Take(0), "the nodes have answered all the time")
		rig.RequireNoKeys(t, nodes)
	})
}

func TestWhoWaitsForAConnectionToFrozenNodesIsToldAfterTheNodeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNarrow(t, 3, 0)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		for _, n := range nodes {
			n.Freeze()
		}
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				begun := time.Now()
				_, err := l.TryLock(t.Context(), strconv.Itoa(i), time.Minute)
				assert.ErrorIs(t, err, redlock.ErrNoQuorum)
				assert.Equal(t, time.Second, time.Since(begun))
			})
		}
		wg.Wait()
	})
}

func TestALockIsExtendedWhileManyWaitForAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNarrow(t, 3, 100*time.Millisecond)
		l := rig.NewLocker(t, nodes)
		held, ctx := rig.Keep(t, l, 3*time.Second)
		var wg sync.WaitGroup
		for i := range 120 {
			wg.Go(func() {
				k, err := l.TryLock(t.Context(), strconv.Itoa(i), time.Minute)
				if assert.NoError(t, err) {
					assert.NoError(t, k.Unlock(t.Context()))
				}
			})
		}
		begun := time.Now()
		wg.Wait()
		assert.Greater(t, time.Since(begun), 10*time.Second)
		assert.NoError(t, ctx.Err())
		require.NoError(t, held.Unlock(t.Context()))
	})
}
