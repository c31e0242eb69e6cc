package gate_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A queue is some processes that wait for "a" behind a lock which lasts.
type queue struct {
	lock     *redlock.Lock
	unlocked time.Time
	all      sync.WaitGroup
	took     []time.Duration // from the end of the turn before to each turn
	who      []int           // had each turn
}

// waitsInTurn has processes wait behind the lock of a holder, one after the other.
func waitsInTurn(ctx context.Context, t *testing.T, holder *rig.Process, processes []*rig.Process) *queue {
	t.Helper()
	k, err := holder.Locker.Lock(ctx, "a", time.Hour)
	require.NoError(t, err)
	q := &queue{lock: k}
	for i, p := range processes {
		q.all.Go(func() {
			_ = p.Locker.With(ctx, "a", rig.TTL, func(context.Context, *redlock.Lock) error {
				q.took = append(q.took, time.Since(q.unlocked)) // under the lock
				q.who = append(q.who, i)
				q.unlocked = time.Now()
				return nil
			}, nil, rig.InTurn)
		})
		time.Sleep(5 * time.Millisecond)
	}
	return q
}

// goes ends the lock, and returns once all who live have had their turn.
func (q *queue) goes(t *testing.T) {
	t.Helper()
	q.unlocked = time.Now()
	require.NoError(t, q.lock.Unlock(t.Context()))
	q.all.Wait()
}

func newProcesses(t *testing.T, nodes []*rig.Node, n int) (all []*rig.Process) {
	t.Helper()
	for range n {
		p := rig.NewProcess(t, nodes)
		rig.WarmUp(t, p.Locker)
		all = append(all, p)
	}
	return all
}

func shutDown(t *testing.T, processes []*rig.Process) {
	t.Helper()
	for _, p := range processes {
		require.NoError(t, p.Locker.Shutdown(t.Context()))
	}
}

// A name that is left in the line has a turn, and nobody takes it.
func TestWhoMayListenAgainWhileItWaitsLeavesNoOtherNameInLine(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n, " nodes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, n)
				processes := newProcesses(t, nodes, 5)
				var forbids []*rig.Forbidding
				for _, node := range nodes {
					forbids = append(forbids, node.Forbid())
				}
				for _, p := range processes {
					rig.WarmUp(t, p.Locker)
				}
				q := waitsInTurn(t.Context(), t, processes[0], processes[1:])
				time.Sleep(10 * time.Second)
				require.Equal(t, 4, rig.Waiting(t, nodes))
				for _, f := range forbids {
					f.Allow()
				}
				time.Sleep(90 * time.Second)
				require.Len(t, rig.Listening(nodes), 4, "they listen again")
				require.Equal(t, 4, rig.Waiting(t, nodes))
				for _, node := range nodes {
					node.Slow(time.Millisecond)
				}
				q.goes(t)
				assert.Equal(t, []int{0, 1, 2, 3}, q.who)
				assert.LessOrEqual(t, slices.Max(q.took), 10*time.Millisecond)
				shutDown(t, processes)
				rig.RequireNoLine(t, nodes)
			})
		})
	}
}

func TestWhoGivesUpLeavesTheLineByBothItsNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		processes := newProcesses(t, nodes, 2)
		f := nodes[0].Forbid()
		ctx, cancel := context.WithCancel(t.Context())
		q := waitsInTurn(ctx, t, processes[0], processes[1:])
		time.Sleep(10 * time.Second)
		f.Allow()
		for len(rig.Listening(nodes)) == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel() // before it has asked by its other name, most likely
		q.goes(t)
		synctest.Wait()
		assert.Zero(t, rig.Waiting(t, nodes))
		shutDown(t, processes)
		rig.RequireNoLine(t, nodes)
	})
}

// The owner ends the name of a Locker, and is what the program says.
func TestALockerIsToldWhateverItsOwnerEndsWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		processes := newProcesses(t, nodes, 2)
		l, err := redlock.New(processes[1].Clients, redlock.WithOwner("billing~"))
		require.NoError(t, err)
		q := waitsInTurn(t.Context(), t, processes[0], []*rig.Process{{Locker: l}})
		time.Sleep(10 * time.Second)
		nodes[0].Slow(time.Millisecond)
		q.goes(t)
		assert.LessOrEqual(t, slices.Max(q.took), 5*time.Millisecond)
		require.NoError(t, l.Shutdown(t.Context()))
		shutDown(t, processes)
	})
}

func TestADeadOneThatNobodyCanTellHoldsTheOthersUpOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		processes := newProcesses(t, nodes, 4)
		nodes[0].Forbid()
		for _, p := range processes {
			rig.WarmUp(t, p.Locker)
		}
		q := waitsInTurn(t.Context(), t, processes[0], processes[1:])
		time.Sleep(time.Second)
		processes[1].Die()
		shutDown(t, processes[1:2]) // it cannot say so
		nodes[0].Slow(time.Millisecond)
		q.goes(t)
		slices.Sort(q.took)
		require.Len(t, q.took, 2)
		assert.LessOrEqual(t, q.took[1], 320*time.Millisecond)
		assert.LessOrEqual(t, q.took[0], 20*time.Millisecond)
		shutDown(t, processes)
	})
}

// An allowance is a hook of a client that may not PUBLISH, nor may its scripts, until it is
// told otherwise.
type allowance struct{ allowed *atomic.Bool }

func (a allowance) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	refuses := rig.ScriptsMayNotPublish{NorClient: true}.ProcessHook(next)
	return func(ctx context.Context, cmd redis.Cmder) error {
		if a.allowed.Load() {
			return next(ctx, cmd)
		}
		return refuses(ctx, cmd)
	}
}

func (allowance) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (allowance) DialHook(next redis.DialHook) redis.DialHook { return next }

func TestWhoMayPublishAgainIsToldAgainThoughSomebodyWaitsAllTheTime(t *testing.T) {
	rig.Long(t)
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		var allowed atomic.Bool
		processes := newProcesses(t, nodes, 2)
		for _, p := range processes {
			p.Clients[0].AddHook(allowance{&allowed})
		}
		commands := func(hold, lasts time.Duration) int {
			before, turns := rig.Sent(nodes), len(changesOf(t, processes, hold, lasts))
			return (rig.Sent(nodes) - before) / turns
		}
		commands(time.Second, 5*time.Second)
		assert.Greater(t, commands(10*time.Millisecond, time.Second), 10, "for each turn, as they look")
		allowed.Store(true)
		commands(time.Second, 65*time.Second)
		assert.LessOrEqual(t, commands(10*time.Millisecond, time.Second), 5, "for each turn, as they are told")
		shutDown(t, processes)
	})
}
