package rig

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// An ErrorLog keeps node errors.
type ErrorLog struct {
	mu  sync.Mutex
	all []*redlock.NodeError
}

// Option has a Locker tell its node errors to g.
func (g *ErrorLog) Option() redlock.Option {
	return redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.all = append(g.all, err)
	})
}

// Take waits for a number of node errors, returns all so far and forgets them.
func (g *ErrorLog) Take(least int) []*redlock.NodeError {
	Poll(LongTTL/3, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.all) >= least
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.all
	g.all = nil
	return all
}

// RequireOfNode requires that err does not read as if the caller's context had
// ended.
func RequireOfNode(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, context.Canceled)
}

// A ErrorCounter counts node errors.
type ErrorCounter struct{ N atomic.Int64 }

// Option has a Locker tell its node errors to c.
func (c *ErrorCounter) Option() redlock.Option {
	return redlock.WithNodeErrorHandler(func(context.Context, *redlock.NodeError) { c.N.Add(1) })
}
