package lock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

// The key of a node that granted late lasts for that much longer than the lock.
func TestALockThatRunsOutIsNotKeptByANodeThatWasSlowToGrantIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		for _, n := range nodes {
			n.Slow(300 * time.Millisecond)
		}
		_, err := l.Lock(t.Context(), "a", rig.TTL)
		require.NoError(t, err)
		synctest.Wait()
		for _, n := range nodes {
			n.Slow(0)
		}
		time.Sleep(rig.TTL - 300*time.Millisecond + time.Millisecond) // the TTL since it asked
		synctest.Wait()
		for i, n := range nodes {
			assert.Empty(t, n.Keys(), "node %d", i)
		}
	})
}

func TestALockThatRunsOutIsNotKeptByANodeThatWasSlowToExtendIt(t *testing.T) {
	for _, slow := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 3)
			l := rig.NewLocker(t, nodes)
			rig.WarmUp(t, l)
			k := rig.Lock(t, l)
			synctest.Wait()
			for _, n := range nodes[:slow] {
				n.Slow(300 * time.Millisecond)
			}
			start := time.Now()
			require.NoError(t, k.Extend(t.Context(), rig.TTL))
			time.Sleep(300 * time.Millisecond)
			synctest.Wait()
			for _, n := range nodes {
				n.Slow(0)
			}
			time.Sleep(rig.TTL - time.Since(start) + time.Millisecond)
			synctest.Wait()
			for i, n := range nodes {
				assert.Empty(t, n.Keys(), "node %d of %d slow ones", i, slow)
			}
		})
	}
}
