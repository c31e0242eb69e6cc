package redlock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The key of a node that granted late lasts for that much longer than the lock.
func TestALockThatRunsOutIsNotKeptByANodeThatWasSlowToGrantIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		for _, n := range nodes {
			n.slow(300 * time.Millisecond)
		}
		_, err := l.Lock(t.Context(), "a", ttl)
		require.NoError(t, err)
		synctest.Wait()
		for _, n := range nodes {
			n.slow(0)
		}
		time.Sleep(ttl - 300*time.Millisecond + time.Millisecond) // the TTL since it asked
		synctest.Wait()
		for i, n := range nodes {
			assert.Empty(t, n.Keys(), "node %d", i)
		}
	})
}

func TestALockThatRunsOutIsNotKeptByANodeThatWasSlowToExtendIt(t *testing.T) {
	for _, slow := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			nodes := newNodes(t, 3)
			l := newLocker(t, nodes)
			warmUp(t, l)
			k := lock(t, l)
			synctest.Wait()
			for _, n := range nodes[:slow] {
				n.slow(300 * time.Millisecond)
			}
			start := time.Now()
			require.NoError(t, k.Extend(t.Context(), ttl))
			time.Sleep(300 * time.Millisecond)
			synctest.Wait()
			for _, n := range nodes {
				n.slow(0)
			}
			time.Sleep(ttl - time.Since(start) + time.Millisecond)
			synctest.Wait()
			for i, n := range nodes {
				assert.Empty(t, n.Keys(), "node %d of %d slow ones", i, slow)
			}
		})
	}
}
