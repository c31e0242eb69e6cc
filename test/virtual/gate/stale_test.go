package gate_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A release that was lost leaves a key on one node of three for its TTL.
func staleKeyAtTheGate(t *testing.T, gate *rig.Node) {
	t.Helper()
	require.NoError(t, gate.Set("a", "of a release that was lost"))
	gate.SetTTL("a", time.Hour)
}

func TestAKeyThatIsLeftAtTheGateDoesNotKeepTryLockOut(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"with a line": nil, "without": {redlock.WithoutWaitingLine()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				gate, _ := rig.FindGate(t, nodes)
				holder, l := rig.Lock(t, rig.NewLocker(t, nodes)), rig.NewLocker(t, nodes, opts...)
				try := func() bool {
					k, err := l.TryLock(t.Context(), "a", rig.TTL)
					if err != nil {
						require.ErrorIs(t, err, redlock.ErrContended)
						return false
					}
					require.NoError(t, k.Unlock(t.Context()))
					return true
				}
				require.False(t, try())
				require.NoError(t, holder.Unlock(t.Context()))
				synctest.Wait()
				staleKeyAtTheGate(t, gate)
				start := time.Now()
				for !try() {
					time.Sleep(500 * time.Millisecond)
					if time.Since(start) > 10*time.Minute {
						t.Fatal("two of three nodes are free, and TryLock is refused for 10 minutes")
					}
				}
			})
		})
	}
}

func TestAKeyThatIsLeftAtTheGateDoesNotKeepShortWaitsOut(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"with a line": nil, "without": {redlock.WithoutWaitingLine()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				gate, _ := rig.FindGate(t, nodes)
				holder, l := rig.Lock(t, rig.NewLocker(t, nodes)), rig.NewLocker(t, nodes, opts...)
				try := func() bool {
					k, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(300*time.Millisecond))
					if err != nil {
						require.ErrorIs(t, err, redlock.ErrContended)
						return false
					}
					require.NoError(t, k.Unlock(t.Context()))
					return true
				}
				require.False(t, try())
				require.NoError(t, holder.Unlock(t.Context()))
				synctest.Wait()
				staleKeyAtTheGate(t, gate)
				start := time.Now()
				for !try() {
					if time.Since(start) > 10*time.Minute {
						t.Fatal("two of three nodes are free, and Lock is refused for 10 minutes")
					}
				}
			})
		})
	}
}

func TestALockThatIsGivenBackIsNotToldToHaveAMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		gate, others := rig.FindGate(t, nodes)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		require.NoError(t, gate.Set(rig.NextOfA, "somebody"))
		gate.SetTTL(rig.NextOfA, 500*time.Millisecond)
		for _, n := range others {
			n.Slow(time.Millisecond)
		}
		_, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		e := err.(*redlock.LockError) //nolint:errorlint // it is one
		assert.Less(t, e.Agreed, e.Quorum, "%v", err)
	})
}

// turnsIn lets some processes take "a" for a millisecond again and again, calls spoil
// while somebody has it, and returns how many turns they have in two seconds, a second after that.
func turnsIn(t *testing.T, processes int, spoil func(t *testing.T, gate, other *rig.Node), opts ...redlock.Option) (turns int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		gate, others := rig.FindGate(t, nodes)
		for _, n := range nodes {
			n.Slow(time.Millisecond)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		var count atomic.Int64
		for range processes {
			l := rig.NewLocker(t, nodes, opts...)
			rig.WarmUp(t, l)
			all.Go(func() {
				for ctx.Err() == nil {
					_ = l.With(ctx, "a", rig.TTL, func(context.Context, *redlock.Lock) error {
						count.Add(1)
						time.Sleep(time.Millisecond)
						return nil
					}, nil, rig.InTurn)
					time.Sleep(time.Millisecond)
				}
			})
		}
		spoil(t, gate, others[0])
		time.Sleep(time.Second)
		before := count.Load()
		time.Sleep(2 * time.Second)
		turns = int(count.Load() - before)
		cancel()
		all.Wait()
		gate.Del("a")
		others[0].Del("a")
	})
	return turns
}

func TestAKeyThatIsLeftAtTheGateCostsOneVoteAndNoTurns(t *testing.T) {
	rig.Long(t)
	stale := func(t *testing.T, n *rig.Node) {
		t.Helper()
		for n.Exists("a") {
			if is, _ := n.Get("a"); is == "redlock:next" { // nobody has it
				break
			}
			time.Sleep(100 * time.Microsecond)
		}
		staleKeyAtTheGate(t, n)
	}
	for _, processes := range []int{2, 4} {
		elsewhere := turnsIn(t, processes, func(t *testing.T, _, other *rig.Node) { stale(t, other) }) //nolint:thelper // not a helper
		gate := turnsIn(t, processes, func(t *testing.T, gate, _ *rig.Node) { stale(t, gate) })        //nolint:thelper // not a helper
		t.Logf("%d processes: %d turns with the key on another node, %d with it at the gate", processes, elsewhere, gate)
		assert.Greater(t, gate, elsewhere/2)
	}
}
