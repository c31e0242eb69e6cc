package script_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/script"
)

// The lines of a and b are kept here, that of c is not.
var (
	gatesKeys   = []string{"a", "b", "c", "{a}:redlock:next", "{b}:redlock:next"}
	gatesFenced = append(gatesKeys[:5:5], "{a}:redlock:token", "{b}:redlock:token", "{c}:redlock:token")
	gatesLast   = []string{"a", "b", "c", "{a}:redlock:line", "{a}:redlock:next", "{b}:redlock:line", "{b}:redlock:next"}
)

func TestSeveralResourcesAreLeftToOneThatWasCalled(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		ctx := t.Context()
		for _, c := range []struct {
			script *script.Script
			keys   []string
			more   []any
			yes    int64
		}{{script.AcquireGates, gatesKeys, nil, 1}, {script.AcquireGatesFenced, gatesFenced, []any{7, hour}, 7}} {
			acquire := func(value string) (any, error) {
				return n.run(c.script, c.keys, append([]any{value, hour, "me", 3, 2}, c.more...)...)
			}
			require.NoError(t, n.client.Set(ctx, "{b}:redlock:next", "another", time.Second).Err())
			reply, err := acquire(ours)
			require.NoError(t, err)
			refusal, ok := reply.([]any)
			require.True(t, ok, "%v", reply)
			require.Len(t, refusal, 2)
			assert.Equal(t, "next", refusal[1])
			assert.LessOrEqual(t, refusal[0], int64(1000))
			assert.EqualValues(t, 1, n.client.DBSize(ctx).Val(), "nothing is written")

			require.NoError(t, n.client.Set(ctx, "{b}:redlock:next", "me", time.Second).Err())
			require.NoError(t, n.client.Set(ctx, "b", kept, time.Second).Err())
			require.NoError(t, n.client.Set(ctx, "{a}:redlock:next", "kept wrongly", time.Hour).Err())
			reply, err = acquire(ours)
			require.NoError(t, err)
			assert.Equal(t, c.yes, reply)
			assert.Zero(t, n.client.Exists(ctx, "{b}:redlock:next").Val(), "who was called needs it no more")
			require.NoError(t, n.client.Set(ctx, "{b}:redlock:next", "another", time.Second).Err())
			reply, err = acquire(ours)
			require.NoError(t, err)
			assert.Equal(t, []any{c.yes, "ours"}, reply, "sent again")
			reply, err = acquire(theirs)
			require.NoError(t, err)
			refusal, ok = reply.([]any)
			require.True(t, ok, "%v", reply)
			assert.NotEqual(t, "next", refusal[1], "it is held")
			require.NoError(t, n.client.FlushDB(ctx).Err())
		}
	})
}

func TestTheReleaseOfSeveralTellsWhereSomebodyIsNext(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		ctx := t.Context()
		set := func(keys ...string) {
			for _, key := range keys {
				require.NoError(t, n.client.Set(ctx, key, ours, time.Hour).Err())
			}
		}
		set("a", "b", "c")
		n.requireReply(1, script.ReleaseGates, gatesLast, ours, 2, 1, 1000)
		n.requireGateRefusalOf("b", "first")
		set("a", "c")
		reply, err := n.run(script.ReleaseGates, gatesLast, ours, 2, 1, 1000)
		require.NoError(t, err)
		assert.EqualValues(t, -1, reply, "somebody else has b")
		require.NoError(t, n.client.Del(ctx, "b").Err())
		set("a", "b", "c")
		reply, err = n.run(script.ReleaseGates, gatesLast, ours, 2, 1, 1000)
		require.NoError(t, err)
		assert.Equal(t, []any{int64(1), "next", int64(2)}, reply)
		assert.Equal(t, kept, n.client.Get(ctx, "b").Val())
		require.NoError(t, n.client.Set(ctx, "{a}:redlock:next", "another", time.Second).Err())
		reply, err = n.run(script.ReleaseGates, gatesLast, ours, 2, 1, 1000)
		require.NoError(t, err)
		assert.Equal(t, []any{int64(-1), "next", int64(1), int64(2)}, reply)
	})
}

// requireGateRefusalOf has somebody else hold a resource, and a Locker wait for it.
func (n *node) requireGateRefusalOf(resource, locker string) {
	n.t.Helper()
	require.NoError(n.t, n.client.Set(n.t.Context(), resource, theirs, time.Hour).Err())
	keys := []string{resource, "{" + resource + "}:redlock:line", "{" + resource + "}:redlock:next"}
	_, err := n.run(script.AcquireGate, keys, ours, hour, locker, "now")
	require.NoError(n.t, err)
}
