package redlock_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// A userContext is a context of the program's own type. Package context asks
// its Value when a context that was derived from it is cancelled.
type userContext struct {
	context.Context //nolint:containedctx // it is one
	mu              sync.Mutex
	then            func()
}

func (c *userContext) Value(key any) any {
	c.mu.Lock()
	then := c.then
	c.mu.Unlock()
	if then != nil {
		then()
	}
	return c.Context.Value(key)
}

func (c *userContext) onValue(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.then = f
}

// endsAtItsTTL has a lock that is not extended beside one that reaches its limit,
// whose context was derived from parent.
func endsAtItsTTL(t *testing.T, then func()) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		base, end := context.WithCancel(t.Context())
		defer end()
		parent := &userContext{Context: base}
		limited, err := l.Lock(t.Context(), "limited", 15*time.Second, redlock.WithAutoExtend(time.Second))
		require.NoError(t, err)
		_, cancel := limited.Context(parent)
		defer cancel()
		parent.onValue(then)
		defer parent.onValue(nil)
		k, err := l.Lock(t.Context(), "other", 3*time.Second)
		require.NoError(t, err)
		held, cancelHeld := k.Context(t.Context())
		defer cancelHeld()
		until := k.Until()
		select {
		case <-held.Done():
			assert.LessOrEqual(t, time.Since(until), time.Millisecond, "another one may hold it by now")
		case <-time.After(10 * time.Second):
			t.Errorf("its context has not ended %v after its validity", time.Since(until))
		}
		_ = k.Unlock(context.WithoutCancel(t.Context())) // or Shutdown waits for ever
		_ = limited.Unlock(context.WithoutCancel(t.Context()))
		time.Sleep(10 * time.Second)
	})
}

func TestALockEndsOnTimeThoughTheContextOfAnotherOneBlocksAtItsLimit(t *testing.T) {
	endsAtItsTTL(t, func() { time.Sleep(5 * time.Second) })
}

func TestALockEndsOnTimeThoughTheContextOfAnotherOneCallsGoexitAtItsLimit(t *testing.T) {
	endsAtItsTTL(t, runtime.Goexit)
}
