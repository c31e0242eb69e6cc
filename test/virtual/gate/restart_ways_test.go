package gate_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// waysToWant are ways in which other processes want "a" again and again.
var waysToWant = map[string]func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error){
	"TryLock each 20 ms": func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
		k, err := l.TryLock(ctx, "a", rig.TTL)
		if err != nil {
			time.Sleep(20 * time.Millisecond)
		}
		return k, err
	},
	"MaxWait of 200 ms, one after the other": func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
		return l.Lock(ctx, "a", rig.TTL, redlock.WithMaxWait(200*time.Millisecond))
	},
	"Lock by default, one after the other": func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
		return l.Lock(ctx, "a", rig.TTL)
	},
	"LockAll": func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
		return l.LockAll(ctx, []string{"a", "b"}, rig.TTL, redlock.WithRetry(redlock.Forever, 20*time.Millisecond))
	},
	"LockAll in line": func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
		return l.LockAll(ctx, []string{"a", "b"}, rig.TTL, redlock.WithRetry(redlock.Forever, 400*time.Millisecond))
	},
	"with fencing": func(ctx context.Context, l *redlock.Locker) (*redlock.Lock, error) {
		return l.Lock(ctx, "a", rig.TTL, redlock.WithFencing(redlock.Forever), redlock.WithRetry(redlock.Forever, 20*time.Millisecond))
	},
}

var sizes = map[string][]int{
	"TryLock each 20 ms":                     {5},
	"MaxWait of 200 ms, one after the other": {3},
	"Lock by default, one after the other":   {3},
	"LockAll":                                {3},
	"LockAll in line":                        {5},
	"with fencing":                           {3},
}

func TestALockLivesThroughTheRestartOfEveryNodeWhileOthersWantItInWhateverWay(t *testing.T) {
	rig.Long(t)
	for line, opts := range rig.LineAndNone {
		for name, want := range waysToWant {
			for _, size := range sizes[name] {
				t.Run(fmt.Sprint(line, ", ", name, ", ", size, " nodes"), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						nodes := rig.New(t, size)
						for _, nd := range nodes {
							nd.Slow(10 * time.Millisecond)
						}
						holder := rig.NewLocker(t, nodes)
						rig.WarmUp(t, holder)
						k, err := holder.Lock(t.Context(), "a", 3*time.Second, redlock.WithAutoExtend(redlock.Forever))
						require.NoError(t, err)
						held, stop := k.Context(context.Background())
						defer stop()
						ctx, cancel := context.WithCancel(context.Background())
						var all sync.WaitGroup
						for range 4 {
							l, err := redlock.New(rig.NewProcess(t, nodes).Clients, opts...)
							require.NoError(t, err)
							all.Go(func() {
								for ctx.Err() == nil && held.Err() == nil {
									if k, err := want(ctx, l); err == nil {
										assert.Error(t, held.Err(), "two holders")
										_ = k.Unlock(context.WithoutCancel(ctx))
									}
								}
								assert.NoError(t, l.Shutdown(context.WithoutCancel(ctx)))
							})
							time.Sleep(3 * time.Millisecond)
						}
						defer all.Wait()
						defer cancel()
						time.Sleep(5 * time.Second)
						for i, nd := range nodes {
							nd.Stop()
							time.Sleep(100 * time.Millisecond)
							nd.Restart()
							start := time.Now()
							for {
								v, _ := nd.Get("a")
								if v == k.Value() {
									break
								}
								if held.Err() != nil || time.Since(start) > 10*time.Second {
									t.Errorf("node %d of %d was not armed in %v; held: %v", i+1, size, time.Since(start), context.Cause(held))
									break
								}
								time.Sleep(5 * time.Millisecond)
							}
							time.Sleep(3 * time.Second)
						}
						assert.NoError(t, held.Err())
					})
				})
			}
		}
	}
}
