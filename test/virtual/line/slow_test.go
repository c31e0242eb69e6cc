package line_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestAWaitThatIsShorterThanListeningTakesStillEndsAsContended(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"with a line": nil, "without": {redlock.WithoutWaitingLine()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l := rig.NewLocker(t, nodes, opts...)
				rig.WarmUp(t, l)
				_ = rig.Lock(t, rig.NewLocker(t, nodes))
				for _, n := range nodes {
					n.Slow(20 * time.Millisecond)
				}
				_, err := l.TryLock(t.Context(), "a", rig.TTL)
				require.ErrorIs(t, err, redlock.ErrContended)
				time.Sleep(200 * time.Millisecond) // its releases are over, its connections open
				_, err = l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(35*time.Millisecond))
				require.ErrorIs(t, err, redlock.ErrContended, "all nodes are well: %v", err)
			})
		})
	}
}

func TestASlowGateCostsTheOthersNothing(t *testing.T) {
	took := map[string]time.Duration{}
	for name, opts := range map[string][]redlock.Option{"with a line": nil, "without": {redlock.WithoutWaitingLine()}} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 3)
			gate, _ := rig.FindGate(t, nodes)
			l := rig.NewLocker(t, nodes, opts...)
			rig.WarmUp(t, l)
			k := rig.Lock(t, rig.NewLocker(t, nodes))
			_, err := l.TryLock(t.Context(), "a", rig.TTL)
			require.ErrorIs(t, err, redlock.ErrContended)
			require.NoError(t, k.Unlock(t.Context()))
			synctest.Wait()
			gate.Slow(300 * time.Millisecond)
			start := time.Now()
			for range 20 {
				k, err := l.Lock(t.Context(), "a", rig.TTL)
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
		nodes := rig.New(t, 3)
		gate, _ := rig.FindGate(t, nodes)
		l := rig.NewLocker(t, nodes)
		for _, n := range nodes {
			n.Slow(time.Millisecond)
		}
		cycle := func(resource string) {
			k, err := l.Lock(t.Context(), resource, rig.TTL)
			require.NoError(t, err)
			require.NoError(t, k.Unlock(t.Context()))
		}
		for range 50 {
			cycle("a")
		}
		gate.Freeze()
		for i := range 50 {
			cycle(fmt.Sprint("b", i))
		}
		time.Sleep(900 * time.Millisecond)
		gate.Thaw()
		time.Sleep(time.Second)
		longest := time.Duration(0)
		for range 20 {
			k := rig.Lock(t, l)
			time.Sleep(5 * time.Millisecond)
			_, err := gate.ZAdd(rig.LineOfA, 1, "dead")
			require.NoError(t, err)
			require.NoError(t, k.Unlock(t.Context()))
			time.Sleep(2 * time.Millisecond)
			longest = max(longest, gate.TTL(rig.NextOfA))
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
			nodes := rig.New(t, 3)
			gate, _ := rig.FindGate(t, nodes)
			gate.Stop()
			k, l := rig.Lock(t, rig.NewLocker(t, nodes, opts...)), rig.NewLocker(t, nodes, opts...)
			_, err := l.TryLock(t.Context(), "a", rig.TTL)
			require.ErrorIs(t, err, redlock.ErrContended)
			require.NoError(t, k.Unlock(t.Context()))
			time.Sleep(10 * time.Millisecond)
			start := time.Now()
			k = rig.Lock(t, l)
			took[name] = time.Since(start)
			require.NoError(t, k.Unlock(t.Context()))
		})
	}
	t.Log("a free lock took", took)
	assert.Less(t, took["with a line"], took["without"]+50*time.Millisecond)
}

func TestALockThatWasTakenWhileTheGateWasSilentLetsTheNextOneGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		gate, _ := rig.FindGate(t, nodes)
		l, next := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		gate.Freeze()
		rig.Unlock(t, rig.Lock(t, l))
		time.Sleep(2 * time.Second) // until it is silent
		k := rig.Lock(t, l)
		gate.Thaw()
		synctest.Wait()
		got := make(chan time.Time, 1)
		go func() {
			k, err := next.Lock(t.Context(), "a", rig.TTL, rig.InTurn)
			got <- time.Now()
			if assert.NoError(t, err) {
				assert.NoError(t, k.Unlock(t.Context()))
			}
		}()
		time.Sleep(time.Second)
		require.Equal(t, 1, rig.Waiting(t, nodes))
		rig.Unlock(t, k)
		free := time.Now()
		assert.WithinDuration(t, free, <-got, 10*time.Millisecond)
		synctest.Wait()
		rig.RequireNoLine(t, nodes)
	})
}

func TestAFreeResourceIsTakenThoughItsGateIsSlowAndAnotherNodeIsFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 5 * time.Second
		nodes := rig.New(t, 3)
		gate, others := rig.FindGate(t, nodes)
		l, holder := rig.NewLocker(t, nodes, redlock.WithNodeTimeout(timeout)), rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		gate.Stop()
		k, err := l.TryLock(t.Context(), "b", rig.TTL) // now it knows that the gate was not well
		require.NoError(t, err)
		require.NoError(t, k.Unlock(t.Context()))
		time.Sleep(timeout)
		gate.Restart()
		gate.Slow(30 * time.Millisecond) // and it still is slow beside the others
		k, err = l.TryLock(t.Context(), "b", rig.TTL)
		require.NoError(t, err)
		require.NoError(t, k.Unlock(t.Context()))
		synctest.Wait()

		others[0].Freeze()
		held := rig.Lock(t, holder)
		_, err = l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		require.NoError(t, held.Unlock(t.Context()))
		start := time.Now()
		_, err = l.Lock(t.Context(), "a", rig.TTL)
		require.NoError(t, err)
		assert.Less(t, time.Since(start), time.Second)
		others[0].Thaw()
	})
}
