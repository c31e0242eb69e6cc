package gate_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A change is how long after the end of a turn the next one began, and whose that was.
type change struct {
	took time.Duration
	to   int
}

// changesOf has processes take turns for a while.
func changesOf(t *testing.T, processes []*rig.Process, hold, lasts time.Duration) (all []change) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	var ended time.Time // under the lock
	var workers sync.WaitGroup
	for i, p := range processes {
		workers.Go(func() {
			for ctx.Err() == nil {
				_ = p.Locker.With(ctx, "a", rig.TTL, func(context.Context, *redlock.Lock) error {
					all = append(all, change{time.Since(ended), i})
					time.Sleep(hold)
					ended = time.Now()
					return nil
				}, nil, rig.InTurn)
			}
		})
		time.Sleep(time.Millisecond)
	}
	workers.Wait()
	return all
}

// untold are the ways in which a server does not tell a Locker that it is next.
var untold = map[string]func(nodes []*rig.Node, processes []*rig.Process){
	"told": func([]*rig.Node, []*rig.Process) {},
	"scripts may not publish": func(_ []*rig.Node, processes []*rig.Process) {
		for _, p := range processes {
			for _, c := range p.Clients {
				c.AddHook(rig.ScriptsMayNotPublish{})
			}
		}
	},
	"nobody may publish": func(_ []*rig.Node, processes []*rig.Process) {
		for _, p := range processes {
			for _, c := range p.Clients {
				c.AddHook(rig.ScriptsMayNotPublish{NorClient: true})
			}
		}
	},
	"nobody may listen": func(nodes []*rig.Node, _ []*rig.Process) {
		for _, n := range nodes {
			n.Forbid()
		}
	},
}

// handOver returns the 99th percentile of how long a change takes among 16 processes, once all
// have had some turns. They take them in order.
func handOver(t *testing.T, n int, hold, trip time.Duration, how string) time.Duration {
	t.Helper()
	nodes := rig.New(t, n)
	var processes []*rig.Process
	for range 16 {
		p := rig.NewProcess(t, nodes)
		rig.WarmUp(t, p.Locker)
		processes = append(processes, p)
	}
	untold[how](nodes, processes)
	for _, node := range nodes {
		node.Slow(trip)
	}
	if how == "nobody may publish" { // those who wait find that out after some seconds, one after the other
		changesOf(t, processes, hold, 15*time.Second)
	}
	all := changesOf(t, processes, hold, 250*(hold+4*trip))[4*len(processes):]
	turns := make(map[int]int)
	var took []time.Duration
	for _, c := range all {
		took = append(took, c.took)
		turns[c.to]++
	}
	slices.Sort(took)
	require.Greater(t, len(took), 100)
	for i := range processes {
		assert.InDelta(t, len(all)/len(processes), turns[i], 2, "process %d of those who take turns", i)
	}
	for _, p := range processes {
		assert.NoError(t, p.Locker.Shutdown(t.Context()))
	}
	t.Logf("%s: %d turns, %v half of them, %v the 99th, %v at most", how, len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	return took[len(took)*99/100]
}

// A look costs as much as a message, and a part of a pause.
func TestAHandOverTakesNotMuchLongerWhereTheNextOneIsNotTold(t *testing.T) {
	rig.Long(t)
	for _, n := range []int{1, 3} {
		for _, hold := range []time.Duration{time.Millisecond, 30 * time.Millisecond} {
			t.Run(fmt.Sprintf("%d nodes, held for %v", n, hold), func(t *testing.T) {
				const trip = 2 * time.Millisecond
				took := map[string]time.Duration{}
				for how := range untold {
					if how == "nobody may publish" && (n > 1 || hold < 10*time.Millisecond) {
						continue // the one run shows it
					}
					synctest.Test(t, func(t *testing.T) { took[how] = handOver(t, n, hold, trip, how) })
				}
				assert.LessOrEqual(t, took["scripts may not publish"], 2*took["told"])
				assert.LessOrEqual(t, took["nobody may listen"], 2*took["told"])
				assert.LessOrEqual(t, took["nobody may publish"], 2*took["told"])
			})
		}
	}
}

// mayNotPublish returns a process whose servers refuse PUBLISH within scripts.
func mayNotPublish(t *testing.T, nodes []*rig.Node) *rig.Process {
	t.Helper()
	p := rig.NewProcess(t, nodes)
	for _, c := range p.Clients {
		c.AddHook(rig.ScriptsMayNotPublish{})
	}
	rig.WarmUp(t, p.Locker)
	return p
}

func TestTheDeadArePassedOverWhereScriptsMayNotPublish(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n, " nodes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, n)
				holder := mayNotPublish(t, nodes)
				k := rig.Lock(t, holder.Locker)
				ctx, cancel := context.WithCancel(t.Context())
				var all sync.WaitGroup
				var dead []*rig.Process
				for range 5 {
					p := mayNotPublish(t, nodes)
					dead = append(dead, p)
					all.Go(func() { _, _ = p.Locker.Lock(ctx, "a", rig.TTL, rig.InTurn) })
					time.Sleep(5 * time.Millisecond)
				}
				live := mayNotPublish(t, nodes)
				took := time.Duration(0)
				var unlocked time.Time
				all.Go(func() {
					assert.NoError(t, live.Locker.With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error {
						took = time.Since(unlocked)
						return nil
					}, nil, rig.InTurn))
				})
				time.Sleep(time.Second)
				require.Equal(t, 6, rig.Waiting(t, nodes))
				for _, p := range dead {
					p.Die()
				}
				cancel() // they cannot say so
				synctest.Wait()
				for _, node := range nodes {
					node.Slow(time.Millisecond)
				}
				unlocked = time.Now()
				require.NoError(t, k.Unlock(t.Context()))
				all.Wait()
				assert.LessOrEqual(t, took, 16*time.Millisecond, "two round trips for each of the dead, and few for the others")
				for _, p := range append(dead, holder, live) {
					require.NoError(t, p.Locker.Shutdown(t.Context()))
				}
			})
		})
	}
}

// A release may name more than are told at the same time.
func TestAReleaseOfSeveralTellsTheNextOneOfEachWhereScriptsMayNotPublish(t *testing.T) {
	for _, tt := range []struct {
		nodes, resources int
		within           time.Duration
	}{{3, 5, 5 * time.Millisecond}, {1, 60, 20 * time.Millisecond}} {
		t.Run(fmt.Sprintf("%d resources on %d nodes", tt.resources, tt.nodes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, tt.nodes)
				holder := mayNotPublish(t, nodes)
				var resources []string
				for i := range tt.resources {
					resources = append(resources, fmt.Sprint("of several ", i))
				}
				k, err := holder.Locker.LockAll(t.Context(), resources, time.Hour)
				require.NoError(t, err)
				all, processes := sync.WaitGroup{}, []*rig.Process{holder}
				var unlocked time.Time
				for _, resource := range resources {
					p := mayNotPublish(t, nodes)
					processes = append(processes, p)
					all.Go(func() {
						assert.NoError(t, p.Locker.With(t.Context(), resource, rig.TTL, func(context.Context, *redlock.Lock) error {
							assert.LessOrEqual(t, time.Since(unlocked), tt.within, resource)
							return nil
						}, nil, rig.InTurn))
					})
				}
				time.Sleep(10 * time.Second)
				for _, node := range nodes {
					node.Slow(time.Millisecond)
				}
				unlocked = time.Now()
				require.NoError(t, k.Unlock(t.Context()))
				all.Wait()
				for _, p := range processes {
					require.NoError(t, p.Locker.Shutdown(t.Context()))
				}
			})
		})
	}
}
