package fencing_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestAFrozenNodeCostsAFencedLockNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithFencing(rig.FenceKeep))
		rig.WarmUp(t, l)
		nodes[1].Freeze()
		far := time.Now().Add(time.Hour).UnixMicro()
		nodes[0].SetCounter(t, far) // so that the counters have to be raised
		start, last := time.Now(), int64(0)
		for range 10 {
			k, err := l.Lock(t.Context(), "k", fenceTTL)
			require.NoError(t, err)
			require.Greater(t, k.Token(), max(last, far))
			last = k.Token()
			require.NoError(t, k.Extend(t.Context(), fenceTTL))
			require.NoError(t, k.Unlock(t.Context()))
		}
		require.Less(t, time.Since(start), 10*time.Millisecond)
		nodes[1].Thaw()
		synctest.Wait()
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		require.Greater(t, k.Token(), last)
	})
}

func TestALateGrantDoesNotChangeTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithFencing(rig.FenceKeep))
		rig.WarmUp(t, l)
		far := time.Now().Add(time.Hour).UnixMicro()
		nodes[2].SetCounter(t, far)
		nodes[2].Freeze()
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		token := k.Token()
		require.Less(t, token, far)
		nodes[2].Thaw()
		synctest.Wait()
		require.True(t, nodes[2].Exists("k"))
		require.Equal(t, far+1, nodes[2].Counter(t))
		require.NoError(t, k.Extend(t.Context(), fenceTTL))
		require.Equal(t, token, k.Token())
		require.NoError(t, k.Unlock(t.Context()))
		last := token
		for range 3 {
			k, err = l.Lock(t.Context(), "k", fenceTTL)
			require.NoError(t, err)
			require.Greater(t, k.Token(), last)
			requireStands(t, nodes, k.Token())
			last = k.Token()
			require.NoError(t, k.Unlock(t.Context()))
		}
	})
}

func TestATokenLivesThroughTheRestartOfEveryNodeUnderALock(t *testing.T) {
	for _, automatic := range []bool{false, true} {
		t.Run(fmt.Sprintf("automatic=%t", automatic), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				opts := []redlock.Option{redlock.WithFencing(rig.FenceKeep)}
				if automatic {
					opts = append(opts, redlock.WithAutoExtend(redlock.Forever))
				}
				l := rig.NewLocker(t, nodes, opts...)
				far := time.Now().Add(12 * time.Hour).UnixMicro()
				for _, n := range nodes {
					n.SetCounter(t, far) // tokens that no clock makes up for
				}
				k, err := l.Lock(t.Context(), "k", fenceTTL)
				require.NoError(t, err)
				token := k.Token()
				require.Greater(t, token, far)
				for range 2 {
					for _, n := range nodes {
						synctest.Wait()
						n.Stop()
						n.Restart()
						for range 3 { // to be put back, to count, and once more
							if automatic {
								time.Sleep(fenceTTL / 2)
							} else {
								require.NoError(t, k.Extend(t.Context(), fenceTTL))
								time.Sleep(time.Second) // go-redis has broken connections to find out about
							}
							if n.Exists("k") {
								require.GreaterOrEqual(t, n.Counter(t), token, "the lock was put back without its token")
							}
						}
						require.GreaterOrEqual(t, n.Counter(t), token)
					}
				}
				require.Equal(t, token, k.Token())
				require.NoError(t, k.Unlock(t.Context()))
				synctest.Wait()
				k, err = l.Lock(t.Context(), "k", fenceTTL)
				require.NoError(t, err)
				require.Greater(t, k.Token(), token)
				require.NoError(t, k.Unlock(t.Context()))
			})
		})
	}
}

func TestALongHoldDoesNotOutliveItsCounter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keep = 2 * fenceTTL
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithFencing(keep), redlock.WithAutoExtend(redlock.Forever))
		far := time.Now().Add(12 * time.Hour).UnixMicro()
		for _, n := range nodes {
			n.SetCounter(t, far)
			n.SetTTL(rig.TokenKey, fenceTTL)
		}
		k, err := l.Lock(t.Context(), "k", fenceTTL)
		require.NoError(t, err)
		require.Equal(t, far+1, k.Token())
		time.Sleep(10 * keep)
		for _, n := range nodes {
			require.Equal(t, far+1, n.Counter(t))
		}
		require.NoError(t, k.Unlock(t.Context()))
		time.Sleep(keep - fenceTTL)
		for _, n := range nodes {
			require.Equal(t, far+1, n.Counter(t))
		}
		time.Sleep(fenceTTL + time.Second)
		for _, n := range nodes {
			require.Empty(t, n.Keys(), "it is gone after its last use")
		}
	})
}

func TestTheCounterOutlivesTheLockWhateverItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := rig.NewLocker(t, rig.New(t, 1))
		_, err := l.Lock(t.Context(), "k", fenceTTL, redlock.WithFencing(2*fenceTTL-time.Millisecond))
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		require.ErrorContains(t, err, "WithFencing(")
		k, err := l.Lock(t.Context(), "k", fenceTTL, redlock.WithFencing(2*fenceTTL))
		require.NoError(t, err)
		require.ErrorIs(t, k.Extend(t.Context(), fenceTTL+time.Millisecond), redlock.ErrInvalidArgument)
		require.NoError(t, k.Extend(t.Context(), fenceTTL))
		require.NoError(t, k.Unlock(t.Context()))
		k, err = l.Lock(t.Context(), "k", fenceTTL, redlock.WithFencing(redlock.Forever))
		require.NoError(t, err)
		require.NoError(t, k.Extend(t.Context(), 100*fenceTTL))
		require.NoError(t, k.Unlock(t.Context()))
	})
}
