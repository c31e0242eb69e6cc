package redlock_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

func TestAWaitThatIsShorterThanListeningTakesStillEndsAsContended(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"with a line": nil, "without": {redlock.WithoutWaitingLine()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				l := newLocker(t, nodes, opts...)
				warmUp(t, l)
				_ = lock(t, newLocker(t, nodes))
				for _, n := range nodes {
					n.slow(20 * time.Millisecond)
				}
				_, err := l.TryLock(t.Context(), "a", ttl)
				require.ErrorIs(t, err, redlock.ErrContended)
				time.Sleep(200 * time.Millisecond) // its releases are over, its connections open
				_, err = l.Lock(t.Context(), "a", ttl, redlock.WithMaxWait(35*time.Millisecond))
				require.ErrorIs(t, err, redlock.ErrContended, "all nodes are well: %v", err)
			})
		})
	}
}

func TestASlowGateCostsTheOthersNothing(t *testing.T) {
	took := map[string]time.Duration{}
	for name, opts := range map[string][]redlock.Option{"with a line": nil, "without": {redlock.WithoutWaitingLine()}} {
		synctest.Test(t, func(t *testing.T) {
			nodes := newNodes(t, 3)
			gate, _ := findGate(t, nodes)
			l := newLocker(t, nodes, opts...)
			warmUp(t, l)
			k := lock(t, newLocker(t, nodes))
			_, err := l.TryLock(t.Context(), "a", ttl)
			require.ErrorIs(t, err, redlock.ErrContended)
			require.NoError(t, k.Unlock(t.Context()))
			synctest.Wait()
			gate.slow(300 * time.Millisecond)
			start := time.Now()
			for range 20 {
				k, err := l.Lock(t.Context(), "a", ttl)
				require.NoError(t, err)
				require.NoError(t, k.Unlock(t.Context()))
			}
			took[name] = time.Since(start)
		})
	}
	t.Log(took)
	assert.Less(t, took["with a line"], 2*took["without"]+50*time.Millisecond)
}

func TestAReservationIsShortAgainSoonAfterTheGateHasHungOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		gate, _ := findGate(t, nodes)
		l := newLocker(t, nodes)
		for _, n := range nodes {
			n.slow(time.Millisecond)
		}
		cycle := func(resource string) {
			k, err := l.Lock(t.Context(), resource, ttl)
			require.NoError(t, err)
			require.NoError(t, k.Unlock(t.Context()))
		}
		for range 50 {
			cycle("a")
		}
		gate.freeze()
		for i := range 50 {
			cycle(fmt.Sprint("b", i))
		}
		time.Sleep(900 * time.Millisecond)
		gate.thaw()
		time.Sleep(time.Second)
		longest := time.Duration(0)
		for range 20 {
			k := lock(t, l)
			time.Sleep(5 * time.Millisecond)
			_, err := gate.ZAdd(lineOfA, 1, "dead")
			require.NoError(t, err)
			require.NoError(t, k.Unlock(t.Context()))
			time.Sleep(2 * time.Millisecond)
			longest = max(longest, gate.TTL(nextOfA))
			time.Sleep(2 * time.Second)
		}
		t.Log("longest reservation for one who does not come:", longest)
		assert.LessOrEqual(t, longest, 60*time.Millisecond, "a round trip takes 1 ms")
	})
}

func TestAGateThatIsDownCostsNobodyTime(t *testing.T) {
	took := map[string]time.Duration{}
	for name, opts := range map[string][]redlock.Option{"with a line": nil, "without": {redlock.WithoutWaitingLine()}} {
		synctest.Test(t, func(t *testing.T) {
			nodes := newNodes(t, 3)
			gate, _ := findGate(t, nodes)
			gate.stop()
			k, l := lock(t, newLocker(t, nodes, opts...)), newLocker(t, nodes, opts...)
			_, err := l.TryLock(t.Context(), "a", ttl)
			require.ErrorIs(t, err, redlock.ErrContended)
			require.NoError(t, k.Unlock(t.Context()))
			time.Sleep(10 * time.Millisecond)
			start := time.Now()
			k = lock(t, l)
			took[name] = time.Since(start)
			require.NoError(t, k.Unlock(t.Context()))
		})
	}
	t.Log("a free lock took", took)
	assert.Less(t, took["with a line"], took["without"]+50*time.Millisecond)
}

func TestALockThatWasTakenWhileTheGateWasSilentLetsTheNextOneGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		gate, _ := findGate(t, nodes)
		l, next := newLocker(t, nodes), newLocker(t, nodes)
		warmUp(t, l)
		gate.freeze()
		unlock(t, lock(t, l))
		time.Sleep(2 * time.Second) // until it is silent
		k := lock(t, l)
		gate.thaw()
		synctest.Wait()
		got := make(chan time.Time, 1)
		go func() {
			k, err := next.Lock(t.Context(), "a", ttl, inTurn)
			got <- time.Now()
			if assert.NoError(t, err) {
				assert.NoError(t, k.Unlock(t.Context()))
			}
		}()
		time.Sleep(time.Second)
		require.Equal(t, 1, waiting(t, nodes))
		unlock(t, k)
		free := time.Now()
		assert.WithinDuration(t, free, <-got, 10*time.Millisecond)
		synctest.Wait()
		requireNoLine(t, nodes)
	})
}
