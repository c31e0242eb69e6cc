package errors_test

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

// The gate has failed once, and hangs. It is the holder's by what was seen last, so that it is asked
// before a node that is well, and waited for half the node timeout: for all of MaxWait.
func TestACallWithMaxWaitIsToldWhatAMajoritySaysThoughItsGateHasFailedAndHangs(t *testing.T) {
	for _, size := range []int{3, 4, 5} {
		for _, wait := range []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 450 * time.Millisecond, 600 * time.Millisecond} {
			t.Run(fmt.Sprint(size, " nodes, ", wait), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nodes := rig.New(t, size)
					gate, others := rig.FindGate(t, nodes)
					_, err := rig.NewLocker(t, nodes).Lock(t.Context(), "a", time.Hour)
					require.NoError(t, err)
					synctest.Wait()
					l := rig.NewLocker(t, nodes)
					rig.WarmUp(t, l)
					for _, n := range others { // the gate is among the first that answer
						n.Slow(time.Millisecond)
					}
					call := func() error {
						_, err := l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(wait))
						return err
					}
					for range 3 { // the last attempt of each asks all nodes
						require.ErrorIs(t, call(), redlock.ErrContended)
					}
					gate.Down()
					k, err := l.Lock(t.Context(), "b", rig.TTL) // finds that the node fails
					require.NoError(t, err)
					synctest.Wait()
					time.Sleep(600 * time.Millisecond) // what is known of the holder is to be looked into
					require.NoError(t, k.Unlock(t.Context()))
					gate.Up()
					gate.Freeze()
					assert.ErrorIs(t, call(), redlock.ErrContended)
					gate.Thaw()
				})
			})
		}
	}
}
