package extend_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

func TestARoundDuringWhichTheOldLeaseEndedByTheWallClockExtendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		var jump atomic.Int64
		seam.SetWallJump(l, func() time.Duration { return time.Duration(jump.Load()) })
		k, ctx := rig.Keep(t, l, 15*time.Second)
		for _, n := range nodes {
			n.Slow(100 * time.Millisecond)
		}
		time.Sleep(5050 * time.Millisecond) // while a round is under way,
		jump.Store(int64(12 * time.Second)) // the old lease ends; the new one would have 3 s left
		time.Sleep(60 * time.Millisecond)
		assert.False(t, k.Valid())
		assert.Error(t, ctx.Err())
		time.Sleep(time.Minute)
		rig.RequireFree(t, nodes...)
	})
}

func TestTheContextEndsOnTimeAfterAnExtendToAShorterTTL(t *testing.T) {
	for name, fails := range map[string]bool{"extended": false, "unknown": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l := rig.NewLocker(t, nodes, redlock.WithRetry(0, 0))
				k := rig.Lock(t, l)
				held, cancel := k.Context(t.Context())
				defer cancel()
				if fails {
					nodes[0].SetError("LOADING")
					nodes[1].SetError("LOADING")
				}
				err := k.Extend(t.Context(), 400*time.Millisecond)
				require.Equal(t, fails, err != nil)
				until := k.Until()
				require.Less(t, time.Until(until), time.Second)
				<-held.Done()
				assert.Equal(t, until, time.Now())
				nodes[0].SetError("")
				nodes[1].SetError("")
			})
		})
	}
}

func TestAnAutomaticExtensionIsNotRepeatedAfterItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k, ctx := rig.Keep(t, rig.NewLocker(t, nodes), 15*time.Second, redlock.WithAutoExtend(8*time.Second))
		nodes[1].SetError("LOADING")
		nodes[2].SetError("LOADING")
		<-ctx.Done()
		synctest.Wait()
		before := nodes[0].Commands()
		until := k.Until()
		nodes[1].SetError("")
		nodes[2].SetError("")
		time.Sleep(3 * time.Second)
		assert.Equal(t, before, nodes[0].Commands())
		assert.Equal(t, until, k.Until())
		require.NoError(t, k.Unlock(t.Context()))
	})
}
