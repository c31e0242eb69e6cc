package extend_test

import (
	"context"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A loss that votes have told is not thrown away because there is no reason any
// more to extend.
func TestALossFoundByLateVotesIsToldAfterAShutdownThatWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 5)
		l := rig.NewLocker(t, nodes)
		k, ctx := rig.Keep(t, l, 30*time.Second)
		for _, n := range nodes[:3] {
			n.Freeze()
		}
		time.Sleep(11100 * time.Millisecond)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, l.Shutdown(over), context.Canceled)
		for _, n := range nodes[:3] {
			n.FlushAll()
			n.Thaw()
		}
		time.Sleep(time.Second)
		assert.Error(t, ctx.Err(), "three of five have said that it is gone")
		assert.False(t, k.Valid())
	})
}

// The same of the goroutine of the renewal: a drop, a limit or a Shutdown that
// gives up ends its pause.
func TestShutdownIsNotHeldUpByThePauseOfACampaign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k, ctx := rig.Keep(t, l, time.Hour, redlock.WithAutoExtend(20*time.Minute+time.Second))
		nodes[1].SetError("LOADING")
		nodes[2].SetError("LOADING")
		<-ctx.Done()
		nodes[1].SetError("")
		nodes[2].SetError("")
		start := time.Now()
		require.NoError(t, k.Unlock(t.Context()))
		require.NoError(t, l.Shutdown(t.Context()))
		assert.Less(t, time.Since(start), time.Second)
	})
}

// Whoever waits on the Done channel alone has dropped the context.
func TestADoneChannelAloneKeepsTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		done := func() <-chan struct{} {
			ctx, _ := mustKeep(t, l).Context(context.Background())
			return ctx.Done()
		}()
		for range 30 {
			runtime.GC()
			for range 100 {
				runtime.Gosched()
			}
			time.Sleep(time.Second)
		}
		select {
		case <-done:
			assert.Fail(t, "the lock was left to run out while its Done channel was waited on")
		default:
		}
	})
}

func TestExtremeTTLsAndLimitsLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		for _, ttl := range []time.Duration{4 * time.Millisecond, 5 * time.Millisecond, time.Hour, 100 * 365 * 24 * time.Hour} {
			for _, limit := range []time.Duration{time.Millisecond, ttl / 3, math.MaxInt64, redlock.Forever} {
				k, err := l.Lock(t.Context(), "a", ttl, redlock.WithAutoExtend(limit))
				require.NoError(t, err)
				before := nodes[0].Commands()
				time.Sleep(200 * time.Millisecond)
				t.Log(ttl, limit, k.Valid(), nodes[0].Commands()-before)
				_ = k.Unlock(t.Context())
				synctest.Wait()
				rig.RequireFree(t, nodes...)
			}
		}
	})
}

// The rate of commands while one of three nodes comes back empty all the time.
func TestANodeThatFailsAllTheTimeDoesNotRaiseTheRateMuch(t *testing.T) {
	for name, f := range map[string]func(*rig.Node){
		"empty": func(n *rig.Node) { n.FlushAll() },
		"down":  func(n *rig.Node) { n.Stop() },
		"slow":  func(n *rig.Node) { n.Slow(700 * time.Millisecond) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				k, ctx := rig.Keep(t, rig.NewLocker(t, nodes), 3*time.Second)
				before := nodes[0].Commands()
				for range 600 {
					f(nodes[1])
					time.Sleep(100 * time.Millisecond)
				}
				sent := nodes[0].Commands() - before
				t.Logf("%d commands in 60 thirds", sent)
				assert.LessOrEqual(t, sent, 2*60+2)
				require.NoError(t, ctx.Err())
				nodes[1].Slow(0)
				nodes[1].Restart()
				require.NoError(t, k.Unlock(t.Context()))
			})
		})
	}
}
