package line_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// lockedWithoutItsGate returns a lock of a Locker that was called, and then
// granted by all nodes but the gate, where a key of another one stands.
func lockedWithoutItsGate(t *testing.T, nodes []*rig.Node) *redlock.Lock {
	t.Helper()
	_ = rig.Lock(t, rig.NewLocker(t, nodes)) // its key stays at the gate
	l := rig.NewLocker(t, nodes)
	got := make(chan *redlock.Lock)
	go func() {
		k, err := l.Lock(t.Context(), "a", rig.TTL, rig.InTurn)
		assert.NoError(t, err)
		got <- k
	}()
	time.Sleep(100 * time.Millisecond)
	gate := rig.GateOf(t, nodes)
	for _, n := range nodes {
		if n != gate {
			n.Del("a")
		}
	}
	gate.Publish(rig.Listening(nodes)[0], "a")
	k := <-got
	synctest.Wait()
	return k
}

func TestUnlockTellsOfALostLockThatTheGateHadRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		gate, others := rig.FindGate(t, nodes)
		k := lockedWithoutItsGate(t, nodes)
		require.True(t, others[0].Exists("a"))
		others[0].Del("a") // it stands on one of three nodes only
		before := gate.Commands()
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
		synctest.Wait()
		assert.Greater(t, gate.Commands(), before, "the release is sent to every node, always")
	})
}

func TestUnlockFindsAMajorityThatAnswersThoughTheGateHadRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		_, others := rig.FindGate(t, nodes)
		k := lockedWithoutItsGate(t, nodes)
		others[0].Stop()
		assert.NoError(t, k.Unlock(t.Context()), "two of three nodes can answer")
	})
}
