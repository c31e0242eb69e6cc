package line_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A Locker comes to the end of the line after each turn, however many callers it has,
// and though the other nodes may agree before the gate has answered.
func TestALockerWithManyCallersDoesNotOvertakeTheOneThatWaits(t *testing.T) {
	rig.Long(t)
	for name, gateTakes := range map[string]time.Duration{"gate as fast": time.Millisecond, "gate slower by 1 ms": 2 * time.Millisecond, "gate slower by 9 ms": 10 * time.Millisecond} {
		for _, hold := range []time.Duration{200 * time.Millisecond, 1500 * time.Millisecond} {
			t.Run(name+", held for "+hold.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nodes := rig.New(t, 3)
					gate, others := rig.FindGate(t, nodes)
					many, one := rig.NewProcess(t, nodes).Locker, rig.NewProcess(t, nodes).Locker
					rig.WarmUp(t, many)
					rig.WarmUp(t, one)
					gate.Slow(gateTakes)
					for _, n := range others {
						n.Slow(time.Millisecond)
					}
					ctx, cancel := context.WithCancel(t.Context())
					var mu sync.Mutex
					turns := map[*redlock.Locker]int{}
					var all sync.WaitGroup
					work := func(l *redlock.Locker) {
						for ctx.Err() == nil {
							_ = l.With(ctx, "a", rig.TTL, func(context.Context, *redlock.Lock) error {
								mu.Lock()
								turns[l]++
								mu.Unlock()
								time.Sleep(hold)
								return nil
							}, nil, rig.InTurn)
						}
					}
					for range 5 {
						all.Go(func() { work(many) })
						time.Sleep(time.Millisecond)
					}
					all.Go(func() { work(one) })
					time.Sleep(60 * hold)
					cancel()
					all.Wait()
					assert.NoError(t, many.Shutdown(t.Context()))
					assert.NoError(t, one.Shutdown(t.Context()))
					assert.Less(t, turns[many], 2*turns[one])
					assert.Less(t, turns[one], 2*turns[many])
				})
			})
		}
	}
}
