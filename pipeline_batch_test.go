package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// A batchHook stands between a program and its client: batch does what becomes of n
// commands that are sent together.
type batchHook struct {
	mu    sync.Mutex
	batch func(cmds []redis.Cmder, next func() error) error
}

// set changes what becomes of what is sent from now on; nil sends it.
func (h *batchHook) set(batch func(cmds []redis.Cmder, next func() error) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.batch = batch
}

// hangFirst has the first n sends hang until goOn is called. sent returns how many
// commands each had.
func (h *batchHook) hangFirst(n int) (goOn func(), sent func() []int) {
	hang := make(chan struct{})
	var batches []int
	h.set(func(cmds []redis.Cmder, next func() error) error {
		h.mu.Lock()
		batches = append(batches, len(cmds))
		hangs := len(batches) <= n
		h.mu.Unlock()
		if hangs {
			<-hang
		}
		return next()
	})
	return func() { close(hang) }, func() []int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return slices.Clone(batches)
	}
}

func (h *batchHook) run(cmds []redis.Cmder, next func() error) error {
	h.mu.Lock()
	batch := h.batch
	h.mu.Unlock()
	if batch == nil || !strings.HasPrefix(cmds[0].Name(), "eval") { // go-redis has commands of its own
		return next()
	}
	return batch(cmds, next)
}

func (h *batchHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *batchHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return h.run([]redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

func (h *batchHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return h.run(cmds, func() error { return next(ctx, cmds) })
	}
}

// newHooked returns a Locker that uses batches, on nodes with a hook on the client of the
// first one.
func newHooked(t *testing.T, n int, opts ...redlock.Option) (*redlock.Locker, []*node, *batchHook) {
	t.Helper()
	nodes, h := newNodes(t, n), new(batchHook)
	nodes[0].client.AddHook(h)
	l := newLocker(t, nodes, append([]redlock.Option{redlock.WithAutoPipeline()}, opts...)...)
	warmUp(t, l)
	return l, nodes, h
}

// together has n callers do something at the same moment, and waits for them.
func together(n int, f func(key string)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(fmt.Sprint("k", i)) })
	}
	wg.Wait()
}

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

func requireNoKeys(t *testing.T, nodes []*node) {
	t.Helper()
	synctest.Wait()
	for i, n := range nodes {
		require.Empty(t, n.Keys(), "node %d", i)
	}
}

func TestWhatWaitsBehindBatchesThatHangGoesByItselfSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const soon = 50 * time.Millisecond
		l, nodes, h := newHooked(t, 1, redlock.WithRetry(0, 0))
		start := time.Now()
		goOn, sent := h.hangFirst(2) // as many as can be under way
		var stuck sync.WaitGroup
		for i := range 2 {
			stuck.Go(func() {
				_, err := l.TryLock(t.Context(), fmt.Sprint("stuck", i), time.Hour)
				assert.ErrorIs(t, err, redlock.ErrNoQuorum)
			})
			synctest.Wait()
		}
		time.Sleep(soon / 2)
		together(100, func(key string) {
			lock, err := l.TryLock(t.Context(), key, 10*time.Second)
			if assert.NoError(t, err) {
				assert.Equal(t, soon, time.Since(start))
				assert.NoError(t, lock.Unlock(t.Context()))
			}
		})
		stuck.Wait()
		for _, n := range sent() {
			require.Equal(t, 1, n)
		}
		goOn()
		requireNoKeys(t, nodes) // what was granted late is given back
		require.Zero(t, redlock.OpenCalls(l))
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
				l, nodes, h := newHooked(t, 1, redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) {
					t.Error(err)
				}))
				failed := 0
				h.set(func(cmds []redis.Cmder, next func() error) error {
					if len(cmds) == 1 {
						return next()
					}
					h.mu.Lock()
					failed++
					h.mu.Unlock()
					return bad(cmds, next)
				})
				for range 5 {
					together(20, lockAndUnlock(t, l))
				}
				require.Positive(t, failed)
				requireNoKeys(t, nodes)
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
				ops := make(map[string]int)
				l, nodes, h := newHooked(t, 1, redlock.WithRetry(0, 0), redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) {
					mu.Lock()
					defer mu.Unlock()
					ops[err.Op]++
				}))
				h.set(bad)
				start := time.Now()
				together(callers, func(key string) {
					lock, err := l.TryLock(t.Context(), key, 10*time.Second)
					if lock == nil {
						assert.ErrorIs(t, err, redlock.ErrNoQuorum)
						return
					}
					assert.NoError(t, lock.Unlock(t.Context()), "it has sent them")
				})
				require.Less(t, time.Since(start), time.Second, "nobody waits for the node timeout")
				time.Sleep(3 * time.Second) // releases are tried once more
				require.Zero(t, redlock.OpenCalls(l))
				if n := ops["acquire"]; n != 0 {
					require.Equal(t, map[string]int{"acquire": callers, "release": callers}, ops)
				}
				h.set(nil)
				time.Sleep(10 * time.Second)
				together(callers, lockAndUnlock(t, l))
				requireNoKeys(t, nodes)
			})
		})
	}
}

func TestAHandlerThatEndsItsGoroutineTakesNoOtherCommandOfTheBatchWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, nodes, h := newHooked(t, 1, redlock.WithRetry(0, 0), redlock.WithNodeErrorHandler(func(context.Context, *redlock.NodeError) {
			runtime.Goexit()
		}))
		h.set(func(cmds []redis.Cmder, next func() error) error {
			err := next()
			for _, cmd := range cmds {
				if slices.Contains(cmd.Args(), any("k3")) {
					cmd.SetErr(errRefused)
					return errRefused
				}
			}
			return err
		})
		together(10, func(key string) {
			lock, err := l.TryLock(t.Context(), key, 10*time.Second)
			if key == "k3" {
				assert.ErrorIs(t, err, redlock.ErrNoQuorum)
			} else if assert.NoError(t, err) {
				assert.NoError(t, lock.Unlock(t.Context()))
			}
		})
		time.Sleep(3 * time.Second) // a release is tried once more
		requireNoKeys(t, nodes)
		require.Zero(t, redlock.OpenCalls(l))
	})
}

func TestScriptsThatANodeHasForgottenReachItFromEveryCallerOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, nodes, _ := newHooked(t, 3)
		for range 5 {
			for _, n := range nodes {
				require.NoError(t, n.client.ScriptFlush(t.Context()).Err())
			}
			together(20, lockAndUnlock(t, l))
			synctest.Wait()
		}
		requireNoKeys(t, nodes)
	})
}

func TestAfterABatchThatHadNoConnectionOneAtATimeGoesForTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, nodes, h := newHooked(t, 1)
		begun := time.Now()
		var under, before, most, after int // batches
		var failed time.Time
		h.set(func(_ []redis.Cmder, next func() error) error {
			h.mu.Lock()
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
			h.mu.Unlock()
			defer func() {
				h.mu.Lock()
				under--
				h.mu.Unlock()
			}()
			if fails {
				return &net.OpError{Op: "dial", Net: "tcp", Err: errRefused}
			}
			time.Sleep(20 * time.Millisecond)
			return next()
		})
		together(8, func(key string) {
			for time.Since(begun) < 4*time.Second {
				// An acquire is not repeated but by the next attempt, a release is.
				lock, err := l.Lock(t.Context(), key, 10*time.Second)
				if assert.NoError(t, err) {
					assert.NoError(t, lock.Unlock(t.Context()))
				}
			}
		})
		require.Equal(t, []int{2, 1, 2}, []int{before, most, after})
		requireNoKeys(t, nodes)
	})
}
