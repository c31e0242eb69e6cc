package interop

import (
	"context"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/servers"
)

const tick = 5 * time.Millisecond

// nodes are the servers that the libraries lock on, and clients to look at what
// they hold.
type nodes struct {
	servers []*servers.Server
	direct  []*redis.Client
}

func startNodes(t *testing.T) nodes {
	t.Helper()
	n := nodes{servers: servers.Start(t, 3)}
	for _, s := range n.servers {
		n.direct = append(n.direct, s.Client(t))
	}
	return n
}

func (n nodes) addrs() []string {
	var all []string
	for _, s := range n.servers {
		all = append(all, s.Addr())
	}
	return all
}

// A view is what the nodes hold of a key.
type view struct {
	values []string // "" where there is none
	ttls   []time.Duration
}

func (n nodes) view(t require.TestingT, key string) view {
	var v view
	for _, c := range n.direct {
		values, err := c.MGet(context.Background(), key).Result()
		require.NoError(t, err)
		value, _ := values[0].(string)
		ttl, err := c.PTTL(context.Background(), key).Result()
		require.NoError(t, err)
		v.values, v.ttls = append(v.values, value), append(v.ttls, ttl)
	}
	return v
}

// everywhere waits until all nodes hold one value of key, and returns it. A library
// may say that it has the lock while the last node still owes its answer.
func (n nodes) everywhere(t *testing.T, key string) (value string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		values := n.view(c, key).values
		value = values[0]
		require.NotEmpty(c, value)
		for _, other := range values {
			require.Equal(c, value, other)
		}
	}, patience, tick)
	return value
}

// nowhere waits until no node holds key.
func (n nodes) nowhere(t *testing.T, key string, within time.Duration) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.Equal(c, make([]string, len(n.direct)), n.view(c, key).values)
	}, within, tick)
}

// wipe deletes key from every node, which its holder does not notice.
func (n nodes) wipe(t *testing.T, key string) {
	t.Helper()
	for _, c := range n.direct {
		require.NoError(t, c.Del(t.Context(), key).Err())
	}
}

// requireUntouched requires that what act does leaves key as it is: the value, and
// the TTL but for the time that passes. If it asks the nodes, it is waited for
// until each of them has run a script, without which it would prove nothing.
func (n nodes) requireUntouched(t *testing.T, key string, asks bool, act func()) {
	t.Helper()
	begun := time.Now()
	before, scripts := n.view(t, key), n.scripts(t)
	act()
	if asks {
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			for i, calls := range n.scripts(c) {
				require.Greater(c, calls, scripts[i], "node %d has run no script", i)
			}
		}, patience, tick)
	}
	after := n.view(t, key)
	passed := time.Since(begun)
	require.Equal(t, before.values, after.values)
	for i := range n.direct {
		require.LessOrEqual(t, after.ttls[i], before.ttls[i], "node %d: longer", i)
		require.GreaterOrEqual(t, after.ttls[i], before.ttls[i]-passed-time.Second, "node %d: shorter", i)
	}
}

var scriptCalls = regexp.MustCompile(`cmdstat_eval(?:sha)?:calls=(\d+)`)

// scripts returns how many scripts each node has run.
func (n nodes) scripts(t require.TestingT) []int {
	all := make([]int, len(n.direct))
	for i, c := range n.direct {
		stats, err := c.Info(context.Background(), "commandstats").Result()
		require.NoError(t, err)
		for _, m := range scriptCalls.FindAllStringSubmatch(stats, -1) {
			calls, err := strconv.Atoi(m[1])
			require.NoError(t, err)
			all[i] += calls
		}
	}
	return all
}
