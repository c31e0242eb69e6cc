package errors_test

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
	"github.com/b0401464/redlock/test/rig"
)

// A heard says of how many commands the handler hears, by op.
type heard = map[redlock.Op]int

// once makes one retry, after two seconds: a node timeout is one.
var once = []redlock.LockOption{redlock.WithRetry(1, 2*time.Second), redlock.WithJitter(0)}

func TestALockThatABadMajorityAnsweredFailsWithATypedErrorAndLeavesNothing(t *testing.T) {
	onBadMajorities(t, redlock.OpAcquire, func(on *badRig) {
		t := on.t
		on.turnBad()
		for name, tt := range map[string]struct {
			attempts int
			call     func(ctx context.Context, l *redlock.Locker) error
		}{
			"TryLock": {1, func(ctx context.Context, l *redlock.Locker) error {
				return rig.Err(l.TryLock(ctx, "a", rig.TTL))
			}},
			"Lock": {2, func(ctx context.Context, l *redlock.Locker) error {
				return rig.Err(l.Lock(ctx, "a", rig.TTL, once...))
			}},
			"With": {2, func(ctx context.Context, l *redlock.Locker) error {
				return l.With(ctx, "a", rig.TTL, func(context.Context, *redlock.Lock) error {
					panic("called without a lock")
				}, nil, once...)
			}},
		} {
			e := on.requireFailed(t, tt.call(t.Context(), on.locker), redlock.OpLock, redlock.OpAcquire)
			require.Equal(t, tt.attempts, e.Attempts, name)
			on.settle(t)
			rig.RequireFree(t, on.servers...)
			on.requireHeard(t, heard{redlock.OpAcquire: tt.attempts, redlock.OpRelease: tt.attempts})
		}
	})
}

func TestALockThatABadMajorityDidNotExtendIsValidUntilItsEnd(t *testing.T) {
	onBadMajorities(t, redlock.OpExtend, func(on *badRig) {
		t := on.t
		k := rig.Lock(t, on.locker, once...)
		held, cancel := k.Context(t.Context())
		defer cancel()
		until := k.Until()
		time.Sleep(2 * time.Second)
		on.turnBad(redlock.OpExtend)
		e := on.requireFailed(t, k.Extend(t.Context(), rig.TTL), redlock.OpExtend, redlock.OpExtend)
		require.Equal(t, 2, e.Attempts)
		require.True(t, k.Valid())
		require.Equal(t, until, k.Until())
		rig.RequireLocked(t, k, on.servers...)
		require.NoError(t, held.Err())

		<-held.Done()
		require.Equal(t, until, time.Now())
		require.ErrorIs(t, context.Cause(held), redlock.ErrLockLost)
		require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrLockLost)
		on.settle(t)
		time.Sleep(rig.TTL)
		rig.RequireFree(t, on.servers...)
		on.requireHeard(t, heard{redlock.OpExtend: 2})
	})
}

func TestALockIsExtendedOnceTheServersAreWellAgain(t *testing.T) {
	onABadMajority(t, redlock.OpExtend, func(on *badRig) {
		t := on.t
		if on.says.silent() {
			return // it is longer than the lock lasts until the clients give up
		}
		k := rig.Lock(t, on.locker, redlock.WithRetry(5, time.Second), redlock.WithJitter(0))
		on.turnBad(redlock.OpExtend)
		time.AfterFunc(1500*time.Millisecond, on.turnGood)
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
		require.Greater(t, time.Until(k.Until()), rig.TTL-rig.Drift-time.Second)
		rig.RequireLocked(t, k, on.servers...)
		require.NoError(t, k.Unlock(t.Context()))
		rig.RequireFree(t, on.servers...)
		on.requireHeard(t, heard{redlock.OpExtend: 2})
	})
}

func TestAnUnlockThatABadMajorityAnsweredFailsAndCanBeRepeated(t *testing.T) {
	onBadMajorities(t, redlock.OpRelease, func(on *badRig) {
		t := on.t
		k := rig.Lock(t, on.locker)
		on.turnBad(redlock.OpRelease)
		e := on.requireFailed(t, k.Unlock(t.Context()), redlock.OpUnlock, redlock.OpRelease)
		require.Equal(t, 1, e.Attempts)
		require.False(t, k.Valid())
		rig.RequireFree(t, on.good...)
		on.settle(t)
		on.requireHeard(t, heard{redlock.OpRelease: 1})

		on.turnGood()
		if on.applies {
			rig.RequireFree(t, on.servers...)
		}
		require.NoError(t, k.Unlock(t.Context()))
		rig.RequireFree(t, on.servers...)
		on.requireHeard(t, nil)
	})
}

func TestAReleaseThatWasAnsweredBadlyOnceIsRepeatedUnasked(t *testing.T) {
	onABadMajority(t, redlock.OpRelease, func(on *badRig) {
		t := on.t
		k := rig.Lock(t, on.locker)
		for _, b := range on.bad {
			b.turn(on.says, on.applies, 1, redlock.OpRelease)
		}
		err := k.Unlock(t.Context())
		on.settle(t)
		if on.says.silent() {
			require.ErrorIs(t, err, redlock.ErrNoQuorum, "it is not waited for")
			on.requireHeard(t, heard{redlock.OpRelease: 1})
			require.NoError(t, k.Unlock(t.Context()))
		} else {
			require.NoError(t, err)
		}
		on.requireHeard(t, nil)
		rig.RequireFree(t, on.servers...)
	})
}

func TestWithTellsOnUnlockErrOnceThatABadMajorityAnsweredTheRelease(t *testing.T) {
	onABadMajority(t, redlock.OpRelease, func(on *badRig) {
		t := on.t
		var told []error
		err := on.locker.With(t.Context(), "a", rig.TTL, func(_ context.Context, k *redlock.Lock) error {
			rig.RequireLocked(t, k, on.servers...)
			on.turnBad(redlock.OpRelease)
			return nil
		}, func(err error) { told = append(told, err) })
		require.NoError(t, err)
		require.Len(t, told, 1)
		require.NotNil(t, on.requireFailed(t, told[0], redlock.OpUnlock, redlock.OpRelease))
		rig.RequireFree(t, on.good...)
		time.Sleep(rig.TTL)
		on.settle(t)
		rig.RequireFree(t, on.servers...)
		on.requireHeard(t, heard{redlock.OpRelease: 1})
	})
}

func TestAnAutomaticExtensionThatABadMajorityAnswersEndsTheContextWithTheValidity(t *testing.T) {
	onABadMajority(t, redlock.OpExtend, func(on *badRig) {
		t := on.t
		on.turnBad(redlock.OpExtend)
		start := time.Now()
		err := on.locker.With(t.Context(), "a", rig.TTL, func(ctx context.Context, k *redlock.Lock) error {
			<-ctx.Done()
			assert.Equal(t, start.Add(rig.TTL-rig.Drift), time.Now())
			assert.False(t, k.Valid())
			return nil
		}, nil, redlock.WithAutoExtend(redlock.Forever))
		require.IsType(t, (*redlock.LockError)(nil), err)
		require.ErrorIs(t, err, redlock.ErrLockLost)
		rig.RequireNoOtherKind(t, err, redlock.ErrLockLost)
		require.ErrorContains(t, err, `hold "a"`)
		on.settle(t)
		rig.RequireFree(t, on.servers...)

		times, cut := map[string]int{}, map[string]bool{}
		for _, n := range on.log.Take(0) {
			if n.Op == redlock.OpRelease && on.says.silent() {
				continue // it waits behind them
			}
			times[n.Addr]++
			if n.ErrorType() == "no_answer" && !on.says.silent() && !cut[n.Addr] {
				cut[n.Addr] = true // the validity ended while go-redis was about to ask again
				continue
			}
			on.requireBad(t, n, redlock.OpExtend, on.kindOf(n))
		}
		require.Len(t, times, on.badFleet.bad)
		for addr, n := range times {
			// It begins after a third of the TTL and is repeated every twentieth.
			require.LessOrEqual(t, n, 14, addr)
			require.Greater(t, n, 5, addr)
		}
	})
}

func TestAnAutomaticExtensionGoesOnOnceTheServersAreWellAgain(t *testing.T) {
	onABadMajority(t, redlock.OpExtend, func(on *badRig) {
		t := on.t
		if on.says.silent() {
			return // it is longer than the lock lasts until the clients give up
		}
		on.turnBad(redlock.OpExtend)
		time.AfterFunc(rig.TTL*2/3, on.turnGood)
		require.NoError(t, on.locker.With(t.Context(), "a", rig.TTL, func(ctx context.Context, k *redlock.Lock) error {
			time.Sleep(3 * rig.TTL)
			rig.RequireLocked(t, k, on.servers...)
			return ctx.Err()
		}, nil, redlock.WithAutoExtend(redlock.Forever)))
		rig.RequireFree(t, on.servers...)
	})
}

func TestABadMinorityIsInNobodysWay(t *testing.T) {
	onABadMinority(t, redlock.OpAcquire, func(on *badRig) {
		t := on.t
		on.turnBad()
		start := time.Now()
		for range 2 {
			k, err := on.locker.TryLock(t.Context(), "a", rig.TTL)
			require.NoError(t, err)
			require.NoError(t, k.Extend(t.Context(), rig.TTL))
			rig.RequireLocked(t, k, on.good...)
			require.NoError(t, k.Unlock(t.Context()))
		}
		require.NoError(t, on.locker.With(t.Context(), "a", rig.TTL, func(ctx context.Context, _ *redlock.Lock) error {
			time.Sleep(2 * rig.TTL)
			return ctx.Err()
		}, func(err error) { require.NoError(t, err) }, redlock.WithAutoExtend(redlock.Forever)))
		require.Equal(t, 2*rig.TTL, time.Since(start), "nobody waits for it")
		on.settle(t)
		rig.RequireFree(t, on.servers...)
		told := map[int]bool{}
		for _, n := range on.log.Take(0) {
			on.requireBad(t, n, n.Op, on.kindOf(n))
			told[n.Node-1] = true
		}
		require.Len(t, told, on.badFleet.bad)
	})
}

func TestAServerThatAnswersTheHandshakeBadlyIsNamedToo(t *testing.T) {
	for i, a := range badAnswers() {
		t.Run(a.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				on := newBadRig(t, []badFleet{{1, 1}, {3, 2}, {5, 3}}[i%3])
				for _, b := range on.bad {
					b.turn(a, false, always)
				}
				_, err := on.locker.TryLock(t.Context(), "a", rig.TTL)
				rig.RequireNoOtherKind(t, err, redlock.ErrNoQuorum)
				e, ok := errors.AsType[*redlock.LockError](err)
				require.True(t, ok)
				require.Greater(t, len(e.Nodes), quorum.Spare(on.nodes))
				for _, n := range e.Nodes {
					on.requireBad(t, n, redlock.OpAcquire, n.ErrorType())
					require.ErrorContains(t, err, n.Addr)
				}
				on.shutdown(t)
				rig.RequireFree(t, on.good...)
				times := heard{}
				for _, n := range on.log.Take(0) {
					on.requireBad(t, n, n.Op, n.ErrorType())
					require.NotEmpty(t, n.ErrorType())
					times[n.Op]++
				}
				require.Equal(t, heard{redlock.OpAcquire: on.badFleet.bad, redlock.OpRelease: on.badFleet.bad}, times)
			})
		})
	}
}
