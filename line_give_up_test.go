package redlock_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

func TestShortWaitsOnASlowGateDoNotPileUp(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"with a line": nil, "without": {redlock.WithoutWaitingLine()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				gate, _ := findGate(t, nodes)
				l := newLocker(t, nodes, opts...)
				warmUp(t, l)
				_, err := newLocker(t, nodes).Lock(t.Context(), "a", time.Hour)
				require.NoError(t, err)
				gate.slow(500 * time.Millisecond) // it answers, within the node timeout
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				_, _ = l.Lock(ctx, "a", ttl, inTurn)
				cancel()
				for i := range 1000 {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
					_, err := l.Lock(ctx, "a", ttl, inTurn)
					cancel()
					require.Error(t, err)
					if i%250 == 249 {
						t.Logf("after %d: %d calls under way", i+1, redlock.OpenCalls(l))
					}
				}
				assert.Less(t, redlock.OpenCalls(l), 20)
				start := time.Now()
				require.NoError(t, l.Shutdown(t.Context()))
				t.Log("Shutdown took", time.Since(start))
			})
		})
	}
}

func TestNothingIsSentAfterShutdownHasReturned(t *testing.T) {
	for range 60 {
		synctest.Test(t, func(t *testing.T) {
			nodes := newNodes(t, 1)
			holder := newLocker(t, nodes)
			l, err := redlock.New(clients(nodes))
			require.NoError(t, err)
			var all sync.WaitGroup
			for i := range 30 {
				resource := fmt.Sprint("r", i)
				k, err := holder.Lock(t.Context(), resource, ttl)
				require.NoError(t, err)
				defer func() { _ = k.Unlock(t.Context()) }()
				all.Go(func() {
					_, err := l.Lock(t.Context(), resource, ttl, inTurn)
					assert.ErrorIs(t, err, redlock.ErrShutdown)
				})
			}
			time.Sleep(time.Second)
			require.NoError(t, l.Shutdown(t.Context()))
			open, sent := redlock.OpenCalls(l), nodes[0].commands()
			all.Wait()
			synctest.Wait()
			require.Zero(t, open)
			require.Equal(t, sent, nodes[0].commands())
		})
	}
}
