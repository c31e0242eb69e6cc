package pipeline_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// newUndialled returns clients that count their dials, which fail.
func newUndialled(t *testing.T, n int) (clients []*redis.Client, dials *atomic.Int64) {
	t.Helper()
	dials = new(atomic.Int64)
	clients = make([]*redis.Client, n)
	for i := range clients {
		clients[i] = redis.NewClient(&redis.Options{
			Addr: net.JoinHostPort("192.0.2."+string(rune('1'+i)), "6379"),
			Dialer: func(context.Context, string, string) (net.Conn, error) {
				dials.Add(1)
				return nil, rig.ErrRefused
			},
		})
		t.Cleanup(func() { _ = clients[i].Close() })
	}
	return clients, dials
}

func TestNewWithBatchesSendsNothingAndStartsNothing(t *testing.T) {
	clients, dials := newUndialled(t, 3)
	require.Zero(t, rig.Senders())
	l, err := redlock.New(clients, redlock.WithAutoPipeline())
	require.NoError(t, err)
	require.Zero(t, rig.Senders())
	require.Zero(t, dials.Load())
	require.NoError(t, l.Shutdown(t.Context()))
}

// A countingClient has a Pipeline that passes its Process over.
type countingClient struct {
	*redis.Client
	calls atomic.Int64
}

func (c *countingClient) Process(ctx context.Context, cmd redis.Cmder) error {
	c.calls.Add(1)
	return c.Client.Process(ctx, cmd)
}

func TestClientsThatTakeNoBatchesAreUsedAsTheyAre(t *testing.T) {
	on := rig.NewReal(t, 4)
	theirs, err := on.Clients[3].AutoPipeline()
	require.NoError(t, err)
	wrapped := &countingClient{Client: on.Clients[0]}
	var calls atomic.Int64
	l := rig.NewRealLocker(t, []redlock.Client{
		wrapped,
		rig.CustomClient{Do: func(ctx context.Context, cmd redis.Cmder) error {
			calls.Add(1)
			return on.Clients[1].Process(ctx, cmd)
		}},
		ringOf(t, on.Servers[2].Addr()),
		theirs,
	}, redlock.WithAutoPipeline())
	for range 10 {
		rig.LockOnce(t, l, "k")
		rig.DrainCalls(t, l) // a node that is behind is not asked
	}
	rig.Drain(t, l)
	require.GreaterOrEqual(t, wrapped.calls.Load(), int64(20))
	require.GreaterOrEqual(t, calls.Load(), int64(20))
	require.False(t, theirs.IsClosed())
	on.RequireEmpty(t, rig.LongTTL/3)
}

// ringOf returns a Ring of one server.
func ringOf(t *testing.T, addr string) *redis.Ring {
	t.Helper()
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"only": addr}})
	t.Cleanup(func() { assert.NoError(t, ring.Close()) })
	return ring
}

func TestALockThroughPipelinersEndsInTimeAndIsExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithAutoPipeline())
		rig.WarmUp(t, l)
		start := time.Now()
		k, err := l.Lock(t.Context(), "a", 10*time.Second)
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		require.NoError(t, k.Extend(t.Context(), 10*time.Second))
		ctx, cancel := k.Context(t.Context())
		defer cancel()
		<-ctx.Done()
		require.Equal(t, 15*time.Second-102*time.Millisecond, time.Since(start))
		require.ErrorIs(t, context.Cause(ctx), redlock.ErrLockLost)
	})
}
