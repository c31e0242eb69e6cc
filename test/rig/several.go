package rig

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// OneSlot lies in the slot of "a", 15495, and has another hash tag.
const OneSlot = "k68769"

// LockAll locks resources for ttl and lets all nodes answer that can.
func LockAll(t *testing.T, l *redlock.Locker, resources ...string) *redlock.Lock {
	t.Helper()
	k, err := l.LockAll(t.Context(), resources, TTL)
	require.NoError(t, err)
	synctest.Wait()
	return k
}

// OneTry makes one attempt.
var OneTry = redlock.WithRetry(0, 0)

// FarFrom returns the same nodes as another process sees them that is d farther away.
func FarFrom(t *testing.T, nodes []*Node, d time.Duration) []*Node {
	t.Helper()
	all := make([]*Node, len(nodes))
	for i, n := range nodes {
		far := &Node{Node: n.From(d)}
		t.Cleanup(func() { _ = far.Client.Close() })
		all[i] = far
	}
	return all
}

// Unlock unlocks k and lets all nodes answer that can.
func Unlock(t *testing.T, k *redlock.Lock) {
	t.Helper()
	require.NoError(t, k.Unlock(t.Context()))
	synctest.Wait()
}

// Tagged returns the names of n resources of one hash tag.
func Tagged(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("{many}:%04d", i)
	}
	return all
}

// RequireAll requires that soon each server has all resources of a lock.
func (on *Real) RequireAll(t *testing.T, lock *redlock.Lock) {
	t.Helper()
	Eventually(t, Patience, func(c *assert.CollectT) {
		for i := range on.Direct {
			values, err := on.Direct[i].MGet(context.Background(), lock.Resources()...).Result()
			require.NoError(c, err)
			for j, value := range values {
				require.Equal(c, lock.Value(), value, "node %d, %q", i, lock.Resources()[j])
			}
		}
	})
}
