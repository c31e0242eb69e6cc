package deployments_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestAnyNumberOfNodesGrantsExtendsReleasesAndExcludes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 4, 5, 7} {
		t.Run(fmt.Sprintf("%d nodes", n), func(t *testing.T) {
			on := rig.NewReal(t, n)
			l, other := on.Locker(t), on.Other(t)
			for range 20 {
				lock, err := l.TryLock(t.Context(), "k", rig.LongTTL)
				require.NoError(t, err)
				_, err = other.TryLock(t.Context(), "k", rig.LongTTL)
				require.ErrorIs(t, err, redlock.ErrContended)
				require.GreaterOrEqual(t, on.Holders(t, "k", lock.Value()), n/2+1)

				rig.DrainCalls(t, l)
				rig.DrainCalls(t, other)
				require.NoError(t, lock.Extend(t.Context(), 2*rig.LongTTL))
				rig.DrainCalls(t, l)
				for node := range n {
					require.Greater(t, on.PTTL(t, node, "k"), rig.LongTTL, "node %d", node)
				}
				_, err = other.TryLock(t.Context(), "k", rig.LongTTL)
				require.ErrorIs(t, err, redlock.ErrContended)

				require.NoError(t, lock.Unlock(t.Context()))
				theirs, err := other.Lock(t.Context(), "k", rig.LongTTL)
				require.NoError(t, err)
				_, err = l.TryLock(t.Context(), "k", rig.LongTTL)
				require.ErrorIs(t, err, redlock.ErrContended)
				require.ErrorIs(t, lock.Extend(t.Context(), rig.LongTTL), redlock.ErrUnlocked)
				require.NoError(t, theirs.Unlock(t.Context()))
				rig.DrainCalls(t, other)
			}
			rig.Drain(t, l)
			rig.Drain(t, other)
			on.RequireEmpty(t, rig.LongTTL/3)
		})
	}
}

// tieDelay is between two attempts of those who race.
const tieDelay = 20 * time.Second

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
			lock, err := l.Lock(ctx, key, rig.LongTTL, redlock.WithRetry(10, tieDelay))
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
	nobody := time.NewTimer(rig.Patience)
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
		on := rig.NewReal(t, nodes)
		var lockers []*redlock.Locker
		for range 3 {
			lockers = append(lockers, on.Other(t))
		}
		for contenders := 2; contenders <= 3; contenders++ {
			var all, alone []time.Duration
			slow := 0
			for round := range rounds {
				alone = append(alone, raceOnce(t, lockers[:1], fmt.Sprintf("alone %d of %d", contenders, round)))
				took := raceOnce(t, lockers[:contenders], fmt.Sprintf("%d of %d", contenders, round))
				all = append(all, took)
				if took > tieDelay/2 { // with the jitter a delay is between nothing and twice its length
					slow++
				}
			}
			mid, one := rig.Median(all), rig.Median(alone)
			t.Logf("%d nodes, %d contenders: median %v, longest %v; one alone: median %v; %d of %d ties took a retry delay",
				nodes, contenders, mid, all[len(all)-1], one, slow, rounds)
			assert.Less(t, mid, 100*one, "%d nodes, %d contenders", nodes, contenders)
			assert.LessOrEqual(t, slow, rounds/10, "%d nodes, %d contenders", nodes, contenders)
		}
		for _, l := range lockers {
			rig.Drain(t, l)
		}
		on.RequireEmpty(t, rig.LongTTL/3)
	}
}
