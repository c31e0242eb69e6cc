package batch

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A building hook counts how often the hooks of its client have been put together.
type building struct{ times *int }

func (building) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (building) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (b building) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	*b.times++
	return next
}

func TestAClusterClientHasOneHookOfOursAndNothingIsKeptOfOneThatIsGone(t *testing.T) {
	func() {
		c := redis.NewClusterClient(&redis.ClusterOptions{})
		defer func() { _ = c.Close() }()
		times := 0
		c.AddHook(building{&times})
		before := times
		spreadOver(c)
		require.Greater(t, times, before)
		before = times
		spreadOver(c)
		require.Equal(t, before, times)
	}()
	require.Eventually(t, func() bool {
		runtime.GC()
		spreads.mu.Lock()
		defer spreads.mu.Unlock()
		return len(spreads.all) == 0
	}, time.Minute, time.Millisecond)
}

func TestOtherPipelinesOfAClusterClientAreLeftAlone(t *testing.T) {
	passed := 0
	send := spread{}.ProcessPipelineHook(func(context.Context, []redis.Cmder) error {
		passed++
		return nil
	})
	assert.NoError(t, send(t.Context(), []redis.Cmder{redis.NewCmd(t.Context(), "get", "a")}))
	assert.Equal(t, 1, passed)
}
