package redlock_test

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// flushers returns how many goroutines pipeliners have. Tests that ask must not run
// beside others.
func flushers() int {
	stacks := make([]byte, 1<<24)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return bytes.Count(stacks, []byte("(*apShard).flusher("))
}

// requireFlushers requires that pipeliners have n goroutines, soon.
func requireFlushers(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return flushers() == n }, realPatience, realTick, "pipeliners are open, or are not")
}

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
				return nil, errRefused
			},
		})
		t.Cleanup(func() { _ = clients[i].Close() })
	}
	return clients, dials
}

func TestNewMakesPipelinersWithoutSendingAndShutdownClosesThem(t *testing.T) {
	clients, dials := newUndialled(t, 3)
	requireFlushers(t, 0)
	l, err := redlock.New(clients, redlock.WithAutoPipeline())
	require.NoError(t, err)
	requireFlushers(t, 3)
	require.Zero(t, dials.Load())
	require.NoError(t, l.Shutdown(t.Context()))
	requireFlushers(t, 0)
	require.NoError(t, l.Shutdown(t.Context()), "again")

	_, err = redlock.New(clients)
	require.NoError(t, err)
	require.Zero(t, flushers(), "by default there are none")
}

func TestNewThatFailsLeavesNoPipelinerOpen(t *testing.T) {
	clients, _ := newUndialled(t, 3)
	require.NoError(t, clients[2].Close())
	_, err := redlock.New(clients, redlock.WithAutoPipeline())
	require.ErrorIs(t, err, redlock.ErrInvalidArgument)
	require.ErrorContains(t, err, "client 2")
	requireFlushers(t, 0)

	clients, _ = newUndialled(t, 2)
	_, err = redlock.New(clients, redlock.WithAutoPipeline(), redlock.WithDriftFactor(2))
	require.ErrorIs(t, err, redlock.ErrInvalidArgument)
	requireFlushers(t, 0)
	_, err = redlock.New([]*redis.ClusterClient{{}}, redlock.WithAutoPipeline())
	require.ErrorIs(t, err, redlock.ErrInvalidArgument, "a panic of the client is none of New's")
}

func TestClosingTheClientEndsThePipelinerOfALockerThatWasNeverShutDown(t *testing.T) {
	clients, _ := newUndialled(t, 2)
	_, err := redlock.New(clients, redlock.WithAutoPipeline())
	require.NoError(t, err)
	requireFlushers(t, 2)
	for _, c := range clients {
		require.NoError(t, c.Close())
	}
	requireFlushers(t, 0)
}

func TestPipelinersOfTheProgramAndOfOtherLockersStayOpen(t *testing.T) {
	clients, _ := newUndialled(t, 1)
	theirs, err := clients[0].AutoPipeline()
	require.NoError(t, err)
	first, err := redlock.New(clients, redlock.WithAutoPipeline())
	require.NoError(t, err)
	second, err := redlock.New(clients, redlock.WithAutoPipeline())
	require.NoError(t, err)
	requireFlushers(t, 3)
	require.NoError(t, first.Shutdown(t.Context()))
	requireFlushers(t, 2)
	require.False(t, theirs.IsClosed())
	require.NoError(t, second.Shutdown(t.Context()))
	requireFlushers(t, 1)
	require.False(t, theirs.IsClosed())

	third, err := redlock.New([]*redis.AutoPipeliner{theirs}, redlock.WithAutoPipeline())
	require.NoError(t, err)
	require.Equal(t, 1, flushers(), "a pipeliner is used as it is")
	require.NoError(t, third.Shutdown(t.Context()))
	require.False(t, theirs.IsClosed())
}

// A countingClient has an AutoPipeline that passes its Process over.
type countingClient struct {
	*redis.Client
	calls atomic.Int64
}

func (c *countingClient) Process(ctx context.Context, cmd redis.Cmder) error {
	c.calls.Add(1)
	return c.Client.Process(ctx, cmd)
}

func TestClientsWithoutPipelinersAreUsedAsTheyAre(t *testing.T) {
	rig := newRealRig(t, 3)
	requireFlushers(t, 0)
	wrapped := &countingClient{Client: rig.clients[0]}
	var calls atomic.Int64
	l := newRealLocker(t, []redlock.Client{
		wrapped,
		customClient{func(ctx context.Context, cmd redis.Cmder) error {
			calls.Add(1)
			return rig.clients[1].Process(ctx, cmd)
		}},
		ringOf(t, rig.servers[2].Addr()),
	}, redlock.WithAutoPipeline())
	require.Zero(t, flushers())
	for range 10 {
		lockOnce(t, l, "k")
		drainCalls(t, l) // a node that is behind is not asked
	}
	drain(t, l)
	require.GreaterOrEqual(t, wrapped.calls.Load(), int64(20))
	require.GreaterOrEqual(t, calls.Load(), int64(20))
	require.Zero(t, flushers())
	rig.requireEmpty(t, realTTL/3)
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
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes, redlock.WithAutoPipeline())
		warmUp(t, l)
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
