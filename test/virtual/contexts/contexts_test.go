package contexts_test

import (
	"context"
	"errors"
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

func TestTheContextEndsAtTheEndOfValidityByALocalTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		start := time.Now()
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		held, cancel := k.Context(t.Context())
		defer cancel()
		for _, n := range nodes {
			n.Freeze()
		}
		<-held.Done()
		assert.Equal(t, rig.TTL-rig.Drift, time.Since(start))
		assert.False(t, k.Valid())
		require.ErrorIs(t, held.Err(), context.Canceled)
		cause := context.Cause(held)
		require.ErrorIs(t, cause, redlock.ErrLockLost)
		e, ok := errors.AsType[*redlock.LockError](cause)
		require.True(t, ok)
		assert.Equal(t, redlock.OpHold, e.Op)
		assert.Equal(t, []string{"a"}, e.Resources)
		assert.EqualError(t, cause, `redlock: hold "a": lock lost: its TTL ran out`)
	})
}

func TestTheContextEndsAtUnlockBeforeAnythingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		var all []context.Context
		for range 20_000 { // ending them takes longer than it takes to send a command
			held, cancel := k.Context(t.Context())
			defer cancel()
			all = append(all, held)
		}
		open := -1
		nodes[0].OnSend(func() {
			open = 0
			for _, held := range all {
				if held.Err() == nil {
					open++
				}
			}
		})
		require.NoError(t, k.Unlock(t.Context()))
		nodes[0].OnSend(nil)
		assert.Zero(t, open)
		require.ErrorIs(t, context.Cause(all[0]), redlock.ErrUnlocked)
		assert.NotErrorIs(t, context.Cause(all[0]), redlock.ErrLockLost)
	})
}

func TestTheContextFollowsAnExtension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		start := time.Now()
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		held, cancel := k.Context(t.Context())
		defer cancel()
		time.Sleep(5 * time.Second)
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
		<-held.Done()
		assert.Equal(t, 5*time.Second+rig.TTL-rig.Drift, time.Since(start))
	})
}

func TestTheContextEndsWithItsParentAndHasItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		parent, cancelParent := context.WithTimeout(t.Context(), time.Second)
		defer cancelParent()
		held, cancel := k.Context(parent)
		defer cancel()
		want, _ := parent.Deadline()
		got, ok := held.Deadline()
		require.True(t, ok)
		assert.Equal(t, want, got)
		<-held.Done()
		require.ErrorIs(t, held.Err(), context.DeadlineExceeded)
		assert.True(t, k.Valid())

		endless, cancelEndless := k.Context(t.Context())
		defer cancelEndless()
		_, ok = endless.Deadline()
		assert.False(t, ok)
	})
}

func TestTheContextOfALockThatIsOverHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		k := rig.Lock(t, l)
		require.NoError(t, k.Unlock(t.Context()))
		held, cancel := k.Context(t.Context())
		cancel()
		require.ErrorIs(t, context.Cause(held), redlock.ErrUnlocked)

		k = rig.Lock(t, l)
		time.Sleep(rig.TTL)
		held, cancel = k.Context(t.Context())
		cancel()
		require.ErrorIs(t, context.Cause(held), redlock.ErrLockLost)

		k = rig.Lock(t, l)
		held, cancel = k.Context(nil) //nolint:staticcheck // what is tested
		cancel()
		require.ErrorIs(t, context.Cause(held), redlock.ErrInvalidArgument)
	})
}

func TestACancelledContextDoesNotEndTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		held, cancel := k.Context(t.Context())
		cancel()
		cancel()
		require.ErrorIs(t, context.Cause(held), context.Canceled)
		assert.True(t, k.Valid())
	})
}

func TestAWallClockThatJumpsAheadEndsValidityEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		var jump atomic.Int64
		seam.SetWallJump(l, func() time.Duration { return time.Duration(jump.Load()) })
		k := rig.Lock(t, l)
		held, cancel := k.Context(t.Context())
		defer cancel()
		assert.True(t, k.Valid())
		synctest.Wait()
		jump.Store(int64(time.Minute)) // the machine was suspended
		assert.False(t, k.Valid())
		require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrLockLost)
		time.Sleep(time.Second)
		require.ErrorIs(t, context.Cause(held), redlock.ErrLockLost)
	})
}

func TestTheContextEndsWithinASecondAfterTheMachineWakesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		var jump atomic.Int64
		seam.SetWallJump(l, func() time.Duration { return time.Duration(jump.Load()) })
		k, err := l.Lock(t.Context(), "a", time.Hour)
		require.NoError(t, err)
		held, cancel := k.Context(t.Context())
		defer cancel()
		time.Sleep(1500 * time.Millisecond)
		jump.Store(int64(2 * time.Hour))
		start := time.Now()
		<-held.Done()
		assert.LessOrEqual(t, time.Since(start), time.Second)
	})
}

func TestAWallClockThatGoesBackDoesNotProlongValidity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		var jump atomic.Int64
		seam.SetWallJump(l, func() time.Duration { return time.Duration(jump.Load()) })
		k := rig.Lock(t, l)
		jump.Store(int64(-time.Hour))
		time.Sleep(rig.TTL - rig.Drift)
		assert.False(t, k.Valid())
	})
}
