package line_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

// Waiters that end in any phase, on nodes that stutter, never overlap and leave
// nothing behind.
func TestWaitersThatEndInAnyPhaseLeaveNothingBehind(t *testing.T) {
	for seed := range 8 {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 7)) //nolint:gosec // so that a seed replays
			nodes := rig.New(t, []int{1, 2, 3, 5}[seed%4])
			for _, n := range nodes {
				n.Slow(time.Duration(r.IntN(3000)) * time.Microsecond)
			}
			var all sync.WaitGroup
			var holders, turns atomic.Int32
			stop := make(chan struct{})
			var lockers []*redlock.Locker
			for range 5 {
				l := rig.NewLocker(t, nodes)
				lockers = append(lockers, l)
				for range 2 {
					seq := rand.New(rand.NewPCG(r.Uint64(), 1)) //nolint:gosec // so that a seed replays
					all.Go(func() {
						for range 25 {
							ctx, cancel := context.WithTimeout(t.Context(), time.Duration(seq.IntN(60000))*time.Microsecond)
							opts := []redlock.LockOption{rig.InTurn}
							switch seq.IntN(4) {
							case 0:
								opts = []redlock.LockOption{redlock.WithMaxWait(time.Duration(1+seq.IntN(60)) * time.Millisecond)}
							case 1:
								opts = []redlock.LockOption{redlock.WithRetry(seq.IntN(4), 20*time.Millisecond)}
							}
							k, err := l.Lock(ctx, "a", rig.TTL, opts...)
							if err == nil {
								turns.Add(1)
								assert.EqualValues(t, 1, holders.Add(1))
								time.Sleep(time.Duration(seq.IntN(3000)) * time.Microsecond)
								holders.Add(-1)
								_ = k.Unlock(t.Context())
							}
							cancel()
						}
					})
				}
			}
			go func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					n := nodes[r.IntN(len(nodes))]
					n.Freeze()
					time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
					n.Thaw()
					n.Slow(time.Duration(r.IntN(3000)) * time.Microsecond)
					time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond)
				}
			}()
			all.Wait()
			close(stop)
			time.Sleep(6 * time.Second)
			synctest.Wait()
			for _, l := range lockers {
				require.Zero(t, seam.OpenCalls(l))
				require.Zero(t, seam.Queues(l))
			}
			for i, n := range nodes {
				require.Empty(t, n.Keys(), "seed %d, node %d", seed, i)
			}
			require.Empty(t, rig.Listening(nodes), "seed %d", seed)
			require.Positive(t, turns.Load())
			t.Log("seed", seed, "turns", turns.Load())
		})
	}
}
