package deployments_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

func TestAReleaseThatMetAServerWhileItLoadedItsDataIsTriedAgain(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3, servers.WithAppendOnly(), servers.WithArgs("--key-load-delay", "100"))
	on.LoadScripts(t)
	// Loading takes some seconds. The server looks after its connections after each 1024
	// commands.
	for i := range 20 {
		_, err := on.Direct[0].Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for j := range 1024 {
				p.Set(t.Context(), fmt.Sprint("filler", j), i, 0)
			}
			return nil
		})
		require.NoError(t, err)
	}
	l := on.Locker(t)
	lock, err := l.Lock(t.Context(), "k", 10*time.Minute)
	require.NoError(t, err)
	rig.DrainCalls(t, l)
	require.Equal(t, lock.Value(), on.Get(t, 0, "k"))

	probe := on.Servers[0].Client(t, func(o *redis.Options) { o.MaxRetries = -1 })
	restarted := make(chan struct{})
	go func() {
		on.Servers[0].Restart()
		close(restarted)
	}()
	require.Eventually(t, func() bool {
		err := probe.Get(t.Context(), "k").Err()
		return err != nil && strings.HasPrefix(err.Error(), "LOADING")
	}, rig.Patience, time.Millisecond)
	require.NoError(t, lock.Unlock(t.Context()))
	<-restarted
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
		value, err := probe.Get(t.Context(), "k").Result()
		assert.ErrorIs(c, err, redis.Nil)
		assert.Empty(c, value)
	})
	rig.Drain(t, l)
}
