package servers_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/servers"
)

func TestReplicaFollowsAMasterThatIsKilled(t *testing.T) {
	t.Parallel()
	group := servers.StartSentinelGroup(t)
	c := group.Client(t)
	require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
	group.WaitForReplica()
	killed := time.Now()
	group.Master.Kill()
	group.WaitForFailover()
	t.Logf("failover after %v", time.Since(killed))
	require.Eventually(t, func() bool { return c.Get(context.Background(), "k").Val() == "v" }, patience, interval)
}

func TestWhatWasWrittenAfterReplicationWasCutIsLostByAFailover(t *testing.T) {
	t.Parallel()
	group := servers.StartSentinelGroup(t)
	c := group.Client(t)
	require.NoError(t, c.Set(t.Context(), "before", "v", 0).Err())
	group.CutReplication()
	require.NoError(t, c.Set(t.Context(), "after", "v", 0).Err())
	group.Master.Kill()
	group.Replica.Thaw()
	group.WaitForFailover()
	replica := group.Replica.Client(t)
	require.Equal(t, "v", replica.Get(t.Context(), "before").Val())
	require.Zero(t, replica.Exists(t.Context(), "after").Val())
}
