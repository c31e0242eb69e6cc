package locking_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

// The server that has had the name becomes a replica: it passes on to those that listen to
// it still what is sent on the other one, where nobody seems to hear.
func TestWaitersAreHeardOnTheServerThatTheNameOfTheirsHasMovedTo(t *testing.T) {
	t.Parallel()
	both, ctx := servers.Start(t, 2), t.Context()
	was, is := both[0].Client(t), both[1].Client(t)
	follow := func(c *redis.Client, s *servers.Server) {
		host, port, err := net.SplitHostPort(s.Addr())
		require.NoError(t, err)
		require.NoError(t, c.ReplicaOf(ctx, host, port).Err())
	}
	follow(is, both[0])
	require.True(t, rig.Poll(rig.Patience, func() bool {
		return strings.Contains(is.Info(ctx, "replication").Val(), "master_link_status:up")
	}))
	var now atomic.Pointer[servers.Server]
	now.Store(both[0])
	var lockers []*redlock.Locker
	for range 10 {
		c := redis.NewClient(&redis.Options{
			Addr: "redis.internal:6379",
			Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, now.Load().Addr())
			},
		})
		t.Cleanup(func() { _ = c.Close() })
		lockers = append(lockers, rig.NewRealLocker(t, []*redis.Client{c}))
	}
	s := rig.StartRota(t, lockers, "a", time.Millisecond)
	heard := func(on *redis.Client) int { return len(on.PubSubChannels(ctx, "redlock:*").Val()) }
	assert.True(t, rig.Poll(rig.Patience, func() bool { return heard(was) == len(lockers) }), "all wait")

	now.Store(both[1])
	assert.NoError(t, is.ReplicaOf(ctx, "NO", "ONE").Err())
	follow(was, both[1])
	assert.True(t, rig.Poll(rig.Patience, func() bool { return heard(is) == len(lockers) && heard(was) == 0 }), "all are heard there")
	s.End()
	for _, l := range lockers {
		rig.Drain(t, l)
	}
}
