package redlock_test

import (
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// unreachable makes the node refuse connections and drop the ones it has, or take them
// again with the data it had.
func (n *node) unreachable(down bool) {
	if down {
		n.stop()
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = false
}

func TestAReleaseThatHadNoConnectionIsTriedOnceMoreWhenTheClientDialsAgain(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"by itself": nil, "in batches": {redlock.WithAutoPipeline()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				l := newLocker(t, nodes, opts...)
				warmUp(t, l)
				for gate := range nodes { // with and without the line
					var locks []*redlock.Lock
					for _, key := range []string{"a", "b", "c"} {
						k, err := l.Lock(t.Context(), key, time.Hour)
						require.NoError(t, err)
						locks = append(locks, k)
					}
					synctest.Wait()
					require.Len(t, nodes[gate].Keys(), 3)
					nodes[gate].unreachable(true)
					for _, k := range locks {
						require.NoError(t, k.Unlock(t.Context()))
					}
					time.Sleep(time.Second) // both tries take 400 ms
					nodes[gate].unreachable(false)
					time.Sleep(2 * time.Second)
					requireNoKeys(t, nodes)
					require.Zero(t, redlock.OpenCalls(l))
				}
			})
		})
	}
}

func TestANodeThatStaysAwayIsOwedNothingForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		for range 10 {
			k, err := l.Lock(t.Context(), "a", time.Hour)
			require.NoError(t, err)
			synctest.Wait()
			nodes[0].unreachable(true)
			require.NoError(t, k.Unlock(t.Context()))
		}
		time.Sleep(10 * time.Second)
		require.Zero(t, redlock.OpenCalls(l))
		begun := time.Now()
		require.NoError(t, l.Shutdown(t.Context()))
		require.Zero(t, time.Since(begun))
	})
}

func TestALeftoverOfAReleaseThatFailedDoesNotRefuseItsOwnLocker(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"by itself": nil, "in batches": {redlock.WithAutoPipeline()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				l := newLocker(t, nodes, append(opts, redlock.WithRetry(0, 0))...)
				warmUp(t, l)
				for back := range nodes {
					k, err := l.Lock(t.Context(), "a", time.Hour)
					require.NoError(t, err)
					synctest.Wait()
					nodes[back].unreachable(true)
					require.NoError(t, k.Unlock(t.Context()))
					time.Sleep(time.Second) // both tries
					nodes[back].unreachable(false)
					require.Equal(t, []string{"a"}, nodes[back].Keys())
					nodes[(back+1)%3].unreachable(true)
					k, err = l.Lock(t.Context(), "a", time.Hour) // needs the one that has the leftover
					require.NoError(t, err)
					require.Less(t, time.Until(k.Until()), time.Hour)
					nodes[(back+1)%3].unreachable(false)
					require.NoError(t, k.Unlock(t.Context()))
					time.Sleep(5 * time.Second)
					requireNoKeys(t, nodes)
				}
			})
		})
	}
}

func TestAClientThatEndsTheGoroutineOfAThirdTryEndsNoLaterOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, nodes, h := newHooked(t, 1, redlock.WithRetry(0, 0))
		for _, ends := range []bool{true, false} {
			h.set(nil)
			k, err := l.Lock(t.Context(), strconv.FormatBool(ends), time.Hour)
			require.NoError(t, err)
			tries := 0
			h.set(func(_ []redis.Cmder, next func() error) error {
				h.mu.Lock()
				tries++
				try := tries
				h.mu.Unlock()
				switch {
				case try <= 2:
					return errRefused
				case ends:
					runtime.Goexit()
				}
				return next() // by its hash, and then as a whole
			})
			require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrNoQuorum)
			time.Sleep(5 * time.Second)
			require.Zero(t, redlock.OpenCalls(l))
		}
		require.Equal(t, []string{"true"}, nodes[0].Keys())
	})
}
