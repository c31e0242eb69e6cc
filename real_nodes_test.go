package redlock_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

func TestAnyNumberOfNodesGrantsExtendsReleasesAndExcludes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 4, 5, 7} {
		t.Run(fmt.Sprintf("%d nodes", n), func(t *testing.T) {
			rig := newRealRig(t, n)
			l, other := rig.locker(t), rig.other(t)
			for range 20 {
				lock, err := l.TryLock(t.Context(), "k", realTTL)
				require.NoError(t, err)
				_, err = other.TryLock(t.Context(), "k", realTTL)
				require.ErrorIs(t, err, redlock.ErrContended)
				require.ErrorIs(t, err, redlock.ErrNotAcquired)
				require.GreaterOrEqual(t, rig.holders(t, "k", lock.Value()), n/2+1)

				drainCalls(t, l)
				drainCalls(t, other)
				require.NoError(t, lock.Extend(t.Context(), 2*realTTL))
				drainCalls(t, l)
				for node := range n {
					require.Greater(t, rig.pttl(t, node, "k"), realTTL, "node %d", node)
				}
				_, err = other.TryLock(t.Context(), "k", realTTL)
				require.ErrorIs(t, err, redlock.ErrContended)

				require.NoError(t, lock.Unlock(t.Context()))
				theirs, err := other.Lock(t.Context(), "k", realTTL)
				require.NoError(t, err)
				_, err = l.TryLock(t.Context(), "k", realTTL)
				require.ErrorIs(t, err, redlock.ErrContended)
				require.ErrorIs(t, lock.Extend(t.Context(), realTTL), redlock.ErrUnlocked)
				require.NoError(t, theirs.Unlock(t.Context()))
				drainCalls(t, other)
			}
			drain(t, l)
			drain(t, other)
			rig.requireEmpty(t, realTTL/3)
		})
	}
}

// raceOnce lets all Lockers try for key at the same instant and returns how
// long it took until one had it. At most one may hold it at any time.
func raceOnce(t *testing.T, lockers []*redlock.Locker, key string) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var (
		wg    sync.WaitGroup
		start = make(chan struct{})
		won   = make(chan *redlock.Lock, len(lockers))
		begun time.Time
		took  time.Duration
	)
	for _, l := range lockers {
		wg.Go(func() {
			<-start
			lock, err := l.Lock(ctx, key, realTTL, redlock.WithRetry(10, 2*time.Second))
			if err == nil {
				won <- lock
				return
			}
			// The winner has ended the wait, or nobody won in a long time.
			assert.ErrorIs(t, err, context.Canceled)
		})
	}
	begun = time.Now()
	close(start)
	var lock *redlock.Lock
	nobody := time.NewTimer(realPatience)
	defer nobody.Stop()
	select {
	case lock = <-won:
		took = time.Since(begun)
	case <-nobody.C:
	}
	cancel()
	wg.Wait()
	require.NotNil(t, lock, "nobody won")
	require.Empty(t, won, "two have the lock")
	require.NoError(t, lock.Unlock(t.Context()))
	return took
}

func TestTiesAreSettledInRoundTripsNotInRetryDelays(t *testing.T) {
	const rounds = 60
	for _, nodes := range []int{2, 3, 4, 5} {
		rig := newRealRig(t, nodes)
		var lockers []*redlock.Locker
		for range 3 {
			lockers = append(lockers, rig.other(t))
		}
		for contenders := 2; contenders <= 3; contenders++ {
			var all []time.Duration
			slow := 0
			for round := range rounds {
				took := raceOnce(t, lockers[:contenders], fmt.Sprintf("%d of %d", contenders, round))
				all = append(all, took)
				if took > time.Second {
					slow++
				}
			}
			mid := median(all)
			t.Logf("%d nodes, %d contenders: median %v, longest %v, %d of %d took more than 1s",
				nodes, contenders, mid, all[len(all)-1], slow, rounds)
			assert.Less(t, mid, 100*time.Millisecond, "%d nodes, %d contenders", nodes, contenders)
			assert.LessOrEqual(t, slow, rounds/10, "%d nodes, %d contenders", nodes, contenders)
		}
		for _, l := range lockers {
			drain(t, l)
		}
		rig.requireEmpty(t, realTTL/3)
	}
}
