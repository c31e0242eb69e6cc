package extend_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestANodeThatAgreedAndThenSaidGoneDoesNotCountForALateSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k, ctx := rig.Keep(t, rig.NewLocker(t, nodes), 30*time.Second)
		until := k.Until()
		nodes[1].Freeze()
		nodes[2].SetError("LOADING")
		time.Sleep(11200 * time.Millisecond) // node 0 has agreed to the round of 10 s
		nodes[0].FlushAll()
		time.Sleep(2 * time.Second) // and said that it is gone to a later one
		nodes[1].Thaw()             // node 1 agrees to the round of 10 s
		time.Sleep(time.Until(until) + time.Millisecond)
		assert.Equal(t, until, k.Until())
		assert.Error(t, ctx.Err())
		nodes[2].SetError("")
	})
}

func TestANodeThatWasGivenTheValueAgainDoesNotCountForALateSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k, ctx := rig.Keep(t, rig.NewLocker(t, nodes), 30*time.Second)
		nodes[0].FlushAll()
		nodes[0].Slow(400 * time.Millisecond)
		time.Sleep(10100 * time.Millisecond) // nodes 1 and 2 have agreed; node 0 is going to say gone, and be armed
		nodes[1].SetError("LOADING")
		nodes[2].SetError("LOADING") // nobody confirms that node 0 came in time
		time.Sleep(3 * time.Second)
		nodes[0].Slow(0)
		require.True(t, nodes[0].Exists("a"))
		until := k.Until()
		nodes[1].SetError("")
		nodes[1].Freeze()
		time.Sleep(15 * time.Second) // the round of 20 s: node 0 has the value, node 1 hangs
		require.Equal(t, until, k.Until())
		nodes[1].Thaw()
		time.Sleep(time.Until(until) + time.Millisecond)
		assert.Equal(t, until, k.Until())
		assert.Error(t, ctx.Err())
		nodes[2].SetError("")
	})
}

func TestWhatANodeSaidBeforeAnotherExtensionSucceededIsNotAddedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithRetry(3, time.Second), redlock.WithJitter(0))
		rig.WarmUp(t, l)
		k, err := l.Lock(t.Context(), "a", 30*time.Second)
		require.NoError(t, err)
		synctest.Wait()
		nodes[0].FlushAll()
		nodes[2].SetError("LOADING")
		done := make(chan error, 1)
		go func() { done <- k.Extend(t.Context(), 30*time.Second) }()
		time.Sleep(300 * time.Millisecond) // node 0 has said gone, node 2 failed
		nodes[2].SetError("")
		require.NoError(t, k.Extend(t.Context(), 30*time.Second)) // node 0 is armed
		time.Sleep(300 * time.Millisecond)
		require.True(t, nodes[0].Exists("a"))
		nodes[1].FlushAll() // one of three: no loss
		require.NoError(t, <-done)
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestALateSuccessIsForTheTimeOfTheRoundThatSucceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k, _ := rig.Keep(t, rig.NewLocker(t, nodes), 30*time.Second)
		until := k.Until()
		for _, n := range nodes {
			n.SetError("LOADING")
		}
		time.Sleep(11 * time.Second) // the round of 10 s has failed
		nodes[1].SetError("")
		nodes[1].Freeze()
		nodes[2].SetError("")
		nodes[2].Freeze()
		time.Sleep(1900 * time.Millisecond)   // the one of 11.5 s was given up at 12.5 s
		nodes[1].Slow(500 * time.Millisecond) // what is sent from now on
		nodes[2].Slow(500 * time.Millisecond)
		nodes[1].Thaw()
		nodes[2].Thaw()
		synctest.Wait()
		assert.Equal(t, until.Add(11500*time.Millisecond), k.Until())
		nodes[1].Slow(0)
		nodes[2].Slow(0)
		nodes[0].SetError("")
		require.NoError(t, k.Unlock(t.Context()))
	})
}
