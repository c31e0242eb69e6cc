package errors_test

import (
	"context"
	"errors"
	"math/rand/v2"
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

func TestEveryErrorOfLockIsOfOneKindAndInTime(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
				var mu sync.Mutex
				random := func(n int) int { mu.Lock(); defer mu.Unlock(); return r.IntN(n) }
				nodes := rig.New(t, []int{1, 3, 5}[seed%3])
				var lockers []*redlock.Locker
				for i := range 3 {
					var opts []redlock.Option
					if (seed>>i)&1 == 1 {
						opts = append(opts, redlock.WithoutWaitingLine())
					}
					if (seed>>i)&2 == 2 {
						opts = append(opts, redlock.WithAutoPipeline())
					}
					l, err := redlock.New(rig.NewProcess(t, nodes).Clients, opts...)
					require.NoError(t, err)
					lockers = append(lockers, l)
				}
				end := time.Now().Add(8 * time.Second)
				var all sync.WaitGroup
				all.Go(func() {
					for time.Now().Before(end) {
						n := nodes[random(len(nodes))]
						switch random(5) {
						case 0:
							n.Freeze()
						case 1:
							n.Thaw()
						case 2:
							n.Stop()
						case 3:
							n.Restart()
						default:
							n.Slow(time.Duration(random(60)) * time.Millisecond)
						}
						time.Sleep(time.Duration(random(500)) * time.Millisecond)
					}
					for _, n := range nodes {
						n.Thaw()
						n.Restart()
						n.Slow(0)
					}
				})
				for i := range 12 {
					l := lockers[i%3]
					all.Go(func() {
						for time.Now().Before(end) {
							ctx, cancel := context.WithCancel(context.Background())
							d := time.Duration(1+random(600)) * time.Millisecond
							var most time.Duration
							var opts []redlock.LockOption
							switch random(3) {
							case 0:
								opts, most = append(opts, redlock.WithMaxWait(d)), d
							case 1:
								ctx, cancel = context.WithTimeout(ctx, d)
								most = d
							default:
								opts, most = append(opts, redlock.WithRetry(2, d)), 2*d+2500*time.Millisecond
							}
							resources := [][]string{{"a"}, {"a", "b"}, {"b"}}[random(3)]
							start := time.Now()
							k, err := l.LockAll(ctx, resources, 3*time.Second, opts...)
							took, ended := time.Since(start), ctx.Err()
							cancel()
							assert.LessOrEqual(t, took, most, "%v", err)
							if err == nil {
								time.Sleep(time.Duration(random(50)) * time.Millisecond)
								_ = k.Unlock(context.Background())
								continue
							}
							kinds := 0
							for _, kind := range []error{redlock.ErrContended, redlock.ErrNoQuorum, redlock.ErrShutdown, redlock.ErrInvalidArgument} {
								if errors.Is(err, kind) {
									kinds++
								}
							}
							isCtx := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
							assert.Equal(t, ended != nil, isCtx, "%v", err)
							if isCtx {
								assert.LessOrEqual(t, kinds, 1, "%v", err)
							} else {
								assert.Equal(t, 1, kinds, "%v", err)
							}
							assert.False(t, errors.Is(err, redlock.ErrLockLost) || errors.Is(err, redlock.ErrUnlocked), "%v", err)
							var e *redlock.LockError
							if assert.ErrorAs(t, err, &e) {
								assert.LessOrEqual(t, e.Agreed, len(nodes))
								if e.Attempts > 0 && kinds == 1 {
									assert.Less(t, e.Agreed, e.Quorum, "%v", err)
								}
							}
						}
					})
				}
				all.Wait()
				time.Sleep(2 * time.Minute)
				for _, l := range lockers {
					assert.NoError(t, l.Shutdown(context.Background()))
				}
			})
		})
	}
}
