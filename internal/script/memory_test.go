package script_test

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/script"
	"github.com/b0401464/redlock/test/servers"
)

func TestANodeWithoutMemoryStillTellsWhatIsHeldAndWhatIsOurs(t *testing.T) {
	t.Parallel()
	n := &node{t, servers.StartOne(t).Client(t)}
	for _, key := range []string{"a", "b"} {
		n.set(key, theirs, hour)
	}
	n.set("ours", ours, hour)
	require.NoError(t, n.client.ConfigSet(t.Context(), "maxmemory", "1").Err())

	n.requireRefusal([]string{"a"}, ours, day)
	n.requireRefusal([]string{"a", "b"}, ours, day)
	requireMost(t, hour, n.requireGateRefusal(ours, day, "me", "").remaining)
	requireMost(t, hour, n.requireGateRefusal(ours, day, "me", "now").remaining)
	n.requireOurs(1, script.Acquire, []string{"ours"}, ours, day)
	n.requireOurs(1, script.AcquireGate, besideKeys("ours"), ours, day, "me", "")
	n.requireHas("ours", ours, hour)
	_, err := n.run(script.Acquire, []string{"free"}, ours, hour)
	require.True(t, redis.HasErrorPrefix(err, "OOM"), err)
	_, err = n.run(script.AcquireGate, besideKeys("free"), ours, hour, "me", "")
	require.True(t, redis.HasErrorPrefix(err, "OOM"), err)
	n.requireGone("free")
}

// besideKeys returns what the scripts of a gate use for a resource.
func besideKeys(resource string) []string {
	return []string{resource, "{" + resource + "}line", "{" + resource + "}next"}
}
