package lock_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// sameServer has the clients of some nodes lead to the server of the first one.
func sameServer(nodes ...*rig.Node) {
	for _, n := range nodes[1:] {
		n.Miniredis = nodes[0].Miniredis
	}
}

// ways are how a lock on a is taken.
var ways = map[string]struct {
	opts []redlock.Option
	all  []string
}{
	"one resource":   {nil, []string{"a"}},
	"with a token":   {[]redlock.Option{redlock.WithFencing(redlock.Forever)}, []string{"a"}},
	"in batches":     {[]redlock.Option{redlock.WithAutoPipeline()}, []string{"a"}},
	"several":        {nil, []string{"a", "b"}},
	"several, token": {[]redlock.Option{redlock.WithFencing(redlock.Forever)}, []string{"a", "b"}},
}

func TestAServerByThreeNamesIsToldWhenALockIsTaken(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				sameServer(nodes...)
				l := rig.NewLocker(t, nodes, way.opts...)
				for range 3 {
					_, err := l.LockAll(t.Context(), way.all, rig.TTL, redlock.WithRetry(2, time.Second))
					require.ErrorIs(t, err, redlock.ErrNoQuorum)
					require.ErrorContains(t, err, "the same server")
					synctest.Wait()
					assert.False(t, nodes[0].Exists("a"))
				}
			})
		})
	}
}

func TestAServerByTwoNamesHasOneVote(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				sameServer(nodes[:2]...)
				var told atomic.Int64
				handler := redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) {
					if err.ErrorType() == "same_server" {
						told.Add(1)
					}
				})
				l := rig.NewLocker(t, nodes, append(way.opts, handler)...)
				for i := range 3 {
					k, err := l.LockAll(t.Context(), way.all, rig.TTL)
					require.NoError(t, err)
					require.NoError(t, k.Extend(t.Context(), rig.TTL))
					require.NoError(t, k.Extend(t.Context(), rig.TTL))
					synctest.Wait()
					assert.EqualValues(t, i+1, told.Load())
					require.NoError(t, k.Unlock(t.Context()))
				}
				nodes[2].Stop()
				_, err := l.LockAll(t.Context(), way.all, rig.TTL, redlock.WithRetry(0, 0))
				require.Error(t, err, "one server of two is no majority")
			})
		})
	}
}
