package deployments_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/faultproxy"
	"github.com/b0401464/redlock/test/servers"
)

// A breaker is a Limiter that counts what it is told, as a circuit breaker does.
type breaker struct {
	mu       sync.Mutex
	failures []error
}

func (b *breaker) Allow() error { return nil }

func (b *breaker) ReportResult(err error) {
	if err == nil || errors.Is(err, redis.Nil) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = append(b.failures, err)
}

// told returns how often the breaker was told that a script is not known, and forgets it.
func (b *breaker) told(t *testing.T) (unknown int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, err := range b.failures {
		if redis.HasErrorPrefix(err, "NOSCRIPT") {
			unknown++
		} else {
			t.Errorf("the breaker was told: %v", err)
		}
	}
	b.failures = nil
	return unknown
}

func TestNodesAreNotAskedForScriptsTheyDoNotKnow(t *testing.T) {
	const callers = 64
	for name, opts := range map[string][]redlock.Option{"plain": nil, "in batches": {redlock.WithAutoPipeline()}} {
		t.Run(name, func(t *testing.T) {
			var clients []*redis.Client
			var breakers []*breaker
			for _, server := range servers.Start(t, 3) {
				b := &breaker{}
				client := server.Client(t, func(o *redis.Options) {
					o.PoolSize, o.DisableIdentity, o.Limiter = 2*callers, true, b // CLIENT SETINFO is an error before Redis 7.2
				})
				var all sync.WaitGroup
				for range callers { // the program has been running for a while
					all.Go(func() { _ = client.BLPop(context.Background(), time.Second, "nothing").Err() })
				}
				all.Wait()
				b.failures = nil
				clients, breakers = append(clients, client), append(breakers, b)
			}
			locker, err := redlock.New(clients, opts...)
			require.NoError(t, err)
			burst := func() {
				var all sync.WaitGroup
				for i := range callers {
					all.Go(func() {
						lock, err := locker.TryLock(t.Context(), fmt.Sprint("order:", i), 10*time.Second)
						if assert.NoError(t, err) {
							assert.NoError(t, lock.Unlock(t.Context()))
						}
					})
				}
				all.Wait()
				requireQuiet(t, locker)
			}
			for range 3 {
				burst()
				for _, b := range breakers {
					assert.Zero(t, b.told(t))
				}
			}
			for _, c := range clients { // as a restart does, which idle connections do not tell
				require.NoError(t, c.ScriptFlush(t.Context()).Err())
			}
			time.Sleep(1200 * time.Millisecond)
			burst()
			for _, b := range breakers {
				assert.LessOrEqual(t, b.told(t), 4, "one for each script: to acquire and to release, at the gate of a resource and elsewhere")
			}
		})
	}
}

// requireQuiet waits until nothing is under way to the nodes.
func requireQuiet(t *testing.T, l *redlock.Locker) {
	t.Helper()
	require.Eventually(t, func() bool { return seam.OpenCalls(l) == 0 }, 10*time.Second, time.Millisecond)
}

func TestAFirstTryLockIsInTimeWithTheNodeTimeoutThatIsAskedFor(t *testing.T) {
	const trip = 60 * time.Millisecond
	proxy := faultproxy.New(t, servers.StartOne(t).Addr())
	proxy.Latency(trip)
	client := redis.NewClient(&redis.Options{Addr: proxy.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	var commands atomic.Int64
	client.AddHook(lockCounter{&commands})
	locker, err := redlock.New([]*redis.Client{client}, redlock.WithNodeTimeout(8*trip))
	require.NoError(t, err)
	lock, err := locker.TryLock(t.Context(), "x", 80*trip)
	require.NoError(t, err)
	assert.EqualValues(t, 1, commands.Load())
	require.NoError(t, lock.Unlock(t.Context()))
}

// A lockCounter counts the commands of locks.
type lockCounter struct{ n *atomic.Int64 }

func (c lockCounter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c lockCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if name := cmd.Name(); name == "eval" || name == "evalsha" || name == "set" || name == "delex" || name == "delifeq" {
			c.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (c lockCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
