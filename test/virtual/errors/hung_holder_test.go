package errors_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/b0401464/redlock/test/rig"
)

// The gate has lost its data, and one of the holder's nodes freezes: it would be waited for twice.
func TestACallIsToldWhatAMajoritySaysThoughItsGateIsEmptyAndANodeHasJustFrozen(t *testing.T) {
	rig.Long(t)
	for _, timeout := range []time.Duration{40 * time.Millisecond, 200 * time.Millisecond} {
		for _, size := range []int{3, 4, 5} {
			for which := range size - 1 {
				t.Run(fmt.Sprint(timeout, ", ", size, " nodes, ", which), func(t *testing.T) {
					within(t, timeout*3/2, func(t *testing.T, before time.Duration) {
						t.Helper()
						w := newWaiter(t, size, 2*time.Millisecond, rig.TTL, time.Second, 40, nodeTimeout(timeout)...)
						w.gate.FlushAll()
						w.freezes(t, w.others[which], before)
					})
				})
			}
		}
	}
}

// As before. That node is farther away than the others, and has failed once: it is waited for half
// the node timeout, however long that is.
func TestACallIsToldWhatAMajoritySaysThoughItsGateIsEmptyAndAFarNodeHasJustFrozen(t *testing.T) {
	rig.Long(t)
	for _, timeout := range []time.Duration{200 * time.Millisecond, time.Second} {
		t.Run(fmt.Sprint(timeout), func(t *testing.T) {
			within(t, timeout*3/2, func(t *testing.T, before time.Duration) {
				t.Helper()
				w := newWaiter(t, 3, 2*time.Millisecond, rig.TTL, 4*time.Second, 80, nodeTimeout(timeout)...)
				w.others[1].Slow(60 * time.Millisecond)
				time.Sleep(200 * time.Millisecond)
				w.gate.FlushAll()
				w.others[1].Down()
				time.Sleep(200 * time.Millisecond)
				w.others[1].Up()
				w.freezes(t, w.others[1], before)
			})
		})
	}
}
