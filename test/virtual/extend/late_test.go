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

func TestExtendIsToldOfALossThatALateAnswerToItsFirstRoundHasTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		k, err := l.Lock(t.Context(), "a", 30*time.Second, redlock.WithRetry(1, 100*time.Millisecond), redlock.WithJitter(0), redlock.WithNodeTimeout(time.Second))
		require.NoError(t, err)
		synctest.Wait()
		nodes[0].Del("a")
		nodes[1].Del("a")
		nodes[1].Forget() // its answer to the first round hangs
		nodes[2].Freeze()
		ended := make(chan error, 1)
		go func() { ended <- k.Extend(t.Context(), 30*time.Second) }()
		time.Sleep(1050 * time.Millisecond)
		nodes[1].Freeze() // and so do new connections
		time.Sleep(500 * time.Millisecond)
		select {
		case err := <-ended:
			t.Fatal("over before: ", err)
		default:
		}
		nodes[1].Remember()
		synctest.Wait()
		t.Log("at ", time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)))
		err = <-ended
		assert.ErrorIs(t, err, redlock.ErrLockLost)
		assert.False(t, k.Valid(), "it is gone from two of three nodes, and the Locker knows")
		nodes[1].Thaw()
		nodes[2].Thaw()
	})
}
