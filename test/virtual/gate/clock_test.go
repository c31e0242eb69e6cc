package gate_test

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

// The clock of the gate jumps while eight Lockers take turns, and is right again after a
// while. What has an expiry there is gone when it jumps ahead, and the line with it: it
// forms again, in the same order, as those who wait ask again.
func TestTheOrderOfTheLineIsKeptWhenTheClockOfTheGateJumps(t *testing.T) {
	rig.Long(t)
	for _, jump := range []time.Duration{0, time.Minute, -time.Minute, 24 * time.Hour, -24 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const lockers, hold = 8, 200 * time.Millisecond
				nodes := rig.New(t, 3)
				gate, _ := rig.FindGate(t, nodes)
				ctx, cancel := context.WithCancel(t.Context())
				var order struct {
					sync.Mutex
					offset time.Duration // of the clock
					turns  []int         // who had them
				}
				var all sync.WaitGroup
				all.Go(func() {
					for ctx.Err() == nil {
						order.Lock()
						gate.SetTime(time.Now().Add(order.offset))
						order.Unlock()
						time.Sleep(time.Millisecond)
					}
				})
				for i := range lockers {
					l := rig.NewLocker(t, nodes)
					all.Go(func() {
						for ctx.Err() == nil {
							_ = l.With(ctx, "a", rig.TTL, func(context.Context, *redlock.Lock) error {
								order.Lock()
								order.turns = append(order.turns, i)
								order.Unlock()
								time.Sleep(hold)
								return nil
							}, nil, rig.InTurn)
							time.Sleep(time.Millisecond)
						}
					})
				}
				for _, offset := range []time.Duration{0, jump, 0, jump} {
					order.Lock()
					order.offset = offset
					order.Unlock()
					time.Sleep(10 * time.Second)
				}
				cancel()
				all.Wait()
				assert.Greater(t, len(order.turns), 20*lockers)
				last := make([]int, lockers) // when each had its last turn
				for at, i := range append(order.turns, 0, 1, 2, 3, 4, 5, 6, 7) {
					assert.LessOrEqual(t, at-last[i], 2*lockers, "turn %d of %d", at, i)
					last[i] = at
				}
			})
		})
	}
}
