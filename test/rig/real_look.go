package rig

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// Keys returns how many keys all servers hold together. KEYS passes over those
// that have expired and are not deleted yet, DBSIZE does not.
func (on *Real) Keys(t require.TestingT) int {
	n := 0
	for _, c := range on.Direct {
		keys, err := c.Keys(context.Background(), "*").Result()
		require.NoError(t, err)
		n += len(keys)
	}
	return n
}

// Holders returns on how many servers key has value.
func (on *Real) Holders(t require.TestingT, key, value string) int {
	n := 0
	for i := range on.Direct {
		if on.Get(t, i, key) == value {
			n++
		}
	}
	return n
}

// Get returns the value of key on one server, "" if there is none.
func (on *Real) Get(t require.TestingT, node int, key string) string {
	values, err := on.Direct[node].MGet(context.Background(), key).Result()
	require.NoError(t, err)
	value, _ := values[0].(string)
	return value
}

// PTTL returns how long key lasts on one server.
func (on *Real) PTTL(t require.TestingT, node int, key string) time.Duration {
	left, err := on.Direct[node].PTTL(context.Background(), key).Result()
	require.NoError(t, err)
	return left
}

// Left returns how long each key lasts on one server.
func (on *Real) Left(t *testing.T, node int) map[string]time.Duration {
	t.Helper()
	keys, err := on.Direct[node].Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	all := make(map[string]time.Duration)
	for _, key := range keys {
		all[key] = on.PTTL(t, node, key)
	}
	return all
}

// Waiting returns how many Lockers stand in the lines for key on all servers.
func (on *Real) Waiting(t require.TestingT, key string) int {
	n := int64(0)
	for _, c := range on.Direct {
		for _, line := range []string{"{" + key + "}:redlock:line", key + ":redlock:line"} {
			waiting, err := c.ZCard(context.Background(), line).Result()
			require.NoError(t, err)
			n += waiting
		}
	}
	return int(n)
}

// Counter returns what the fencing counter of k stands at on a real node.
func (on *Real) Counter(t *testing.T, node int) int64 {
	t.Helper()
	text := on.Direct[node].Get(t.Context(), TokenKey).Val()
	count, _ := strconv.ParseInt(text, 10, 64)
	return count
}

// Reads returns how often all servers have read from a socket.
func (on *Real) Reads(t *testing.T) int {
	t.Helper()
	return on.stat(t, "stats", "total_reads_processed:", func(line string) string { return line })
}

// stat returns the sum of a figure in the servers' statistics.
func (on *Real) stat(t *testing.T, section, name string, figure func(value string) string) int {
	t.Helper()
	sum := 0
	for _, c := range on.Direct {
		info, err := c.Info(t.Context(), section).Result()
		require.NoError(t, err)
		_, rest, found := strings.Cut(info, "\r\n"+name)
		if !found {
			continue // none so far
		}
		line, _, _ := strings.Cut(rest, "\r\n")
		n, err := strconv.Atoi(figure(line))
		require.NoError(t, err)
		sum += n
	}
	return sum
}

// RequireEmpty requires that no key is left, soon.
func (on *Real) RequireEmpty(t *testing.T, within time.Duration) {
	t.Helper()
	Eventually(t, within, func(c *assert.CollectT) {
		assert.Zero(c, on.Keys(c), "keys left behind")
	})
}

// RequireRunsOut requires that a key goes by itself.
func (on *Real) RequireRunsOut(t *testing.T, key string) {
	t.Helper()
	begun := time.Now()
	require.True(t, Poll(Patience, func() bool {
		runtime.GC()
		return on.Get(t, 0, key)+on.Get(t, 1, key)+on.Get(t, 2, key) == ""
	}), "%q is extended for ever", key)
	t.Logf("%q was gone after %v", key, time.Since(begun))
}

// RequireNamed requires that e names these servers and no others, all with an
// error of that type.
func (on *Real) RequireNamed(t *testing.T, err error, op redlock.Op, kind string, servers ...int) {
	t.Helper()
	e, ok := errors.AsType[*redlock.LockError](err)
	require.True(t, ok)
	var named []int
	for _, n := range e.Nodes {
		named = append(named, n.Node-1)
		require.Equal(t, op, n.Op)
		require.Equal(t, kind, n.ErrorType(), "%v", n)
		require.Equal(t, on.Servers[n.Node-1].Addr(), n.Addr)
		require.ErrorContains(t, err, n.Addr)
	}
	require.Equal(t, servers, named)
}
