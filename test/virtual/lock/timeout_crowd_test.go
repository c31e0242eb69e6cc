package lock_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

func TestThousandsOfRoundsThatTimeOutTogetherDoSoInTime(t *testing.T) {
	rig.Long(t)
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithRetry(0, 0))
		rig.WarmUp(t, l)
		for _, n := range nodes[:2] {
			n.Freeze()
		}
		for round := range 3 {
			var wg sync.WaitGroup
			for i := range 2000 {
				wg.Go(func() {
					timeout := time.Duration(50+i%7) * time.Millisecond
					begun := time.Now()
					_, err := l.TryLock(t.Context(), fmt.Sprint(round, "-", i), 10*time.Second, redlock.WithNodeTimeout(timeout))
					assert.ErrorIs(t, err, redlock.ErrNoQuorum)
					assert.LessOrEqual(t, time.Since(begun), timeout)
				})
			}
			wg.Wait()
		}
		for _, n := range nodes {
			n.Thaw()
		}
		time.Sleep(2 * time.Minute)
		rig.RequireNoKeys(t, nodes)
		require.Zero(t, seam.OpenCalls(l))
	})
}

func TestALockerThatIsDroppedIsCollected(t *testing.T) {
	t.Parallel()
	m := miniredis.NewMiniRedis()
	c := redis.NewClient(&redis.Options{
		Addr:                     "127.0.0.1:1",
		Dialer:                   func(context.Context, string, string) (net.Conn, error) { return m.Dial() },
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() {
		_ = c.Close()
		m.Close()
	})
	rival, err := redlock.New([]*redis.Client{c})
	require.NoError(t, err)
	_, err = rival.Lock(t.Context(), "a0", time.Hour) // one call is refused
	require.NoError(t, err)
	for _, d := range []time.Duration{50 * time.Millisecond, time.Hour} {
		for _, opts := range [][]redlock.Option{nil, {redlock.WithAutoPipeline()}} {
			t.Run(fmt.Sprint(d, len(opts)), func(t *testing.T) {
				t.Parallel()
				collected := make(chan struct{})
				func() {
					l, err := redlock.New([]*redis.Client{c}, append(opts, redlock.WithNodeTimeout(d))...)
					require.NoError(t, err)
					runtime.AddCleanup(l, func(struct{}) { close(collected) }, struct{}{})
					for i := range 10 { // a busy machine takes longer than 50 ms, which is no matter
						if k, err := l.TryLock(t.Context(), fmt.Sprint("a", i), 2*time.Hour); err == nil {
							_ = k.Unlock(t.Context())
						}
					}
				}()
				require.Eventually(t, func() bool {
					runtime.GC()
					select {
					case <-collected:
						return true
					default:
						return false
					}
				}, 30*time.Second, 20*time.Millisecond, "%v", d)
			})
		}
	}
}
