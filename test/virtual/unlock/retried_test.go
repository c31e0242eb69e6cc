package unlock_test

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

// Node 0 is away for a moment, and then carries out the release that it is owed, long before the
// node timeout is over. Node 2 hangs.
func TestUnlockCountsANodeThatHasCarriedOutTheReleaseItWasOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithNodeTimeout(5*time.Second))
		rig.WarmUp(t, l)
		k := rig.Lock(t, l)
		nodes[0].Down()
		nodes[2].Freeze()
		time.AfterFunc(time.Second, nodes[0].Up)
		begun := time.Now()
		err := k.Unlock(t.Context())
		require.Empty(t, nodes[0].Keys())
		require.Empty(t, nodes[1].Keys())
		assert.NoError(t, err, "after %v: a majority has removed it", time.Since(begun))
		nodes[2].Thaw()
	})
}

// The first release to node 0 hangs on its connection; the next one, that it was owed, is carried out.
// When Unlock is called again the node has frozen.
func TestUnlockCalledAgainCountsANodeThatHasCarriedOutTheReleaseItWasOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		k := rig.Lock(t, l)
		nodes[0].Forget()
		nodes[2].Freeze()
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrNoQuorum)
		time.Sleep(2 * time.Second)
		require.Empty(t, nodes[0].Keys())
		require.Empty(t, nodes[1].Keys())
		nodes[0].Freeze()
		assert.NoError(t, k.Unlock(t.Context()), "a majority has removed it")
		nodes[0].Thaw()
		nodes[0].Remember()
		nodes[2].Thaw()
	})
}

// With waits for the nodes, and TryLock does so for a lock of its own Locker, whatever its bound says.
func TestTryLockReturnsWithinItsMaxWaitThoughALockOfItsOwnLockerIsLookedInto(t *testing.T) {
	for name, lock := range map[string]func(l *redlock.Locker, ctx context.Context) error{
		"TryLock": func(l *redlock.Locker, ctx context.Context) error {
			_, err := l.TryLock(ctx, "a", rig.TTL, redlock.WithMaxWait(20*time.Millisecond))
			return err
		},
		"Lock, count 0": func(l *redlock.Locker, ctx context.Context) error {
			_, err := l.Lock(ctx, "a", rig.TTL, redlock.WithMaxWait(20*time.Millisecond), redlock.WithRetry(0, 0))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l := rig.NewLocker(t, nodes)
				rig.WarmUp(t, l)
				_, err := l.Lock(t.Context(), "a", time.Hour)
				require.NoError(t, err)
				time.Sleep(11 * time.Second)
				for _, n := range nodes[1:] {
					n.Freeze()
				}
				begun := time.Now()
				assert.ErrorIs(t, lock(l, t.Context()), redlock.ErrContended)
				assert.LessOrEqual(t, time.Since(begun), 20*time.Millisecond)
				for _, n := range nodes[1:] {
					n.Thaw()
				}
			})
		})
	}
}
