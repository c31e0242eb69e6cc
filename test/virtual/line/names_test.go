package line_test

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// The client of a Sentinel group does not tell its addresses. Two groups have to be listed in
// the same order, but not at the same place.
func TestASentinelGroupIsTheSameGateWhereverItIsListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 5)
		var clients []*redis.Client
		for i, n := range nodes {
			o := *n.Client.Options()
			if i < 2 {
				o.Addr = "FailoverClient" // as that of redis.NewFailoverClient
			}
			c := redis.NewClient(&o)
			t.Cleanup(func() { _ = c.Close() })
			clients = append(clients, c)
		}
		process := func(order ...int) *redlock.Locker {
			var listed []*redis.Client
			for _, i := range order {
				listed = append(listed, clients[i])
			}
			l, err := redlock.New(listed)
			require.NoError(t, err)
			return l
		}
		holder, others := process(0, 1, 2, 3, 4), []*redlock.Locker{process(0, 2, 1, 3, 4), process(4, 3, 2, 0, 1)}
		gates := map[int]bool{}
		for i := range 20 {
			resource := strconv.Itoa(i)
			k, err := holder.Lock(t.Context(), resource, rig.TTL)
			require.NoError(t, err)
			var all sync.WaitGroup
			for _, l := range others {
				all.Go(func() {
					k, err := l.Lock(context.Background(), resource, rig.TTL, rig.InTurn)
					if assert.NoError(t, err) {
						assert.NoError(t, k.Unlock(context.Background()))
					}
				})
			}
			time.Sleep(100 * time.Millisecond)
			in := slices.IndexFunc(nodes, func(n *rig.Node) bool { return n.Exists("{" + resource + "}:redlock:line") })
			require.GreaterOrEqual(t, in, 0)
			places, err := nodes[in].ZMembers("{" + resource + "}:redlock:line")
			require.NoError(t, err)
			assert.Len(t, places, len(others), "resource %s", resource)
			gates[in] = true
			require.NoError(t, k.Unlock(t.Context()))
			all.Wait()
		}
		for _, l := range append(others, holder) {
			require.NoError(t, l.Shutdown(t.Context()))
		}
		assert.True(t, gates[0] && gates[1], "the groups were no gates, which shows nothing: %v", gates)
	})
}
