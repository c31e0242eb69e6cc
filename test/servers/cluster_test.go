package servers_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/servers"
)

func TestClusterServesEveryKeyByItsOwner(t *testing.T) {
	t.Parallel()
	cluster := servers.StartCluster(t, 3)
	c := cluster.Client(t)
	owners := make(map[int]int)
	for i := range 100 {
		key := fmt.Sprint("k", i)
		require.NoError(t, c.Set(t.Context(), key, i, 0).Err())
		owner := cluster.Owner(key)
		owners[owner]++
		for s, server := range cluster.Servers {
			err := server.Client(t).Get(t.Context(), key).Err()
			if s == owner {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, "MOVED")
			}
		}
	}
	require.Len(t, owners, 3, "some server has none of the keys")
}

func TestKeyOfAClusterCanBeMovedStepByStep(t *testing.T) {
	t.Parallel()
	cluster := servers.StartCluster(t, 3)
	c := cluster.Client(t)
	require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
	from := cluster.Owner("k")
	to := (from + 1) % 3
	old, next := cluster.Servers[from].Client(t), cluster.Servers[to].Client(t)

	cluster.BeginMove("k", to)
	require.Equal(t, "v", old.Get(t.Context(), "k").Val())
	require.ErrorContains(t, old.Get(t.Context(), "{k}other").Err(), "ASK")
	require.Equal(t, 1, cluster.MoveKeys("k", to))
	require.ErrorContains(t, old.Get(t.Context(), "k").Err(), "ASK")
	require.ErrorContains(t, next.Get(t.Context(), "k").Err(), "MOVED")
	require.Equal(t, from, cluster.Owner("k"))
	cluster.EndMove("k", to)
	require.Equal(t, to, cluster.Owner("k"))
	require.Equal(t, "v", next.Get(t.Context(), "k").Val())
	require.ErrorContains(t, old.Get(t.Context(), "k").Err(), "MOVED")
	require.Equal(t, "v", c.Get(t.Context(), "k").Val())
}
