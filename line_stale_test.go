package redlock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// A release that was lost leaves a key on one node of three for its TTL.
func staleKeyAtTheGate(t *testing.T, gate *node) {
	t.Helper()
	require.NoError(t, gate.Set("a", "of a release that was lost"))
	gate.SetTTL("a", time.Hour)
}

func TestAKeyThatIsLeftAtTheGateDoesNotKeepTryLockOut(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"with a line": nil, "without": {redlock.WithoutWaitingLine()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				gate, _ := findGate(t, nodes)
				holder, l := lock(t, newLocker(t, nodes)), newLocker(t, nodes, opts...)
				try := func() bool {
					k, err := l.TryLock(t.Context(), "a", ttl)
					if err != nil {
						require.ErrorIs(t, err, redlock.ErrContended)
						return false
					}
					require.NoError(t, k.Unlock(t.Context()))
					return true
				}
				require.False(t, try())
				require.NoError(t, holder.Unlock(t.Context()))
				synctest.Wait()
				staleKeyAtTheGate(t, gate)
				start := time.Now()
				for !try() {
					time.Sleep(500 * time.Millisecond)
					if time.Since(start) > 10*time.Minute {
						t.Fatal("two of three nodes are free, and TryLock is refused for 10 minutes")
					}
				}
			})
		})
	}
}

func TestAKeyThatIsLeftAtTheGateDoesNotKeepShortWaitsOut(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"with a line": nil, "without": {redlock.WithoutWaitingLine()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				gate, _ := findGate(t, nodes)
				holder, l := lock(t, newLocker(t, nodes)), newLocker(t, nodes, opts...)
				try := func() bool {
					k, err := l.Lock(t.Context(), "a", ttl, redlock.WithMaxWait(300*time.Millisecond))
					if err != nil {
						require.ErrorIs(t, err, redlock.ErrContended)
						return false
					}
					require.NoError(t, k.Unlock(t.Context()))
					return true
				}
				require.False(t, try())
				require.NoError(t, holder.Unlock(t.Context()))
				synctest.Wait()
				staleKeyAtTheGate(t, gate)
				start := time.Now()
				for !try() {
					if time.Since(start) > 10*time.Minute {
						t.Fatal("two of three nodes are free, and Lock is refused for 10 minutes")
					}
				}
			})
		})
	}
}

func TestALockThatIsGivenBackIsNotToldToHaveAMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		gate, others := findGate(t, nodes)
		l := newLocker(t, nodes)
		warmUp(t, l)
		require.NoError(t, gate.Set(nextOfA, "somebody"))
		gate.SetTTL(nextOfA, 500*time.Millisecond)
		for _, n := range others {
			n.slow(time.Millisecond)
		}
		_, err := l.TryLock(t.Context(), "a", ttl)
		require.ErrorIs(t, err, redlock.ErrContended)
		e := err.(*redlock.LockError) //nolint:errorlint // it is one
		assert.Less(t, e.Agreed, e.Quorum, "%v", err)
	})
}
