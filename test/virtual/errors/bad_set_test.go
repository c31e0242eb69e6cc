package errors_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A lock on a free resource is asked for by SET first. Servers and proxies may know it in
// another way, and users may be kept from it.
func TestWhateverSETAnswersTheScriptHasTheLastWord(t *testing.T) {
	for name, raw := range map[string]string{
		"unknown":      "-ERR unknown command 'set'\r\n",
		"a user's":     "-NOPERM this user has no permissions to run the 'set' command\r\n",
		"a syntax":     "-ERR syntax error\r\n",
		"nil":          "$-1\r\n",
		"no":           ":0\r\n",
		"queued":       "+QUEUED\r\n",
		"an old value": "$3\r\nabc\r\n",
		"an array":     "*1\r\n:1\r\n",
		"RESP3":        "_\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l := rig.NewLocker(t, nodes)
				rig.WarmUp(t, l)
				sets := make([]int, len(nodes))
				for i, n := range nodes {
					n.Server().SetPreHook(func(c *server.Peer, cmd string, args ...string) bool {
						if cmd != "SET" || !slices.Contains(args, "nx") {
							return false
						}
						sets[i]++
						c.WriteRaw(raw)
						return true
					})
				}
				attempts := redlock.WithRetry(0, 0) // a retry goes by the script in any case
				if name == "an array" {             // which no client can read: the node has failed
					attempts = redlock.WithRetry(1, time.Millisecond)
				}
				k, err := l.Lock(t.Context(), "a", rig.TTL, attempts)
				require.NoError(t, err)
				synctest.Wait()
				for _, n := range nodes {
					assert.True(t, n.Exists("a"))
				}
				assert.Contains(t, sets, 1)
				assert.NotContains(t, sets, 2)
				require.NoError(t, k.Extend(t.Context(), 2*rig.TTL))
				assert.Greater(t, time.Until(k.Until()), rig.TTL)
				require.NoError(t, k.Unlock(t.Context()))
				synctest.Wait()
				for _, n := range nodes {
					assert.Empty(t, n.Keys())
				}
			})
		})
	}
}
