package pipeline_test

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// Others, with a node timeout of 1 s, hang in a batch that is sent while the caller with
// one of 100 ms still waits for its own.
func TestABatchThatHangsBeforeTheOneOfACallerWithAShorterNodeTimeoutCostsItNothing(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"by itself": nil, "in batches": {redlock.WithAutoPipeline()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const long, short = time.Second, 100 * time.Millisecond
				nodes, h := rig.New(t, 1), new(rig.BatchHook)
				nodes[0].Client.AddHook(h)
				l := rig.NewLocker(t, nodes, append(opts, redlock.WithRetry(0, 0))...)
				rig.WarmUp(t, l)
				h.Set(func([]redis.Cmder, func() error) error {
					h.Set(nil)
					return &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
				})
				if k, err := l.TryLock(t.Context(), "lost", time.Hour); err == nil { // a connection: batches go one at a time
					require.NoError(t, k.Unlock(t.Context()))
				}
				synctest.Wait()

				hang := make(chan struct{})
				var sent atomic.Int32
				h.Set(func(_ []redis.Cmder, next func() error) error {
					switch sent.Add(1) {
					case 1:
						time.Sleep(10 * time.Millisecond)
					case 2:
						<-hang
					}
					return next()
				})
				var wg sync.WaitGroup
				try := func(key string, timeout time.Duration) (err error) {
					k, err := l.TryLock(t.Context(), key, time.Hour, redlock.WithNodeTimeout(timeout))
					if err == nil {
						_ = k.Unlock(t.Context())
					}
					return err
				}
				wg.Go(func() { _ = try("first", long) })
				synctest.Wait()
				var lost atomic.Int32
				for i := range 300 { // more than one batch
					wg.Go(func() {
						if try(fmt.Sprint("k", i), long) != nil {
							lost.Add(1)
						}
					})
				}
				synctest.Wait()
				begun := time.Now()
				err := try("short", short)
				t.Logf("%v after %v", err, time.Since(begun))
				wg.Wait()
				t.Logf("%d others got no lock", lost.Load())
				close(hang)
				require.NoError(t, err)
			})
		})
	}
}
