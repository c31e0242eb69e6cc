package gate_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// moveSlotOfA has a node refuse to run scripts with several keys, of which "a" is one,
// while some of these would be on another server of its Cluster.
func moveSlotOfA(n *rig.Node) (moving *atomic.Bool) {
	moving = new(atomic.Bool)
	n.Server().SetPreHook(func(peer *server.Peer, cmd string, args ...string) bool {
		if !moving.Load() || !strings.HasPrefix(strings.ToLower(cmd), "eval") || args[1] == "1" || !slices.Contains(args, "a") {
			return false
		}
		peer.WriteError("TRYAGAIN Multiple keys request during rehashing of slot")
		return true
	})
	return moving
}

func TestTheLineIsInOrderAgainAtOnceAfterTheSlotOfItsResourceHasMoved(t *testing.T) {
	rig.Long(t)
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		nodes[0].Slow(time.Millisecond)
		lockers := func(n int) (all []*redlock.Locker) {
			for range n {
				all = append(all, rig.NewLocker(t, nodes))
			}
			return all
		}
		both := lockers(4) // wait for a resource of another slot, too
		moves, stays := rig.StartRota(t, slices.Concat(both, lockers(4)), "a", 3*time.Millisecond), rig.StartRota(t, both, "b", 3*time.Millisecond)
		time.Sleep(time.Second)
		moving := moveSlotOfA(nodes[0])
		beforeA, _, _ := moves.Watch(t, time.Second)
		beforeB, _, _ := stays.Watch(t, time.Second)

		moving.Store(true)
		during, most, fewest := stays.Watch(t, 2*time.Second)
		assert.LessOrEqual(t, during, 2*beforeB)
		assert.LessOrEqual(t, most, fewest+1)

		moving.Store(false)
		time.Sleep(time.Second)
		after, most, fewest := moves.Watch(t, 2*time.Second)
		assert.LessOrEqual(t, after, 2*beforeA)
		assert.LessOrEqual(t, most, fewest+1)
		moves.End()
		stays.End()
	})
}
