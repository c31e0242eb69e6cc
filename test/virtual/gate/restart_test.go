package gate_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// requireArmed requires that a node is given a lock again while its holder extends it.
func requireArmed(held context.Context, t *testing.T, n *rig.Node, k *redlock.Lock) {
	t.Helper()
	start := time.Now()
	for {
		v, _ := n.Get("a")
		if v == k.Value() {
			return
		}
		require.NoError(t, held.Err())
		require.Less(t, time.Since(start), 5*time.Second, "five extensions")
		time.Sleep(5 * time.Millisecond)
	}
}

func TestALockLivesThroughTheRestartOfEveryNodeWhileOthersWaitForIt(t *testing.T) {
	for name, opts := range rig.LineAndNone {
		for _, n := range []int{4, 16} {
			t.Run(fmt.Sprint(name, ", ", n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nodes := rig.New(t, 3)
					gate, others := rig.FindGate(t, nodes)
					for _, nd := range nodes {
						nd.Slow(10 * time.Millisecond)
					}
					holder := rig.NewLocker(t, nodes)
					rig.WarmUp(t, holder)
					k, err := holder.Lock(t.Context(), "a", 3*time.Second, redlock.WithAutoExtend(redlock.Forever))
					require.NoError(t, err)
					held, stop := k.Context(context.Background())
					defer stop()
					defer rig.WaitBehind(t, nodes, n, opts...)()
					time.Sleep(5 * time.Second)
					for _, nd := range []*rig.Node{gate, others[0], others[1]} {
						nd.Stop()
						time.Sleep(100 * time.Millisecond)
						nd.Restart()
						requireArmed(held, t, nd, k)
						time.Sleep(3 * time.Second) // three extensions, so that it counts
					}
					require.NoError(t, held.Err())
				})
			})
		}
	}
}

func TestANodeThatMissedTheGrantGetsTheLockThoughOthersWaitForIt(t *testing.T) {
	for name, opts := range rig.LineAndNone {
		for _, n := range []int{4, 16} {
			t.Run(fmt.Sprint(name, ", ", n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nodes := rig.New(t, 3)
					gate, _ := rig.FindGate(t, nodes)
					for _, nd := range nodes {
						nd.Slow(10 * time.Millisecond)
					}
					holder := rig.NewLocker(t, nodes)
					rig.WarmUp(t, holder)
					gate.Stop()
					k, err := holder.Lock(t.Context(), "a", 3*time.Second, redlock.WithAutoExtend(redlock.Forever))
					require.NoError(t, err)
					held, stop := k.Context(context.Background())
					defer stop()
					time.Sleep(time.Second)
					gate.Restart()
					defer rig.WaitBehind(t, nodes, n, opts...)()
					requireArmed(held, t, gate, k)
				})
			})
		}
	}
}
