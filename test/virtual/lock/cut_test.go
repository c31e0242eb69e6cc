package lock_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

type cutKey struct{}

// After the node timeout, a timer looks at what a caller with less time had asked.
func TestNothingIsKeptOfACallThatWasCutShortOnceTheNodesHaveAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithNodeTimeout(time.Second))
		rig.WarmUp(t, l)
		for _, n := range nodes {
			n.Slow(100 * time.Millisecond)
		}
		kept := func() weak.Pointer[int] {
			seen := new(int)
			ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), cutKey{}, seen), 50*time.Millisecond)
			defer cancel()
			_, err := l.Lock(ctx, "a", rig.TTL)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			return weak.Make(seen)
		}()
		for _, n := range nodes {
			n.Hurry()
		}
		rig.LockOnce(t, l, "b") // go-redis keeps the last command of a connection
		time.Sleep(time.Hour)
		for range 3 {
			runtime.GC()
		}
		assert.True(t, kept.Value() == nil, "its context is still reachable")
	})
}
