package extend_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestACancelledExtendReturnsAtOnceAndTheLockStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		synctest.Wait()
		nodes[0].Freeze()
		nodes[1].Freeze()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(30*time.Millisecond, cancel)
		start := time.Now()
		err := k.Extend(ctx, rig.TTL)
		assert.Equal(t, 30*time.Millisecond, time.Since(start))
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.True(t, k.Valid())

		sent := nodes[2].Commands()
		err = k.Extend(ctx, rig.TTL)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, redlock.ErrNoQuorum, "nobody was asked")
		require.EqualError(t, err, `redlock: extend "a": context canceled`)
		assert.Equal(t, sent, nodes[2].Commands(), "nothing is sent")
	})
}

func TestAnExtendThatIsCancelledBeforeItsTurnHasAskedNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithRetry(0, 0))
		synctest.Wait()
		nodes[0].Freeze()
		nodes[1].Freeze()
		go func() { assert.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrNoQuorum) }() // has the turn for a node timeout
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		err := k.Extend(ctx, rig.TTL)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, redlock.ErrNoQuorum)
		time.Sleep(rig.TTL)
	})
}

func TestConcurrentExtendsRunOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		for _, n := range nodes {
			n.Slow(10 * time.Millisecond)
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				assert.NoError(t, k.Extend(t.Context(), rig.TTL))
				_, _, _ = k.Until(), k.Valid(), k.Value()
			})
		}
		wg.Wait()
		assert.True(t, k.Valid())
	})
}
