package contexts_test

import (
	"context"
	"fmt"
	"strconv"
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

// jumping returns a Locker whose wall clock can be moved while no timer runs, as the time
// of a process goes on that is stopped.
func jumping(t *testing.T, nodes []*rig.Node) (l *redlock.Locker, jump func(time.Duration)) {
	t.Helper()
	l = rig.NewLocker(t, nodes)
	var ahead atomic.Int64
	seam.SetWallJump(l, func() time.Duration { return time.Duration(ahead.Load()) })
	return l, func(d time.Duration) { ahead.Store(int64(d)) }
}

func isDone(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

func TestTheFirstLookAtAContextSeesThatTheLockHasRunOut(t *testing.T) {
	type key struct{}
	for name, look := range map[string]func(ctx context.Context) bool{
		"Err":                  func(ctx context.Context) bool { return ctx.Err() != nil },
		"Cause":                func(ctx context.Context) bool { return context.Cause(ctx) != nil },
		"Err of one of values": func(ctx context.Context) bool { return context.WithValue(ctx, key{}, 1).Err() != nil },
		"deriving one from it": func(ctx context.Context) bool {
			derived, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			return isDone(derived)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, jump := jumping(t, rig.New(t, 1))
				err := l.With(t.Context(), "a", rig.TTL, func(ctx context.Context, _ *redlock.Lock) error {
					require.False(t, look(ctx))
					jump(rig.TTL - rig.Drift)
					assert.False(t, isDone(ctx), "no timer has run")
					assert.True(t, look(ctx))
					assert.True(t, isDone(ctx), "the look has ended it")
					require.ErrorIs(t, ctx.Err(), context.Canceled)
					require.ErrorIs(t, context.Cause(ctx), redlock.ErrLockLost)
					return nil
				}, nil)
				require.ErrorIs(t, err, redlock.ErrLockLost)
			})
		})
	}
}

func TestALookAtAContextSeesTheEndOfEveryLockThatItStandsUnder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l, jump := jumping(t, nodes)
		err := l.With(t.Context(), "a", rig.TTL, func(ctx context.Context, _ *redlock.Lock) error {
			derived, cancel := context.WithCancel(ctx)
			defer cancel()
			return l.With(derived, "b", time.Hour, func(ctx context.Context, lock *redlock.Lock) error {
				require.NoError(t, ctx.Err())
				jump(rig.TTL)
				require.Error(t, ctx.Err())
				assert.True(t, isDone(ctx))
				assert.Equal(t, []string{"a"}, asLockError(t, context.Cause(ctx)).Resources)
				assert.True(t, lock.Valid())
				return nil
			}, nil)
		}, nil)
		require.ErrorIs(t, err, redlock.ErrLockLost)
	})
}

// asLockError returns the LockError that err is.
func asLockError(t *testing.T, err error) *redlock.LockError {
	t.Helper()
	e := new(redlock.LockError)
	require.ErrorAs(t, err, &e)
	return e
}

func TestWhatALookHasFoundIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, jump := jumping(t, rig.New(t, 1))
		var k *redlock.Lock
		err := l.With(t.Context(), "a", rig.TTL, func(ctx context.Context, lock *redlock.Lock) error {
			k = lock
			jump(time.Hour)
			require.Error(t, ctx.Err())
			jump(0) // somebody has set the clock right
			assert.False(t, lock.Valid())
			require.ErrorIs(t, lock.Extend(t.Context(), rig.TTL), redlock.ErrLockLost) //nolint:contextcheck // fn's own has ended
			again, cancel := lock.Context(t.Context())
			defer cancel()
			require.ErrorIs(t, context.Cause(again), redlock.ErrLockLost) //nolint:contextcheck // likewise
			return nil
		}, nil)
		require.ErrorIs(t, err, redlock.ErrLockLost)
		require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrLockLost)
	})
}

func TestAMachineThatIsSuspendedAfterItsClockWasSetBackEndsTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l, jump := jumping(t, nodes)
		k, err := l.Lock(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		held, cancel := k.Context(t.Context())
		defer cancel()
		time.Sleep(5 * time.Second)
		jump(-time.Hour)
		time.Sleep(5 * time.Second)
		require.True(t, k.Valid())
		require.NoError(t, held.Err())
		jump(-time.Hour / 2) // suspended: the monotonic clock has stood still
		for _, n := range nodes {
			n.FlushAll() // what half an hour does to keys of a minute
		}
		time.Sleep(time.Second)
		synctest.Wait()
		assert.True(t, isDone(held), "nobody has looked at it")
		other := rig.NewLocker(t, nodes)
		theirs, err := other.TryLock(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		assert.False(t, k.Valid(), "somebody else has it")
		require.ErrorIs(t, context.Cause(held), redlock.ErrLockLost)
		_ = k.Unlock(t.Context())
		_ = theirs.Unlock(t.Context())
	})
}

func TestAClockThatIsSetBackAndRightAgainEndsALockEarlyAndNeverLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, jump := jumping(t, rig.New(t, 1))
		k, err := l.Lock(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		jump(-20 * time.Second)
		time.Sleep(2 * time.Second)
		require.True(t, k.Valid())
		jump(0) // nobody can tell this from a machine that was suspended for 20 s
		time.Sleep(37 * time.Second)
		assert.True(t, k.Valid())
		time.Sleep(time.Second)
		assert.False(t, k.Valid())
	})
}

func TestAllLocksThatAJumpEndsAreOverWithinASecondThoughNobodyLooksAtThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, jump := jumping(t, rig.New(t, 1))
		contexts := make([]context.Context, 100)
		for i := range contexts {
			k, err := l.Lock(t.Context(), strconv.Itoa(i), time.Hour+time.Duration(i)*time.Minute)
			require.NoError(t, err)
			held, cancel := k.Context(context.Background())
			defer cancel()
			contexts[i] = held //nolint:fatcontext // one of many
		}
		time.Sleep(time.Minute)
		jump(2 * time.Hour)
		time.Sleep(time.Second)
		synctest.Wait()
		over := 0
		for _, held := range contexts {
			if isDone(held) {
				over++
			}
		}
		assert.Equal(t, 63, over, "those of up to 2 h 2 min, of which 1 % is set aside for drift")
	})
}

func TestALockThatIsTakenAfterAJumpEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, jump := jumping(t, rig.New(t, 1))
		rig.Lock(t, l) // has the clock looked at once a second
		time.Sleep(50 * time.Millisecond)
		jump(rig.TTL / 2)
		k, err := l.Lock(t.Context(), "b", 100*time.Millisecond)
		require.NoError(t, err)
		held, cancel := k.Context(t.Context())
		defer cancel()
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		assert.True(t, isDone(held))
	})
}

func TestContextsEndAtALimitThatSomebodyHasSeenThoughTheLockIsExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, jump := jumping(t, rig.New(t, 1))
		k, err := l.Lock(t.Context(), "a", time.Hour, redlock.WithAutoExtend(time.Minute))
		require.NoError(t, err)
		held, cancel := k.Context(t.Context())
		defer cancel()
		jump(time.Minute)
		require.True(t, k.Valid(), "sees the limit")
		require.NoError(t, k.Extend(t.Context(), 2*time.Hour))
		time.Sleep(time.Second)
		synctest.Wait()
		assert.True(t, isDone(held))
		require.ErrorIs(t, context.Cause(held), redlock.ErrHoldLimit)
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestALookSeesTheLimitOfAutomaticExtension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, jump := jumping(t, rig.New(t, 1))
		err := l.With(t.Context(), "a", time.Hour, func(ctx context.Context, lock *redlock.Lock) error {
			other, cancel := lock.Context(t.Context())
			defer cancel()
			jump(time.Minute)
			require.Error(t, ctx.Err())
			require.ErrorIs(t, context.Cause(ctx), redlock.ErrHoldLimit)
			assert.True(t, lock.Valid())
			<-other.Done()
			require.ErrorIs(t, context.Cause(other), redlock.ErrHoldLimit) //nolint:contextcheck // fn's own has ended
			return nil
		}, nil, redlock.WithAutoExtend(time.Minute))
		require.ErrorIs(t, err, redlock.ErrHoldLimit)
	})
}

func TestAContextShowsTheEndOfItsParentAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := rig.Lock(t, rig.NewLocker(t, rig.New(t, 1)))
		parent, cancelParent := context.WithCancelCause(t.Context())
		held, cancel := k.Context(parent)
		defer cancel()
		cancelParent(rig.ErrBody)
		assert.True(t, isDone(held))
		assert.Equal(t, rig.ErrBody, context.Cause(held))

		held, cancel = k.Context(parent)
		defer cancel()
		assert.True(t, isDone(held))
		assert.Equal(t, rig.ErrBody, context.Cause(held))
		assert.True(t, k.Valid())
	})
}

func TestContextsAndThoseDerivedFromThemCostNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		k := rig.Lock(t, l)
		inner, err := l.Lock(t.Context(), "b", rig.TTL)
		require.NoError(t, err)
		synctest.Wait()
		before := rig.Goroutines()
		var all []context.Context
		for range 100 {
			held, cancel := k.Context(t.Context())
			defer cancel()
			within, cancelWithin := inner.Context(held)
			defer cancelWithin()
			derived, cancelDerived := context.WithTimeout(within, time.Hour)
			defer cancelDerived()
			all = append(all, derived)
		}
		assert.Equal(t, before, rig.Goroutines())
		require.NoError(t, k.Unlock(t.Context()))
		for _, derived := range all {
			require.ErrorIs(t, context.Cause(derived), redlock.ErrUnlocked)
		}
	})
}

func TestAContextCanBePrintedWhileItIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := rig.Lock(t, rig.NewLocker(t, rig.New(t, 1)))
		held, cancel := k.Context(t.Context())
		defer cancel()
		derived, cancelDerived := context.WithCancel(held)
		defer cancelDerived()
		require.NoError(t, k.Unlock(t.Context()))
		assert.Equal(t, `redlock.Context("a")`, fmt.Sprint(held))
		assert.Equal(t, `redlock.Context("a").WithCancel`, fmt.Sprint(derived))
	})
}

func TestANodeThatGetsTheValueBackAfterAJumpKeepsItNoLongerThanTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l, jump := jumping(t, nodes)
		k, err := l.Lock(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		synctest.Wait()
		nodes[2].Del("a")
		nodes[2].Slow(time.Second)
		require.NoError(t, k.Extend(t.Context(), time.Minute))
		jump(10 * time.Second) // the machine was suspended
		time.Sleep(5 * time.Second)
		require.True(t, nodes[2].Exists("a"))
		assert.LessOrEqual(t, nodes[2].TTL("a"), 50*time.Second)
		assert.Greater(t, nodes[2].TTL("a"), 40*time.Second)
		nodes[2].Slow(0)
		require.NoError(t, k.Unlock(t.Context()))
	})
}
