package gate_test

import (
	"context"
	"fmt"
	"strings"
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

// The gate loses the key of a lock that stands on the other two nodes. Who waits looks there
// and at the others again and again: once in each attempt, as a second look would count as that
// of one who has just come.
func TestAWaiterLooksAtAModerateRateAtAGateThatHasLostTheLock(t *testing.T) {
	for name, before := range map[string]bool{"while it waits": false, "before it comes": true} {
		t.Run(name, func(t *testing.T) { looksAtALostGate(t, before) })
	}
}

func looksAtALostGate(t *testing.T, before bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		gate, _ := rig.FindGate(t, nodes)
		holder, l := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
		rig.WarmUp(t, holder)
		rig.WarmUp(t, l)
		hooks := make([]*rig.BatchHook, len(nodes))
		var mu sync.Mutex // guards the two
		looks, scripts := make(map[any]int), 0
		for i, n := range nodes {
			hooks[i] = new(rig.BatchHook)
			n.Client.AddHook(hooks[i])
			hooks[i].Set(func(cmds []redis.Cmder, next func() error) error {
				for _, cmd := range cmds {
					args := cmd.Args()
					if name, _ := args[0].(string); name != "evalsha" && name != "eval" {
						continue
					}
					mu.Lock()
					scripts++
					if n == gate && len(args) == 10 && strings.HasPrefix(fmt.Sprint(args[9]), "look") {
						looks[args[6]]++
					}
					mu.Unlock()
				}
				return next()
			})
		}
		held, err := holder.Lock(t.Context(), "a", time.Hour)
		require.NoError(t, err)
		synctest.Wait() // until it stands on all three: one on two is lost with the gate's key
		if before {
			gate.Del("a")
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error)
		go func() {
			_, err := l.Lock(ctx, "a", time.Hour, redlock.WithRetry(redlock.Forever, 0))
			done <- err
		}()
		time.Sleep(10 * time.Second)
		gate.Del("a")
		mu.Lock()
		scripts = 0
		mu.Unlock()
		time.Sleep(10 * time.Second)
		mu.Lock()
		t.Logf("%d scripts in ten seconds", scripts)
		assert.LessOrEqual(t, scripts, 100)
		mu.Unlock()
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		assert.True(t, held.Valid())
		for value, n := range looks {
			assert.Equal(t, 1, n, "of the attempt of %v", value)
		}
	})
}
