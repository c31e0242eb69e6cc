package errors_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// The gate has lost its data, and one of the holder's nodes freezes. The attempt waits for that one,
// and then once more.
func TestACallIsToldWhatAMajoritySaysThoughItsGateIsEmptyAndANodeHasJustFrozen(t *testing.T) {
	rig.Long(t)
	for _, timeout := range []time.Duration{40 * time.Millisecond, 200 * time.Millisecond} {
		for _, size := range []int{3, 4, 5} {
			for which := range size - 1 {
				t.Run(fmt.Sprint(timeout, ", ", size, " nodes, ", which), func(t *testing.T) {
					bad, runs := 0, 0
					var example error
					for i := range 20 {
						synctest.Test(t, func(t *testing.T) {
							nodes := rig.New(t, size)
							gate, others := rig.FindGate(t, nodes)
							_, err := rig.NewLocker(t, nodes).Lock(t.Context(), "a", time.Hour)
							require.NoError(t, err)
							l := rig.NewLocker(t, nodes, redlock.WithNodeTimeout(timeout))
							rig.WarmUp(t, l)
							for _, n := range nodes {
								n.Slow(2 * time.Millisecond)
							}
							const wait = time.Second
							ended := make(chan error, 1)
							go func() {
								_, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithRetry(40, wait/40))
								ended <- err
							}()
							time.Sleep(wait / 2)
							gate.FlushAll()
							time.Sleep(wait/2 - timeout*3/2*time.Duration(i+1)/20)
							others[which].Freeze()
							err = <-ended
							runs++
							if err == nil {
								t.Fatal("locked")
							}
							if !errors.Is(err, redlock.ErrContended) {
								bad++
								example = err
							}
							others[which].Thaw()
						})
					}
					assert.Zero(t, bad, "%d of %d, %v", bad, runs, example)
				})
			}
		}
	}
}

// As before. That node is farther away than the others, and has failed once: it is waited for half the
// node timeout, twice, however long that is.
func TestACallIsToldWhatAMajoritySaysThoughItsGateIsEmptyAndAFarNodeHasJustFrozen(t *testing.T) {
	rig.Long(t)
	for _, timeout := range []time.Duration{200 * time.Millisecond, time.Second} {
		t.Run(fmt.Sprint(timeout), func(t *testing.T) {
			bad, runs := 0, 0
			var example error
			for i := range 20 {
				synctest.Test(t, func(t *testing.T) {
					nodes := rig.New(t, 3)
					gate, others := rig.FindGate(t, nodes)
					_, err := rig.NewLocker(t, nodes).Lock(t.Context(), "a", time.Hour)
					require.NoError(t, err)
					l := rig.NewLocker(t, nodes, redlock.WithNodeTimeout(timeout))
					rig.WarmUp(t, l)
					for _, n := range nodes {
						n.Slow(2 * time.Millisecond)
					}
					others[1].Slow(60 * time.Millisecond)
					const wait = 3 * time.Second
					ended := make(chan error, 1)
					go func() {
						_, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithRetry(60, wait/60))
						ended <- err
					}()
					time.Sleep(wait / 4)
					gate.FlushAll()
					others[1].Down()
					time.Sleep(wait / 8)
					others[1].Up()
					time.Sleep(wait*5/8 - timeout*3/2*time.Duration(i+1)/20)
					others[1].Freeze()
					err = <-ended
					runs++
					if err == nil {
						t.Fatal("locked")
					}
					if !errors.Is(err, redlock.ErrContended) {
						bad++
						example = err
					}
					others[1].Thaw()
				})
			}
			assert.Zero(t, bad, "%d of %d, %v", bad, runs, example)
		})
	}
}
