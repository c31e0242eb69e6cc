package rig

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// FirstOnly has something happen to the first of the commands that are sent from now on.
func (h *BatchHook) FirstOnly(f func() error) {
	var n atomic.Int32
	h.Set(func(_ []redis.Cmder, next func() error) error {
		if n.Add(1) == 1 {
			return f()
		}
		return next()
	})
}

// HangsUpOn makes a batch that names a resource lose its connection.
func HangsUpOn(resource string) func(cmds []redis.Cmder, next func() error) error {
	return func(cmds []redis.Cmder, next func() error) error {
		if !slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return slices.Contains(cmd.Args(), any(resource)) }) {
			return next()
		}
		for _, cmd := range cmds {
			cmd.SetErr(io.EOF)
		}
		return io.EOF
	}
}

// A BatchHook stands between a program and its client: batch does what becomes of n
// commands that are sent together.
type BatchHook struct {
	Mu    sync.Mutex
	batch func(cmds []redis.Cmder, next func() error) error
}

// Set changes what becomes of what is sent from now on; nil sends it.
func (h *BatchHook) Set(batch func(cmds []redis.Cmder, next func() error) error) {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	h.batch = batch
}

// HangFirst has the first n sends hang until goOn is called. sent returns how many
// commands each had.
func (h *BatchHook) HangFirst(n int) (goOn func(), sent func() []int) {
	hang := make(chan struct{})
	var batches []int
	h.Set(func(cmds []redis.Cmder, next func() error) error {
		h.Mu.Lock()
		batches = append(batches, len(cmds))
		hangs := len(batches) <= n
		h.Mu.Unlock()
		if hangs {
			<-hang
		}
		return next()
	})
	return func() { close(hang) }, func() []int {
		h.Mu.Lock()
		defer h.Mu.Unlock()
		return slices.Clone(batches)
	}
}

func (h *BatchHook) run(cmds []redis.Cmder, next func() error) error {
	h.Mu.Lock()
	batch := h.batch
	h.Mu.Unlock()
	if batch == nil || !strings.HasPrefix(cmds[0].Name(), "eval") && cmds[0].Name() != "set" && !strings.HasPrefix(cmds[0].Name(), "del") { // go-redis has commands of its own
		return next()
	}
	return batch(cmds, next)
}

// DialHook dials as if there were no hook.
func (h *BatchHook) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook stands between a single command and its client.
func (h *BatchHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return h.run([]redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

// ProcessPipelineHook stands between a pipeline and its client.
func (h *BatchHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return h.run(cmds, func() error { return next(ctx, cmds) })
	}
}

// NewHooked returns a Locker that uses batches, on nodes with a hook on the client of the
// first one.
func NewHooked(t *testing.T, n int, opts ...redlock.Option) (*redlock.Locker, []*Node, *BatchHook) {
	t.Helper()
	nodes, h := New(t, n), new(BatchHook)
	nodes[0].Client.AddHook(h)
	l := NewLocker(t, nodes, append([]redlock.Option{redlock.WithAutoPipeline()}, opts...)...)
	WarmUp(t, l)
	return l, nodes, h
}

// Together has n callers do something at the same moment, and waits for them.
func Together(n int, f func(key string)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(fmt.Sprint("k", i)) })
	}
	wg.Wait()
}

// RequireNoKeys checks that nothing is left on the nodes.
func RequireNoKeys(t *testing.T, nodes []*Node) {
	t.Helper()
	synctest.Wait()
	for i, n := range nodes {
		require.Empty(t, n.Keys(), "node %d", i)
	}
}

// Senders returns how many goroutines carry batches. Tests that ask must not run
// beside others.
func Senders() int {
	stacks := make([]byte, 1<<24)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return bytes.Count(stacks, []byte("(*sender).run("))
}
