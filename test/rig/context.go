package rig

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// A UserContext is a context of the program's own type. Package context asks
// its Value when a context that was derived from it is cancelled.
type UserContext struct {
	context.Context //nolint:containedctx // it is one
	mu              sync.Mutex
	then            func()
}

// Value is the context's own, after what OnValue has set.
func (c *UserContext) Value(key any) any {
	c.mu.Lock()
	then := c.then
	c.mu.Unlock()
	if then != nil {
		then()
	}
	return c.Context.Value(key)
}

// OnValue has f called before each Value.
func (c *UserContext) OnValue(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.then = f
}

// RequireUsable requires that l goes on as if nothing had been.
func RequireUsable(t *testing.T, l *redlock.Locker, nodes ...*Node) {
	t.Helper()
	time.Sleep(5 * time.Second)
	RequireFree(t, nodes...)
	k, err := l.Lock(context.Background(), "a", time.Hour, redlock.WithMaxWait(time.Minute))
	require.NoError(t, err, "nobody has the resource")
	require.NoError(t, k.Unlock(context.Background()))
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Hour)
	defer cancel()
	require.NoError(t, l.Shutdown(ctx))
}
