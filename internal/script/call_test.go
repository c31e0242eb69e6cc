package script_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/script"
	"github.com/b0401464/redlock/test/servers"
)

// noChannel makes the user of a client of a real server one who may use no channel.
func noChannel(n *node) {
	n.t.Helper()
	require.NoError(n.t, n.client.Do(n.t.Context(), "ACL", "SETUSER", "default", "resetchannels").Err())
}

func TestAReleaseTellsWhomTheServerRefusesToTell(t *testing.T) {
	t.Parallel()
	n := &node{t, servers.StartOne(t).Client(t)}
	noChannel(n)
	requireNext := func(want int64, next []any, args ...any) {
		t.Helper()
		reply, err := n.run(script.ReleaseGate, gateKeys, args...)
		require.NoError(t, err)
		require.Equal(t, append([]any{want, "next"}, next...), reply)
	}
	for _, mode := range []string{"pop", "pop 16"} {
		n.requireReply(1, script.AcquireGate, gateKeys, theirs, hour, "holder", "")
		n.requireGateRefusal(ours, hour, "first", "now")
		n.requireGateRefusal(ours, hour, "~second", "now")
		n.requireGateRefusal(ours, hour, "third", "now")
		requireNext(1, []any{"first"}, theirs, "holder", mode, 1000)
		n.requireReserved("first")
		requireNext(-1, nil, theirs, "first", "leave 16", 1000) // who is next looks by itself
		n.requireReserved("~second")
		requireNext(-1, []any{"third"}, theirs, "~second", "leave 16", 1000)
		n.requireReserved("third")
		n.requireReply(1, script.AcquireGate, gateKeys, ours, hour, "third", "now")
		n.requireReply(1, script.ReleaseGate, gateKeys, ours, "third", mode, 1000)
		n.requireLine()
	}

	// The first one of those far away has reserved it.
	n.requireReply(1, script.AcquireGate, gateKeys, theirs, hour, "holder", "")
	n.requireGateRefusal(ours, hour, "first", "1 1000")
	requireNext(1, []any{"first"}, theirs, "holder", "pop 16", 30)
}

func TestAReleaseOfSeveralTellsWhomTheServerRefusesToTell(t *testing.T) {
	t.Parallel()
	n := &node{t, servers.StartOne(t).Client(t)}
	noChannel(n)
	for i, resource := range []string{"a", "b", "c"} {
		line, reservation := script.Line(resource)
		keys := []string{resource, line, reservation}
		n.requireReply(1, script.Acquire, keys[:1], theirs, hour)
		_, err := n.run(script.AcquireGate, keys, ours, hour, []string{"first", "~second", "third"}[i], "now")
		require.NoError(t, err)
	}
	keys := []string{"a", "b", "c"}
	for _, resource := range []string{"a", "b", "c"} {
		line, reservation := script.Line(resource)
		keys = append(keys, line, reservation)
	}
	reply, err := n.run(script.ReleaseGates, keys, theirs, 3, 16, 1000)
	require.NoError(t, err)
	require.Equal(t, []any{int64(1), "next", int64(1), "first", int64(2), int64(3), "third"}, reply)
}

func TestALockerHasOnePlaceInLineWhateverItIsCalled(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(n *node) {
		n.requireReply(1, script.AcquireGate, gateKeys, theirs, hour, "holder", "")
		came := n.requireGateRefusal(ours, hour, "me", "now").came
		n.requireGateRefusal(ours, hour, "other", "now")
		for _, self := range []string{"~me", "me", "~me"} {
			for _, when := range []string{"now", came} {
				refusal := n.requireGateRefusal(ours, hour, self, when)
				require.Zero(t, refusal.rank)
				require.Equal(t, came, refusal.came)
				n.requireLine(self, "other")
			}
		}
		n.requireNext(1, theirs, "holder", "pop", 1000)
		n.requireReserved("~me")
		n.requireReply(1, script.AcquireGate, gateKeys, ours, hour, "me", came)
		n.requireReserved("")
		n.requireLine("other")

		require.NoError(t, n.client.ZAdd(t.Context(), gateKeys[1], redis.Z{Score: 1, Member: "~me"}).Err())
		require.NoError(t, n.client.Set(t.Context(), gateKeys[2], "~me", time.Second).Err())
		n.requireNext(1, ours, "me", "leave", 1000)
		n.requireReserved("other")
		n.requireLine()
	})
}
