package redlock_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// findGate returns the gate of "a", and leaves nothing behind.
func findGate(t *testing.T, nodes []*node) (gate *node, others []*node) {
	t.Helper()
	k := lock(t, newLocker(t, nodes))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	l := newLocker(t, nodes)
	go func() {
		defer close(done)
		_, _ = l.Lock(ctx, "a", ttl, inTurn)
	}()
	time.Sleep(50 * time.Millisecond)
	gate = gateOf(t, nodes)
	cancel()
	<-done
	require.NoError(t, k.Unlock(t.Context()))
	synctest.Wait()
	time.Sleep(10 * time.Second)
	synctest.Wait()
	for _, n := range nodes {
		require.Empty(t, n.Keys())
		if n != gate {
			others = append(others, n)
		}
	}
	require.Empty(t, listening(nodes))
	return gate, others
}

// lockedWithoutItsGate returns a lock of a Locker that was called, and then
// granted by all nodes but the gate, where a key of another one stands.
func lockedWithoutItsGate(t *testing.T, nodes []*node) *redlock.Lock {
	t.Helper()
	_ = lock(t, newLocker(t, nodes)) // its key stays at the gate
	l := newLocker(t, nodes)
	got := make(chan *redlock.Lock)
	go func() {
		k, err := l.Lock(t.Context(), "a", ttl, inTurn)
		assert.NoError(t, err)
		got <- k
	}()
	time.Sleep(100 * time.Millisecond)
	gate := gateOf(t, nodes)
	for _, n := range nodes {
		if n != gate {
			n.Del("a")
		}
	}
	gate.Publish(listening(nodes)[0], "a")
	k := <-got
	synctest.Wait()
	return k
}

func TestUnlockTellsOfALostLockThatTheGateHadRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		gate, others := findGate(t, nodes)
		k := lockedWithoutItsGate(t, nodes)
		require.True(t, others[0].Exists("a"))
		others[0].Del("a") // it stands on one of three nodes only
		before := gate.commands()
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
		synctest.Wait()
		assert.Greater(t, gate.commands(), before, "the release is sent to every node, always")
	})
}

func TestUnlockFindsAMajorityThatAnswersThoughTheGateHadRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		_, others := findGate(t, nodes)
		k := lockedWithoutItsGate(t, nodes)
		others[0].stop()
		assert.NoError(t, k.Unlock(t.Context()), "two of three nodes can answer")
	})
}
