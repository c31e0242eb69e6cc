package script_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/b0401464/redlock/internal/script"
	"github.com/b0401464/redlock/test/servers"
)

const (
	ours   = "0123456789abcdef0123456789abcdef"
	theirs = "fedcba9876543210fedcba9876543210"
	others = "00000000000000000000000000000000"

	// Times to live, in ms. They are far apart, so that it does not matter how
	// long a test takes.
	hour = int64(3_600_000)
	day  = 24 * hour
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A node is a Redis, real or not, and what a test needs to do to it.
type node struct {
	t      *testing.T
	client *redis.Client
}

// onEachRedis runs test on an in-memory Redis and on a real one.
func onEachRedis(t *testing.T, test func(n *node)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		test(&node{t, newMemoryRedis(t)})
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(&node{t, servers.StartOne(t).Client(t)})
	})
}

func newMemoryRedis(t *testing.T) *redis.Client {
	t.Helper()
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	c := redis.NewClient(&redis.Options{
		Addr:                     "127.0.0.1:1", // a literal IP, for the sake of bubbles
		Dialer:                   func(context.Context, string, string) (net.Conn, error) { return m.Dial() },
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		ReadTimeout:              5 * time.Minute, // a thousand keys take miniredis long, on a busy machine with -race
	})
	t.Cleanup(func() {
		_ = c.Close()
		m.Close()
	})
	return c
}

// run runs a script as the library does: by its name, and by its source where
// the node does not know it. Whatever it is, the answer is never 0 or nil.
func (n *node) run(s *script.Script, keys []string, args ...any) (any, error) {
	n.t.Helper()
	named := make([]any, len(keys))
	for i, k := range keys {
		named[i] = k
	}
	evalsha := s.Args(named, args...)
	reply, err := n.client.Do(n.t.Context(), evalsha...).Result()
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		reply, err = n.client.Do(n.t.Context(), s.Eval(evalsha)...).Result()
	}
	require.NotErrorIs(n.t, err, redis.Nil)
	if err == nil {
		require.NotNil(n.t, reply)
		require.NotEqual(n.t, int64(0), reply)
		require.NotEqual(n.t, "", reply)
	}
	return reply, err
}

func (n *node) requireReply(want int64, s *script.Script, keys []string, args ...any) {
	n.t.Helper()
	reply, err := n.run(s, keys, args...)
	require.NoError(n.t, err)
	require.Equal(n.t, want, reply)
}

// requireOurs demands that an acquire finds its own value.
func (n *node) requireOurs(want int64, s *script.Script, keys []string, args ...any) {
	n.t.Helper()
	reply, err := n.run(s, keys, args...)
	require.NoError(n.t, err)
	require.Equal(n.t, []any{want, "ours"}, reply)
}

func (n *node) requireWrongType(s *script.Script, keys []string, args ...any) {
	n.t.Helper()
	_, err := n.run(s, keys, args...)
	require.ErrorContains(n.t, err, "WRONGTYPE")
}

// A refusal is what the acquire script says when somebody else holds a key.
type refusal struct {
	remaining int64
	mark      string
}

func (n *node) requireRefusal(keys []string, args ...any) refusal {
	n.t.Helper()
	reply, err := n.run(script.Acquire, keys, args...)
	require.NoError(n.t, err)
	pair, ok := reply.([]any)
	require.Truef(n.t, ok, "not a refusal: %v", reply)
	require.Len(n.t, pair, 2)
	require.IsType(n.t, int64(0), pair[0])
	require.IsType(n.t, "", pair[1])
	return refusal{pair[0].(int64), pair[1].(string)}
}

// set sets key for ttl ms, or for ever if that is 0.
func (n *node) set(key, value string, ttl int64) {
	n.t.Helper()
	require.NoError(n.t, n.client.Set(n.t.Context(), key, value, time.Duration(ttl)*time.Millisecond).Err())
}

func (n *node) setList(key string) {
	n.t.Helper()
	require.NoError(n.t, n.client.RPush(n.t.Context(), key, ours).Err())
}

func (n *node) requireList(key string) {
	n.t.Helper()
	list, err := n.client.LRange(n.t.Context(), key, 0, -1).Result()
	require.NoError(n.t, err)
	require.Equal(n.t, []string{ours}, list)
}

// requireHas demands that key has a value, and for ever if ttl is 0, otherwise
// for at most ttl ms of which less than a minute has passed.
func (n *node) requireHas(key, value string, ttl int64) {
	n.t.Helper()
	got, err := n.client.Get(n.t.Context(), key).Result()
	require.NoError(n.t, err)
	require.Equal(n.t, value, got)
	left, err := n.client.Do(n.t.Context(), "pttl", key).Int64()
	require.NoError(n.t, err)
	if ttl == 0 {
		require.Equal(n.t, int64(-1), left, "an expiry")
		return
	}
	requireMost(n.t, ttl, left)
}

// requireMost demands that at most a minute is missing from ttl.
func requireMost(t *testing.T, ttl, left int64) {
	t.Helper()
	require.LessOrEqual(t, left, ttl)
	require.Greater(t, left, ttl-60_000)
}

func (n *node) requireGone(keys ...string) {
	n.t.Helper()
	require.Zero(n.t, n.client.Exists(n.t.Context(), keys...).Val(), "%.100q", keys)
}
