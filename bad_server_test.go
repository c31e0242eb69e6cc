package redlock_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/quorum"
)

// A heard says of how many commands the handler hears, by op.
type heard = map[string]int

// once pauses for a second before the only retry.
var once = []redlock.LockOption{redlock.WithRetry(1, time.Second), redlock.WithJitter(0)}

func TestALockThatABadMajorityAnsweredFailsWithATypedErrorAndLeavesNothing(t *testing.T) {
	onBadMajorities(t, redlock.NodeAcquire, func(rig *badRig) {
		t := rig.t
		rig.turnBad()
		for name, tt := range map[string]struct {
			attempts int
			call     func(ctx context.Context, l *redlock.Locker) error
		}{
			"TryLock": {1, func(ctx context.Context, l *redlock.Locker) error {
				return second(l.TryLock(ctx, "a", ttl))
			}},
			"Lock": {2, func(ctx context.Context, l *redlock.Locker) error {
				return second(l.Lock(ctx, "a", ttl, once...))
			}},
			"With": {2, func(ctx context.Context, l *redlock.Locker) error {
				return l.With(ctx, "a", ttl, func(context.Context, *redlock.Lock) error {
					panic("called without a lock")
				}, nil, once...)
			}},
		} {
			e := rig.requireFailed(t, tt.call(t.Context(), rig.locker), redlock.OpLock, redlock.NodeAcquire)
			require.Equal(t, tt.attempts, e.Attempts, name)
			rig.settle(t)
			requireFree(t, rig.servers...)
			n := tt.attempts
			if rig.says.silent() {
				n = 1 // what waited behind it was dropped
			}
			rig.requireHeard(t, heard{redlock.NodeAcquire: n, redlock.NodeRelease: n})
		}
	})
}

func TestALockThatABadMajorityDidNotExtendIsValidUntilItsEnd(t *testing.T) {
	onBadMajorities(t, redlock.NodeExtend, func(rig *badRig) {
		t := rig.t
		k := lock(t, rig.locker, once...)
		held, cancel := k.Context(t.Context())
		defer cancel()
		until := k.Until()
		time.Sleep(2 * time.Second)
		rig.turnBad(redlock.NodeExtend)
		e := rig.requireFailed(t, k.Extend(t.Context(), ttl), redlock.OpExtend, redlock.NodeExtend)
		require.Equal(t, 2, e.Attempts)
		require.True(t, k.Valid())
		require.Equal(t, until, k.Until())
		requireLocked(t, k, rig.servers...)
		require.NoError(t, held.Err())

		<-held.Done()
		require.Equal(t, until, time.Now())
		require.ErrorIs(t, context.Cause(held), redlock.ErrLockLost)
		require.ErrorIs(t, k.Extend(t.Context(), ttl), redlock.ErrLockLost)
		rig.settle(t)
		time.Sleep(ttl)
		requireFree(t, rig.servers...)
		n := 2
		if rig.says.silent() {
			n = 1 // nothing is queued behind it
		}
		rig.requireHeard(t, heard{redlock.NodeExtend: n})
	})
}

func TestALockIsExtendedOnceTheServersAreWellAgain(t *testing.T) {
	onABadMajority(t, redlock.NodeExtend, func(rig *badRig) {
		t := rig.t
		if rig.says.silent() {
			return // it is longer than the lock lasts until the clients give up
		}
		k := lock(t, rig.locker, redlock.WithRetry(5, time.Second), redlock.WithJitter(0))
		rig.turnBad(redlock.NodeExtend)
		time.AfterFunc(1500*time.Millisecond, rig.turnGood)
		require.NoError(t, k.Extend(t.Context(), ttl))
		require.Greater(t, time.Until(k.Until()), ttl-drift-time.Second)
		requireLocked(t, k, rig.servers...)
		require.NoError(t, k.Unlock(t.Context()))
		requireFree(t, rig.servers...)
		rig.requireHeard(t, heard{redlock.NodeExtend: 2})
	})
}

func TestAnUnlockThatABadMajorityAnsweredFailsAndCanBeRepeated(t *testing.T) {
	onBadMajorities(t, redlock.NodeRelease, func(rig *badRig) {
		t := rig.t
		k := lock(t, rig.locker)
		rig.turnBad(redlock.NodeRelease)
		e := rig.requireFailed(t, k.Unlock(t.Context()), redlock.OpUnlock, redlock.NodeRelease)
		require.Equal(t, 1, e.Attempts)
		require.False(t, k.Valid())
		requireFree(t, rig.good...)
		rig.settle(t)
		rig.requireHeard(t, heard{redlock.NodeRelease: 1})

		rig.turnGood()
		if rig.applies {
			requireFree(t, rig.servers...)
		}
		require.NoError(t, k.Unlock(t.Context()))
		requireFree(t, rig.servers...)
		rig.requireHeard(t, nil)
	})
}

func TestAReleaseThatWasAnsweredBadlyOnceIsRepeatedUnasked(t *testing.T) {
	onABadMajority(t, redlock.NodeRelease, func(rig *badRig) {
		t := rig.t
		k := lock(t, rig.locker)
		for _, b := range rig.bad {
			b.turn(rig.says, rig.applies, 1, redlock.NodeRelease)
		}
		err := k.Unlock(t.Context())
		rig.settle(t)
		switch heard := rig.log.take(0); {
		case rig.says.silent():
			require.ErrorIs(t, err, redlock.ErrNoQuorum, "it is not waited for")
			require.NoError(t, k.Unlock(t.Context()))
			require.Empty(t, heard)
		default:
			require.NoError(t, err)
			require.Empty(t, heard)
		}
		requireFree(t, rig.servers...)
	})
}

func TestWithTellsOnUnlockErrOnceThatABadMajorityAnsweredTheRelease(t *testing.T) {
	onABadMajority(t, redlock.NodeRelease, func(rig *badRig) {
		t := rig.t
		var told []error
		err := rig.locker.With(t.Context(), "a", ttl, func(_ context.Context, k *redlock.Lock) error {
			requireLocked(t, k, rig.servers...)
			rig.turnBad(redlock.NodeRelease)
			return nil
		}, func(err error) { told = append(told, err) })
		require.NoError(t, err)
		require.Len(t, told, 1)
		require.NotNil(t, rig.requireFailed(t, told[0], redlock.OpUnlock, redlock.NodeRelease))
		requireFree(t, rig.good...)
		time.Sleep(ttl)
		rig.settle(t)
		requireFree(t, rig.servers...)
		rig.requireHeard(t, heard{redlock.NodeRelease: 1})
	})
}

func TestAnAutomaticExtensionThatABadMajorityAnswersEndsTheContextWithTheValidity(t *testing.T) {
	onABadMajority(t, redlock.NodeExtend, func(rig *badRig) {
		t := rig.t
		rig.turnBad(redlock.NodeExtend)
		start := time.Now()
		err := rig.locker.With(t.Context(), "a", ttl, func(ctx context.Context, k *redlock.Lock) error {
			<-ctx.Done()
			assert.Equal(t, start.Add(ttl-drift), time.Now())
			assert.False(t, k.Valid())
			return nil
		}, nil, redlock.WithAutoExtend(redlock.Forever))
		require.IsType(t, (*redlock.LockError)(nil), err)
		require.ErrorIs(t, err, redlock.ErrLockLost)
		requireNoOtherKind(t, err, redlock.ErrLockLost)
		require.ErrorContains(t, err, `hold "a"`)
		rig.settle(t)
		requireFree(t, rig.servers...)

		times := heard{}
		for _, n := range rig.log.take(0) {
			rig.requireBad(t, n, redlock.NodeExtend, rig.says.kind)
			times[n.Addr]++
		}
		require.Len(t, times, rig.badFleet.bad)
		for addr, n := range times {
			// It begins after a third of the TTL and is repeated every twentieth.
			require.LessOrEqual(t, n, 14, addr)
			require.True(t, n > 5 || rig.says.silent(), addr)
		}
	})
}

func TestAnAutomaticExtensionGoesOnOnceTheServersAreWellAgain(t *testing.T) {
	onABadMajority(t, redlock.NodeExtend, func(rig *badRig) {
		t := rig.t
		if rig.says.silent() {
			return // it is longer than the lock lasts until the clients give up
		}
		rig.turnBad(redlock.NodeExtend)
		time.AfterFunc(ttl*2/3, rig.turnGood)
		require.NoError(t, rig.locker.With(t.Context(), "a", ttl, func(ctx context.Context, k *redlock.Lock) error {
			time.Sleep(3 * ttl)
			requireLocked(t, k, rig.servers...)
			return ctx.Err()
		}, nil, redlock.WithAutoExtend(redlock.Forever)))
		requireFree(t, rig.servers...)
	})
}

func TestABadMinorityIsInNobodysWay(t *testing.T) {
	onABadMinority(t, redlock.NodeAcquire, func(rig *badRig) {
		t := rig.t
		rig.turnBad()
		start := time.Now()
		for range 2 {
			k, err := rig.locker.TryLock(t.Context(), "a", ttl)
			require.NoError(t, err)
			require.NoError(t, k.Extend(t.Context(), ttl))
			requireLocked(t, k, rig.good...)
			require.NoError(t, k.Unlock(t.Context()))
		}
		require.NoError(t, rig.locker.With(t.Context(), "a", ttl, func(ctx context.Context, _ *redlock.Lock) error {
			time.Sleep(2 * ttl)
			return ctx.Err()
		}, func(err error) { require.NoError(t, err) }, redlock.WithAutoExtend(redlock.Forever)))
		require.Equal(t, 2*ttl, time.Since(start), "nobody waits for it")
		rig.settle(t)
		requireFree(t, rig.servers...)
		told := map[int]bool{}
		for _, n := range rig.log.take(0) {
			rig.requireBad(t, n, n.Op, rig.says.kind)
			told[n.Node] = true
		}
		require.Len(t, told, rig.badFleet.bad)
	})
}

func TestAServerThatAnswersTheHandshakeBadlyIsNamedToo(t *testing.T) {
	for i, a := range badAnswers() {
		t.Run(a.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rig := newBadRig(t, []badFleet{{1, 1}, {3, 2}, {5, 3}}[i%3])
				for _, b := range rig.bad {
					b.turn(a, false, always)
				}
				_, err := rig.locker.TryLock(t.Context(), "a", ttl)
				require.ErrorIs(t, err, redlock.ErrNotAcquired)
				requireNoOtherKind(t, err, redlock.ErrNotAcquired, redlock.ErrNoQuorum)
				e, ok := errors.AsType[*redlock.LockError](err)
				require.True(t, ok)
				require.Greater(t, len(e.Nodes), quorum.Spare(rig.nodes))
				for _, n := range e.Nodes {
					rig.requireBad(t, n, redlock.NodeAcquire, n.ErrorType())
					require.ErrorContains(t, err, n.Addr)
				}
				rig.shutdown(t)
				requireFree(t, rig.good...)
				times := heard{}
				for _, n := range rig.log.take(0) {
					rig.requireBad(t, n, n.Op, n.ErrorType())
					require.NotEmpty(t, n.ErrorType())
					times[n.Op]++
				}
				require.Equal(t, heard{redlock.NodeAcquire: rig.badFleet.bad, redlock.NodeRelease: rig.badFleet.bad}, times)
			})
		})
	}
}
