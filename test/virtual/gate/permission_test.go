package gate_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestAWaiterListensAgainSoonAfterItIsAllowedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		gate, _ := rig.FindGate(t, nodes)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		waiter := rig.NewLocker(t, nodes)
		got := make(chan error, 1)
		go func() {
			got <- waiter.With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error { return nil }, nil, rig.InTurn)
		}()
		time.Sleep(time.Second)
		require.Len(t, rig.Listening(nodes), 1)
		extend := func() { require.NoError(t, k.Extend(t.Context(), time.Hour)) }
		extend()

		f := gate.Forbid()
		time.Sleep(5 * time.Minute)
		require.Empty(t, rig.Listening(nodes))
		assert.Less(t, f.Refused(), 8, "it does not ask all the time")
		f.Allow()
		time.Sleep(time.Minute + time.Second)
		require.Len(t, rig.Listening(nodes), 1, "again")
		time.Sleep(10 * time.Second)
		require.NoError(t, k.Unlock(t.Context()))
		start := time.Now()
		require.NoError(t, <-got)
		assert.Less(t, time.Since(start), 10*time.Millisecond, "it is called, and does not poll")
	})
}
