package script_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/script"
	"github.com/b0401464/redlock/test/servers"
)

// runAfter runs a script that acquires on a server that is to have been up for so many ms.
func (n *node) runAfter(ms int64, s *script.Script, keys []string, args ...any) (any, error) {
	n.t.Helper()
	named := make([]any, len(keys))
	for i, k := range keys {
		named[i] = k
	}
	q, all := s.Quarantine(s.Args(named, args...), ms)
	return n.client.Do(n.t.Context(), q.Eval(all)...).Result()
}

// acquires are all scripts that acquire, with keys and arguments for "a" or for "a" and "b".
func acquires() map[string]func(n *node, ms int64) (any, error) {
	call := func(s *script.Script, keys []string, args ...any) func(n *node, ms int64) (any, error) {
		return func(n *node, ms int64) (any, error) { return n.runAfter(ms, s, keys, args...) }
	}
	return map[string]func(n *node, ms int64) (any, error){
		"one":              call(script.Acquire, []string{"a"}, ours, hour),
		"several":          call(script.Acquire, []string{"a", "b"}, ours, hour),
		"fenced":           call(script.AcquireFenced, []string{"a", "a:token"}, ours, hour, 1, 1, 0),
		"several, fenced":  call(script.AcquireFenced, []string{"a", "b", "a:token", "b:token"}, ours, hour, 1, 1, 0),
		"at a gate":        call(script.AcquireGate, []string{"a", "a:line", "a:next"}, ours, hour, "self", "now"),
		"gate, fenced":     call(script.AcquireGateFenced, []string{"a", "a:line", "a:next", "a:token"}, ours, hour, "self", "now", 1, 0),
		"at gates":         call(script.AcquireGates, []string{"a", "b", "a:next"}, ours, hour, "self", 2, 1),
		"at gates, fenced": call(script.AcquireGatesFenced, []string{"a", "b", "a:next", "a:token", "b:token"}, ours, hour, "self", 2, 1, 1, 0),
	}
}

func TestAServerThatWasStartedAMomentAgoAcquiresNothingAndIsAsItWas(t *testing.T) {
	t.Parallel()
	n := &node{t, servers.StartOne(t).Client(t)}
	for name, acquire := range acquires() {
		_, err := acquire(n, hour)
		require.True(t, redis.HasErrorPrefix(err, "QUARANTINE"), "%s: %v", name, err)
		assert.Zero(t, n.client.DBSize(t.Context()).Val())
	}
}

func TestAServerThatIsUpForLongEnoughAcquiresAsEver(t *testing.T) {
	t.Parallel()
	for name, acquire := range acquires() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := &node{t, servers.StartOne(t).Client(t)}
			begun := time.Now()
			require.EventuallyWithT(t, func(c *assert.CollectT) {
				reply, err := acquire(n, 500)
				require.NoError(c, err)
				require.Equal(c, int64(1), reply)
			}, time.Minute, 10*time.Millisecond)
			assert.GreaterOrEqual(t, time.Since(begun)+time.Second, 500*time.Millisecond)
			n.requireHas("a", ours, hour)
			require.NoError(t, n.client.Set(t.Context(), "a", theirs, 0).Err())
			reply, err := acquire(n, 500)
			require.NoError(t, err)
			assert.IsType(t, []any{}, reply)
		})
	}
}

// What it has found out holds for a moment only, so that a restart is not hidden by it.
func TestThatAServerIsUpIsRememberedForAMoment(t *testing.T) {
	t.Parallel()
	n := &node{t, servers.StartOne(t).Client(t)}
	ctx := t.Context()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		_, err := n.runAfter(1, script.Acquire, []string{"a"}, ours, hour)
		require.NoError(c, err)
	}, time.Minute, 10*time.Millisecond)
	require.Eventually(t, func() bool { return n.client.Exists(ctx, script.Up).Val() == 0 }, time.Minute, time.Millisecond)

	require.NoError(t, n.client.Set(ctx, script.Up, "500", 50*time.Millisecond).Err())
	_, err := n.runAfter(hour, script.Acquire, []string{"b"}, ours, hour)
	require.True(t, redis.HasErrorPrefix(err, "QUARANTINE"), "it is for another time: %v", err)

	// One that lasts for longer was not put there a moment ago, by this clock.
	for _, lasts := range []time.Duration{0, time.Hour} {
		require.NoError(t, n.client.Set(ctx, script.Up, hour, lasts).Err())
		_, err := n.runAfter(hour, script.Acquire, []string{"b"}, ours, hour)
		require.True(t, redis.HasErrorPrefix(err, "QUARANTINE"), "%v: %v", lasts, err)
	}

	// A key of somebody else is left alone.
	for _, put := range []func() error{
		func() error { return n.client.Set(ctx, script.Up, "somebody", 0).Err() },
		func() error { return n.client.RPush(ctx, script.Up, "somebody").Err() },
	} {
		require.NoError(t, n.client.Del(ctx, script.Up, "b").Err())
		require.NoError(t, put())
		_, err = n.runAfter(1, script.Acquire, []string{"b"}, ours, hour)
		require.NoError(t, err)
		assert.Equal(t, time.Duration(-1), n.client.PTTL(ctx, script.Up).Val())
	}
}
