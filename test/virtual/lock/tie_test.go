package lock_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// far is a hook of a client that is further away from its node than others.
type far time.Duration

// ProcessHook has a command take longer.
func (d far) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		time.Sleep(time.Duration(d))
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook does nothing.
func (far) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook { return next }

// DialHook does nothing.
func (far) DialHook(next redis.DialHook) redis.DialHook { return next }

// Each of two callers has one of two nodes, and the third one does not answer.
func TestATieIsNotWaitedOutForAFrozenNode(t *testing.T) {
	for frozen := range 3 {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 3)
			var all sync.WaitGroup
			var lockers []*redlock.Locker
			for i := range 2 {
				p := rig.NewProcess(t, nodes)
				p.Clients[(frozen+1+i)%3].AddHook(far(2 * time.Millisecond))
				rig.WarmUp(t, p.Locker)
				lockers = append(lockers, p.Locker)
			}
			nodes[frozen].Freeze()
			start := time.Now()
			for _, l := range lockers {
				all.Go(func() {
					assert.NoError(t, l.With(t.Context(), "a", time.Minute, func(context.Context, *redlock.Lock) error { return nil }, nil))
				})
			}
			all.Wait()
			t.Log(time.Since(start))
			assert.Less(t, time.Since(start), 500*time.Millisecond, "the node timeout is a second")
			nodes[frozen].Thaw()
			for _, l := range lockers {
				require.NoError(t, l.Shutdown(t.Context()))
			}
		})
	}
}

// One that tries once has no other attempt in which the node may answer, and attempts that end
// early wait longer each time.
func TestANodeThatTakesLongIsWaitedForInTheEnd(t *testing.T) {
	for name, lock := range map[string]func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error){
		"TryLock": func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
			return l.TryLock(ctx, "a", time.Minute)
		},
		"Lock, for a short time": func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
			return l.Lock(ctx, "a", time.Minute, redlock.WithRetry(1, 10*time.Millisecond))
		},
		"Lock": func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
			return l.Lock(ctx, "a", time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l := rig.NewLocker(t, nodes)
				rig.WarmUp(t, l)
				require.NoError(t, nodes[0].Client.Set(t.Context(), "a", "left over", 0).Err())
				nodes[1].Slow(300 * time.Millisecond)
				k, err := lock(t.Context(), l)
				require.NoError(t, err)
				require.NoError(t, k.Unlock(t.Context()))
			})
		})
	}
}
