package pipeline_test

import (
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// One connection of many is lost while many callers are at work.
func TestALostConnectionCostsManyCallersNoMoreThanTheirBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, lost, end = 700, 300 * time.Millisecond, 700 * time.Millisecond
		nodes, h := rig.New(t, 1), new(rig.BatchHook)
		nodes[0].Client.AddHook(h)
		l := rig.NewLocker(t, nodes, redlock.WithAutoPipeline(), redlock.WithRetry(0, 0))
		rig.WarmUp(t, l)
		nodes[0].Slow(20 * time.Millisecond)
		begun := time.Now()
		var done atomic.Bool
		h.Set(func(cmds []redis.Cmder, next func() error) error {
			if time.Since(begun) >= lost && done.CompareAndSwap(false, true) {
				for _, cmd := range cmds {
					cmd.SetErr(io.EOF)
				}
				return io.EOF
			}
			return next()
		})
		var all sync.WaitGroup
		var after atomic.Int32
		for i := range callers {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Microsecond)
				for time.Since(begun) < end {
					k, err := l.TryLock(t.Context(), strconv.Itoa(i), time.Second)
					switch {
					case err == nil:
						_ = k.Unlock(t.Context())
					case time.Since(begun) >= lost:
						after.Add(1)
					}
				}
			})
		}
		all.Wait()
		assert.LessOrEqual(t, after.Load(), int32(800)) // thousands if as few as usual went at a time
	})
}
