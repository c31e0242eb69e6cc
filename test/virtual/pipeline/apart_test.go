package pipeline_test

import (
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestANameThatTheServerHangsUpOnCostsOthersOfItsBatchesTimeOnly(t *testing.T) {
	for name, trip := range map[string]time.Duration{"near": time.Millisecond, "far": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, nodes, h := rig.NewHooked(t, 1, redlock.WithRetry(0, 0))
				nodes[0].Slow(trip)
				h.Set(rig.HangsUpOn("bad"))
				end := time.Now().Add(100 * trip)
				var bad, turns atomic.Int32
				var all sync.WaitGroup
				all.Go(func() {
					for time.Now().Before(end) {
						_, err := l.TryLock(t.Context(), "bad", 10*time.Second)
						assert.ErrorIs(t, err, redlock.ErrNoQuorum)
						bad.Add(1)
						time.Sleep(trip)
					}
				})
				rig.Together(64, func(key string) {
					for time.Now().Before(end) {
						lockAndUnlock(t, l)(key)
						turns.Add(1)
					}
				})
				all.Wait()
				t.Logf("%d turns beside %d of the bad name", turns.Load(), bad.Load())
				require.Greater(t, bad.Load(), int32(2))
				time.Sleep(10 * time.Second) // the bad name's releases are tried again
				rig.RequireNoKeys(t, nodes)
			})
		})
	}
}

// callers is how many lock at once in afterALostConnection.
const callers = 32

// afterALostConnection has many callers lock. The batch that takes all of them loses its
// connection, and what is sent then meets with what first says. It returns how many commands
// each batch after it had, and how many calls got no lock.
func afterALostConnection(t *testing.T, first func(next func() error) error) (batches []int, failed int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l, nodes, h := rig.NewHooked(t, 1, redlock.WithRetry(0, 0))
		lost := false
		h.Set(func(cmds []redis.Cmder, next func() error) error {
			h.Mu.Lock()
			n := -1 // what keeps the line to the node busy
			switch {
			case lost:
				batches = append(batches, len(cmds))
				n = len(batches)
			case len(cmds) == callers:
				lost, n = true, 0
			}
			h.Mu.Unlock()
			switch n {
			case 0:
				for _, cmd := range cmds {
					cmd.SetErr(io.EOF)
				}
				return io.EOF
			case 1:
				return first(next)
			}
			time.Sleep(10 * time.Millisecond)
			return next()
		})
		for _, key := range []string{"a", "b"} { // two batches at most are under way: what comes then goes together
			go func() { _, _ = l.TryLock(t.Context(), key, 10*time.Second) }()
			time.Sleep(time.Millisecond)
		}
		rig.Together(callers, func(key string) {
			if _, err := l.TryLock(t.Context(), key, 10*time.Second); err != nil {
				h.Mu.Lock()
				defer h.Mu.Unlock()
				assert.ErrorIs(t, err, redlock.ErrNoQuorum)
				failed++
			}
		})
		time.Sleep(20 * time.Second)
		rig.RequireNoKeys(t, nodes)
	})
	return batches, failed
}

// go-redis dials but once a second when many dials have failed.
func TestAfterALostConnectionOneCommandFindsOutThatTheServerIsAway(t *testing.T) {
	batches, failed := afterALostConnection(t, func(func() error) error {
		time.Sleep(400 * time.Millisecond)
		return &net.OpError{Op: "dial", Net: "tcp", Err: rig.ErrRefused}
	})
	require.Equal(t, []int{1, callers}, batches[:2], "it is in the next batch, too")
	require.Zero(t, failed)
}

func TestAfterALostConnectionOneThatHangsCostsOneCommand(t *testing.T) {
	batches, failed := afterALostConnection(t, func(next func() error) error {
		time.Sleep(5 * time.Second)
		return next()
	})
	require.Equal(t, []int{1, callers - 1}, batches[:2])
	require.Equal(t, 1, failed)
}

func TestAfterALostConnectionAFewCommandsGoAtATime(t *testing.T) {
	batches, failed := afterALostConnection(t, func(next func() error) error { return next() })
	require.Equal(t, slices.Repeat([]int{1}, callers), batches[:callers])
	require.Zero(t, failed)
}
