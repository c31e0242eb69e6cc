package extend_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// endsAtItsTTL has a lock that is not extended beside one that reaches its limit,
// whose context was derived from parent.
func endsAtItsTTL(t *testing.T, then func()) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		base, end := context.WithCancel(t.Context())
		defer end()
		parent := &rig.UserContext{Context: base}
		limited, err := l.Lock(t.Context(), "limited", 15*time.Second, redlock.WithAutoExtend(time.Second))
		require.NoError(t, err)
		_, cancel := limited.Context(parent)
		defer cancel()
		parent.OnValue(then)
		defer parent.OnValue(nil)
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
