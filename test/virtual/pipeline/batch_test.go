package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

// lockAndUnlock locks and unlocks once.
func lockAndUnlock(t *testing.T, l *redlock.Locker) func(key string) {
	t.Helper()
	return func(key string) {
		lock, err := l.TryLock(t.Context(), key, 10*time.Second)
		if assert.NoError(t, err) {
			assert.NoError(t, lock.Unlock(t.Context()))
		}
	}
}

func TestWhatWaitsBehindBatchesThatHangGoesByItselfSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const soon = 50 * time.Millisecond
		l, nodes, h := rig.NewHooked(t, 1, redlock.WithRetry(0, 0))
		start := time.Now()
		goOn, sent := h.HangFirst(2) // as many as can be under way
		var stuck sync.WaitGroup
		for i := range 2 {
			stuck.Go(func() {
				_, err := l.TryLock(t.Context(), fmt.Sprint("stuck", i), time.Hour)
				assert.ErrorIs(t, err, redlock.ErrNoQuorum)
			})
			synctest.Wait()
		}
		time.Sleep(soon / 2)
		rig.Together(100, func(key string) {
			lock, err := l.TryLock(t.Context(), key, 10*time.Second)
			if assert.NoError(t, err) {
				assert.Equal(t, soon, time.Since(start))
				assert.NoError(t, lock.Unlock(t.Context()))
			}
		})
		stuck.Wait()
		for _, n := range sent() {
			require.LessOrEqual(t, n, 2, "a release has a look at the line with it")
		}
		goOn()
		rig.RequireNoKeys(t, nodes) // what was granted late is given back
		require.Zero(t, seam.OpenCalls(l))
	})
}

// badBatches are what a client can do to commands without sending them.
func badBatches() map[string]func(cmds []redis.Cmder, next func() error) error {
	return map[string]func([]redis.Cmder, func() error) error{
		"panics":                        func([]redis.Cmder, func() error) error { panic("boom") },
		"panics after it has sent them": func(_ []redis.Cmder, next func() error) error { _ = next(); panic("boom") },
		"ends the goroutine":            func([]redis.Cmder, func() error) error { runtime.Goexit(); return nil },
		"ends the goroutine after it has sent them": func(_ []redis.Cmder, next func() error) error {
			_ = next()
			runtime.Goexit()
			return nil
		},
		"returns an error": func([]redis.Cmder, func() error) error { return errors.New("not today") },
		"says nothing":     func([]redis.Cmder, func() error) error { return nil },
		"an error that panics": func(cmds []redis.Cmder, _ func() error) error {
			for _, cmd := range cmds {
				cmd.SetErr(panickingError{})
			}
			return panickingError{}
		},
	}
}

// A panickingError cannot say what it is.
type panickingError struct{}

func (panickingError) Error() string { panic("boom") }

func TestCommandsOfABatchThatFailsAreSentOnceMoreByThemselves(t *testing.T) {
	for name, bad := range badBatches() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, nodes, h := rig.NewHooked(t, 1, redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) {
					t.Error(err)
				}))
				failed := 0
				h.Set(func(cmds []redis.Cmder, next func() error) error {
					if len(cmds) == 1 || len(cmds) == 2 && cmds[0].Name() == "delex" { // and a look at the line
						return next()
					}
					h.Mu.Lock()
					failed++
					h.Mu.Unlock()
					return bad(cmds, next)
				})
				for range 5 {
					rig.Together(20, lockAndUnlock(t, l))
				}
				require.Positive(t, failed)
				rig.RequireNoKeys(t, nodes)
			})
		})
	}
}

func TestABadClientFailsEachCommandOfABatchAndHoldsNothingUp(t *testing.T) {
	for name, bad := range badBatches() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const callers = 20
				var mu sync.Mutex
				ops := make(map[redlock.Op]int)
				l, nodes, h := rig.NewHooked(t, 1, redlock.WithRetry(0, 0), redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) {
					mu.Lock()
					defer mu.Unlock()
					ops[err.Op]++
				}))
				h.Set(bad)
				start := time.Now()
				rig.Together(callers, func(key string) {
					lock, err := l.TryLock(t.Context(), key, 10*time.Second)
					if lock == nil {
						assert.ErrorIs(t, err, redlock.ErrNoQuorum)
						return
					}
					assert.NoError(t, lock.Unlock(t.Context()), "it has sent them")
				})
				require.Less(t, time.Since(start), time.Second, "nobody waits for the node timeout")
				time.Sleep(3 * time.Second) // releases are tried once more
				require.Zero(t, seam.OpenCalls(l))
				if n := ops["acquire"]; n != 0 {
					require.Equal(t, map[redlock.Op]int{"acquire": callers, "release": callers}, ops)
				}
				h.Set(nil)
				time.Sleep(10 * time.Second)
				rig.Together(callers, lockAndUnlock(t, l))
				rig.RequireNoKeys(t, nodes)
			})
		})
	}
}

func TestAHandlerThatEndsItsGoroutineTakesNoOtherCommandOfTheBatchWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, nodes, h := rig.NewHooked(t, 1, redlock.WithRetry(0, 0), redlock.WithNodeErrorHandler(func(context.Context, *redlock.NodeError) {
			runtime.Goexit()
		}))
		h.Set(func(cmds []redis.Cmder, next func() error) error {
			err := next()
			for _, cmd := range cmds {
				if slices.Contains(cmd.Args(), any("k3")) {
					cmd.SetErr(rig.ErrRefused)
					return rig.ErrRefused
				}
			}
			return err
		})
		rig.Together(10, func(key string) {
			lock, err := l.TryLock(t.Context(), key, 10*time.Second)
			if key == "k3" {
				assert.ErrorIs(t, err, redlock.ErrNoQuorum)
			} else if assert.NoError(t, err) {
				assert.NoError(t, lock.Unlock(t.Context()))
			}
		})
		time.Sleep(3 * time.Second) // a release is tried once more
		rig.RequireNoKeys(t, nodes)
		require.Zero(t, seam.OpenCalls(l))
	})
}

func TestScriptsThatANodeHasForgottenReachItFromEveryCallerOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, nodes, _ := rig.NewHooked(t, 3)
		for range 5 {
			for _, n := range nodes {
				require.NoError(t, n.Client.ScriptFlush(t.Context()).Err())
			}
			rig.Together(20, lockAndUnlock(t, l))
			synctest.Wait()
		}
		rig.RequireNoKeys(t, nodes)
	})
}

func TestAfterABatchThatHadNoConnectionOneAtATimeGoesForTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, nodes, h := rig.NewHooked(t, 1)
		begun := time.Now()
		var under, before, most, after int // batches
		var failed time.Time
		h.Set(func(_ []redis.Cmder, next func() error) error {
			h.Mu.Lock()
			under++
			switch {
			case failed.IsZero():
				before = max(before, under)
			case time.Since(failed) < 2*time.Second:
				most = max(most, under)
			default:
				after = max(after, under)
			}
			fails := time.Since(begun) >= time.Second && failed.IsZero()
			if fails {
				failed = time.Now()
			}
			h.Mu.Unlock()
			defer func() {
				h.Mu.Lock()
				under--
				h.Mu.Unlock()
			}()
			if fails {
				return &net.OpError{Op: "dial", Net: "tcp", Err: rig.ErrRefused}
			}
			time.Sleep(20 * time.Millisecond)
			return next()
		})
		rig.Together(8, func(key string) {
			for time.Since(begun) < 4*time.Second {
				// An acquire is not repeated but by the next attempt, a release is.
				lock, err := l.Lock(t.Context(), key, 10*time.Second)
				if assert.NoError(t, err) {
					assert.NoError(t, lock.Unlock(t.Context()))
				}
			}
		})
		require.Equal(t, []int{2, 1, 2}, []int{before, most, after})
		rig.RequireNoKeys(t, nodes)
	})
}
