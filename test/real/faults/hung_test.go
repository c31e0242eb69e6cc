package faults_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/faultproxy"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

// forgetful starts n servers, each behind a proxy that can forget its flows, and returns
// clients with go-redis' default options but for the read timeout: 0 for that, too.
func forgetful(t *testing.T, n int, readTimeout time.Duration) ([]*faultproxy.Proxy, []*redis.Client) {
	t.Helper()
	var ways []*faultproxy.Proxy
	for _, s := range servers.Start(t, n) {
		ways = append(ways, faultproxy.New(t, s.Addr()))
	}
	return ways, through(t, ways, readTimeout)
}

// through returns a client for each way.
func through(t *testing.T, ways []*faultproxy.Proxy, readTimeout time.Duration) []*redis.Client {
	t.Helper()
	var clients []*redis.Client
	for _, w := range ways {
		client := redis.NewClient(&redis.Options{Addr: w.Addr(), ReadTimeout: readTimeout})
		t.Cleanup(func() { _ = client.Close() })
		// go-redis' first handshakes race with each other for its options.
		require.NoError(t, client.Ping(t.Context()).Err())
		clients = append(clients, client)
	}
	return clients
}

// openIdle has each client keep that many connections.
func openIdle(t *testing.T, clients []*redis.Client, n int) {
	t.Helper()
	for _, c := range clients {
		var conns []*redis.Conn
		for range n {
			conn := c.Conn()
			require.NoError(t, conn.Ping(t.Context()).Err())
			conns = append(conns, conn)
		}
		for _, conn := range conns {
			require.NoError(t, conn.Close())
		}
	}
}

func TestANameIsNotOutOfUseForAsLongAsAConnectionHangs(t *testing.T) {
	t.Parallel()
	for name, readTimeout := range map[string]time.Duration{"by default": 0, "without a read timeout": -1} {
		for way, opts := range map[string][]redlock.Option{"plain": nil, "in batches": {redlock.WithAutoPipeline()}} {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				ways, clients := forgetful(t, 1, readTimeout)
				locker, err := redlock.New(clients, opts...)
				require.NoError(t, err)
				const ttl = time.Minute // and a node timeout of a second
				ctx := t.Context()
				lock, err := locker.Lock(ctx, "job", ttl)
				require.NoError(t, err)
				ways[0].Forget()
				require.ErrorIs(t, lock.Unlock(ctx), redlock.ErrNoQuorum, "it hangs")
				// The key would be there for a minute.
				lock, err = locker.Lock(ctx, "job", ttl, redlock.WithMaxWait(ttl/2))
				require.NoError(t, err)
				require.NoError(t, lock.Unlock(ctx))

				openIdle(t, clients, 1)
				ways[0].Forget()
				_, err = locker.TryLock(ctx, "job", ttl)
				require.ErrorIs(t, err, redlock.ErrNoQuorum, "it hangs")
				lock, err = locker.Lock(ctx, "job", ttl, redlock.WithMaxWait(ttl/2))
				require.NoError(t, err)
				require.NoError(t, lock.Unlock(ctx))
				closing, cancel := context.WithTimeout(ctx, rig.Patience)
				defer cancel()
				require.NoError(t, locker.Shutdown(closing))
				n, err := clients[0].Exists(ctx, "job").Result()
				require.NoError(t, err)
				require.Zero(t, n)
			})
		}
	}
}

func TestAHeldLockSurvivesThatAllConnectionsAreForgotten(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		nodes, idle int
		ttl         time.Duration
	}{{1, 1, 6 * time.Second}, {3, 4, 15 * time.Second}} {
		for way, opts := range map[string][]redlock.Option{"plain": nil, "in batches": {redlock.WithAutoPipeline()}} {
			t.Run(fmt.Sprintf("%d nodes, %s", tt.nodes, way), func(t *testing.T) {
				t.Parallel()
				const holders = 20
				ways, _ := forgetful(t, tt.nodes, 0)
				locks, contexts := make([]*redlock.Lock, holders), make([]context.Context, holders)
				for i := range holders {
					clients := through(t, ways, 0)
					locker, err := redlock.New(clients, opts...)
					require.NoError(t, err)
					locks[i], err = locker.Lock(t.Context(), fmt.Sprint("job", i), tt.ttl, redlock.WithAutoExtend(redlock.Forever))
					require.NoError(t, err)
					ctx, cancel := locks[i].Context(t.Context())
					defer cancel()
					contexts[i] = ctx //nolint:fatcontext // one of many
					openIdle(t, clients, tt.idle)
					time.Sleep(tt.ttl / 3 / holders) // they fall due one after the other
				}
				for _, w := range ways {
					w.Forget()
				}
				forgotten := time.Now()
				for i, k := range locks {
					for contexts[i].Err() == nil && k.Until().Before(forgotten.Add(tt.ttl+tt.ttl/3)) {
						time.Sleep(10 * time.Millisecond)
					}
					assert.NoError(t, context.Cause(contexts[i]))
				}
				for _, k := range locks {
					assert.NoError(t, k.Unlock(t.Context()))
				}
			})
		}
	}
}
