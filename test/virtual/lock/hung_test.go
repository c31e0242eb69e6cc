package lock_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestAReleaseThatHangsIsSentAgainAfterTheNodeTimeout(t *testing.T) {
	rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
		t.Helper()
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes, opts...)
		rig.WarmUp(t, l)
		rig.LockOnce(t, l, "connections") // a native release takes one of its own in batches
		k, err := l.Lock(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		nodes[0].Forget()
		start := time.Now()
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrNoQuorum)
		assert.Equal(t, time.Second, time.Since(start))
		if len(opts) == 0 {
			synctest.Wait()
		} else {
			time.Sleep(5 * time.Second) // the other connection has been forgotten, too
		}
		rig.RequireFree(t, nodes...)
		require.NoError(t, k.Unlock(t.Context()), "it is gone, by what nobody has heard of")
		k, err = l.TryLock(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestUnlockDoesNotWaitForAnAcquireThatHangs(t *testing.T) {
	rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
		t.Helper()
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes, append(opts, redlock.WithRetry(0, 0))...)
		rig.WarmUp(t, l)
		nodes[0].Forget()
		_, err := l.Lock(t.Context(), "a", time.Minute)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		start := time.Now()
		k, err := l.Lock(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		assert.Less(t, time.Since(start), time.Second)
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestAGrantThatComesAfterItsReleaseIsUndone(t *testing.T) {
	rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
		t.Helper()
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes, append(opts, redlock.WithRetry(0, 0))...)
		rig.WarmUp(t, l)
		nodes[0].Slow(1500 * time.Millisecond)
		time.AfterFunc(500*time.Millisecond, func() { nodes[0].Slow(0) }) // before the release is sent
		_, err := l.Lock(t.Context(), "a", time.Minute)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		synctest.Wait()
		require.False(t, nodes[0].Exists("a"))
		sent := nodes[0].Commands()
		require.GreaterOrEqual(t, sent, 3, "the release is not sent") // with those of warmUp
		time.Sleep(600 * time.Millisecond)
		synctest.Wait()
		assert.Greater(t, nodes[0].Commands(), sent)
		rig.RequireFree(t, nodes...)
	})
}

func TestAnExtensionThatHangsIsSentAgainAfterTheNodeTimeout(t *testing.T) {
	rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
		t.Helper()
		for _, n := range []int{1, 3} {
			nodes := rig.New(t, n)
			l := rig.NewLocker(t, nodes, opts...)
			k, ctx := rig.Keep(t, l, 6*time.Second)
			for range 10 {
				for _, node := range nodes {
					node.Forget()
				}
				time.Sleep(6 * time.Second)
				require.NoError(t, ctx.Err())
			}
			require.NoError(t, k.Unlock(t.Context()))
			rig.RequireFree(t, nodes...)
		}
	})
}

func TestShutdownEndsThoughAConnectionHangsForEver(t *testing.T) {
	rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
		t.Helper()
		nodes := rig.New(t, 1)
		nodes[0].Client.Options().ReadTimeout = -1
		l := rig.NewLocker(t, nodes, opts...)
		rig.WarmUp(t, l)
		rig.LockOnce(t, l, "connections") // a native release takes one of its own in batches
		k, err := l.Lock(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		nodes[0].Forget()
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrNoQuorum)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, l.Shutdown(ctx))
		rig.RequireFree(t, nodes...)
		nodes[0].Remember()
		synctest.Wait()
	})
}

func TestAWaiterLeavesFewCallsAtAFrozenNodeThatKeepsItsLine(t *testing.T) {
	rig.Long(t)
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		for _, n := range nodes {
			n.Client.Options().ReadTimeout, n.Client.Options().WriteTimeout = -1, -1
		}
		here, there := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
		rig.WarmUp(t, here)
		rig.WarmUp(t, there)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for i := range 4 { // every node keeps the line of some
			name := fmt.Sprint("resource ", i)
			_, err := here.Lock(t.Context(), name, 3*time.Hour)
			require.NoError(t, err)
			all.Go(func() {
				_, err := there.Lock(ctx, name, time.Minute, rig.WaitForever)
				assert.ErrorIs(t, err, context.Canceled)
			})
		}
		time.Sleep(20 * time.Second)
		nodes[0].Freeze()
		time.Sleep(5 * time.Minute)
		before := rig.Goroutines()
		time.Sleep(25 * time.Minute)
		assert.Less(t, rig.Goroutines(), before+20)
		cancel()
		all.Wait()
		nodes[0].Thaw()
	})
}
