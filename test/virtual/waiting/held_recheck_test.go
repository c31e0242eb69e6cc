package waiting_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// forget has nodes lose all keys, as if somebody had removed them by hand.
func forget(nodes []*rig.Node) {
	for _, n := range nodes {
		n.FlushAll()
	}
}

func TestATryFindsAfterAWhileThatTheKeysWereRemovedByHand(t *testing.T) {
	for name, try := range map[string]try{"TryLock": tryOne("a"), "LockAll": tryAll("a", "b")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l := rig.NewLocker(t, nodes)
				k, err := l.TryLock(t.Context(), "a", time.Hour)
				require.NoError(t, err)
				held, stop := k.Context(t.Context())
				defer stop()
				forget(nodes)
				time.Sleep(9 * time.Second)
				refusedHere(t, l, nodes, try)
				assert.True(t, k.Valid())
				time.Sleep(2 * time.Second)
				grantedThere(t, l, nodes, try)
				assert.False(t, k.Valid())
				assert.ErrorIs(t, context.Cause(held), redlock.ErrLockLost)
			})
		})
	}
}

func TestWhoWaitsFindsAfterAWhileThatTheKeysWereRemovedByHand(t *testing.T) {
	for _, resources := range [][]string{{"a"}, {"a", "b"}} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 3)
			l := rig.NewLocker(t, nodes)
			_, err := l.TryLock(t.Context(), "a", time.Hour)
			require.NoError(t, err)
			time.AfterFunc(15*time.Second, func() { forget(nodes) })
			start := time.Now()
			k, err := l.LockAll(t.Context(), resources, rig.TTL, redlock.WithMaxWait(time.Minute))
			require.NoError(t, err)
			assert.LessOrEqual(t, time.Since(start), 25*time.Second)
			require.NoError(t, k.Unlock(t.Context()))
		})
	}
}

func TestTriesHaveTheNodesAskedOnceInAWhileForALockThatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k, err := l.TryLock(t.Context(), "a", time.Hour)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		until, before := k.Until(), rig.Sent(nodes)
		for range 100 {
			_, err := l.TryLock(t.Context(), "a", rig.TTL)
			require.ErrorIs(t, err, redlock.ErrContended)
			time.Sleep(50 * time.Millisecond)
		}
		assert.Equal(t, 3, rig.Sent(nodes)-before)
		assert.Equal(t, until, k.Until())
		for _, n := range nodes {
			assert.Equal(t, time.Hour-65*time.Second, n.TTL("a"))
		}
		nodes[0].Freeze()
		nodes[1].Freeze()
		time.Sleep(time.Minute)
		_, err = l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.True(t, k.Valid(), "nobody knows")
		nodes[0].Thaw()
		nodes[1].Thaw()
		require.NoError(t, k.Unlock(t.Context()))
	})
}
