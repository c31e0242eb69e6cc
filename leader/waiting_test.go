package leader_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/leader"
	"github.com/b0401464/redlock/test/rig"
)

// impatient are options of New that would have a Lock give up soon.
var impatient = map[string][]redlock.Option{
	"by default":                 nil,
	"where locks wait for less":  {redlock.WithMaxWait(time.Second)},
	"where locks make one try":   {redlock.WithRetry(0, 0)},
	"where locks wait for a bit": {redlock.WithRetry(3, time.Second), redlock.WithMaxWait(50 * time.Millisecond)},
}

func TestNeitherARefusalNorAMissingMajorityEndsRun(t *testing.T) {
	for text, opts := range impatient {
		t.Run(text, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				first := runFor(t, nodes, untilOver)
				<-first.terms
				p := runOn(t, rig.NewLocker(t, nodes, opts...), untilOver)
				time.Sleep(time.Minute)
				first.stop()
				require.NoError(t, <-first.ended)
				left := time.Now()
				assert.Less(t, (<-p.terms).Since.Sub(left), 100*time.Millisecond, "it waits in line")
				nodes[0].Stop()
				nodes[1].Stop()
				require.ErrorIs(t, <-p.told, redlock.ErrLockLost)
				time.Sleep(time.Minute)
				p.requireNoTerm(t)
				p.requireAlive(t)
				nodes[0].Restart()
				nodes[1].Restart()
				<-p.terms
				assert.Empty(t, p.told, "that it waits is no error")
			})
		})
	}
}

func TestCountersThatAreUsedUpAreToldAndDoNotEndRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		const counter = "{" + name + "}:redlock:token"
		for _, n := range nodes {
			require.NoError(t, n.Set(counter, "9007199254740991"))
		}
		p := runFor(t, nodes, untilOver)
		for range 3 {
			require.ErrorIs(t, <-p.told, redlock.ErrTokenLimit)
		}
		p.requireAlive(t)
		p.requireNoTerm(t)
		for _, n := range nodes {
			n.Del(counter)
		}
		<-p.terms
	})
}

func TestOneThatSetsAMaxWaitHearsWhyItDoesNotLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		a := runFor(t, nodes, untilOver, leader.WithLockOptions(redlock.WithOwner("billing-1")))
		<-a.terms
		p := runFor(t, nodes, untilOver, leader.WithLockOptions(redlock.WithMaxWait(10*time.Second)))
		for range 3 {
			err := <-p.told
			require.ErrorIs(t, err, redlock.ErrContended)
			e, ok := errors.AsType[*redlock.LockError](err)
			require.True(t, ok)
			assert.Equal(t, "billing-1", e.HeldBy.Owner)
		}
		nodes[0].Freeze()
		nodes[1].Freeze()
		require.ErrorIs(t, <-p.told, redlock.ErrNoQuorum)
		p.requireAlive(t)
		p.requireNoTerm(t)
	})
}

func TestACountOfRetriesDoesNotBoundTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		a := runFor(t, nodes, untilOver)
		<-a.terms
		p := runFor(t, nodes, untilOver, leader.WithLockOptions(redlock.WithRetry(3, time.Second)))
		time.Sleep(time.Minute)
		assert.Empty(t, p.told)
		a.stop()
		<-p.terms
	})
}

func TestOneThatMakesSingleAttemptsHearsOfEachAndLeadsInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		a := runFor(t, nodes, untilOver)
		<-a.terms
		p := runFor(t, nodes, untilOver, leader.WithLockOptions(redlock.WithRetry(0, 0)))
		for range 3 {
			require.ErrorIs(t, <-p.told, redlock.ErrContended)
		}
		a.stop()
		<-p.terms
	})
}

func TestARunWithinATermOfTheSameNameWaitsUntilThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		p := runOn(t, l, func(ctx context.Context, _ leader.Term) error {
			return leader.Run(ctx, l, name, ttl, untilOver)
		})
		<-p.terms
		time.Sleep(time.Hour)
		p.requireAlive(t)
		p.stop()
		require.ErrorIs(t, <-p.ended, context.Canceled)
		requireVacant(t, nodes)
	})
}

func TestANilOptionOfTheLockIsCountedAsItWasGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := leader.Run(t.Context(), rig.NewLocker(t, rig.New(t, 1)), name, ttl, untilOver,
			leader.WithLockOptions(redlock.WithOwner("a"), nil))
		require.ErrorContains(t, err, "WithLockOptions: option 2 is nil")
	})
}

func TestARunWithoutALineOrTokensLeadsAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		a := runFor(t, nodes, untilOver)
		<-a.terms
		b := runOn(t, rig.NewLocker(t, nodes, redlock.WithoutWaitingLine()), untilOver,
			leader.WithLockOptions(redlock.WithoutFencing()))
		time.Sleep(time.Minute)
		b.requireNoTerm(t)
		a.stop()
		assert.Zero(t, (<-b.terms).Token)
	})
}

func TestATermEndsAtItsLimitAndOthersLeadThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		limit := leader.WithLockOptions(redlock.WithAutoExtend(time.Minute))
		a, b := runFor(t, nodes, untilOver, limit), runFor(t, nodes, untilOver, limit)
		time.Sleep(6*time.Minute + 30*time.Second)
		synctest.Wait()
		assert.InDelta(t, 3, len(a.terms), 1, "they take turns")
		assert.InDelta(t, 3, len(b.terms), 1, "they take turns")
		require.ErrorIs(t, <-a.told, redlock.ErrHoldLimit)
		a.requireAlive(t)
		b.requireAlive(t)
	})
}

func TestShutdownEndsARunThatWaitsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		<-runFor(t, nodes, untilOver).terms
		p := runFor(t, nodes, untilOver)
		time.Sleep(time.Minute)
		require.NoError(t, p.locker.Shutdown(t.Context()))
		require.ErrorIs(t, <-p.ended, redlock.ErrShutdown)
		assert.Empty(t, p.told)
	})
}

func TestShutdownWaitsForTheTermAndThenEndsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		p := runFor(t, nodes, func(context.Context, leader.Term) error {
			time.Sleep(time.Hour)
			return rig.ErrBody
		})
		<-p.terms
		begun := time.Now()
		require.NoError(t, p.locker.Shutdown(t.Context()))
		assert.GreaterOrEqual(t, time.Since(begun), time.Hour)
		require.ErrorIs(t, <-p.ended, redlock.ErrShutdown)
		require.Equal(t, rig.ErrBody, <-p.told)
		p.requireNoTerm(t)
	})
}

func TestAShutdownThatGivesUpEndsTheTermWithinItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		p := runFor(t, nodes, untilOver)
		<-p.terms
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, p.locker.Shutdown(ctx), context.DeadlineExceeded)
		gaveUp := time.Now()
		require.ErrorIs(t, <-p.told, redlock.ErrLockLost)
		assert.Less(t, time.Since(gaveUp), ttl)
		require.ErrorIs(t, <-p.ended, redlock.ErrShutdown)
	})
}

func TestABadArgumentEndsRunAndNothingIsSent(t *testing.T) {
	type call func(ctx context.Context, l *redlock.Locker) error
	run := func(name string, ttl time.Duration, opts ...leader.Option) call {
		return func(ctx context.Context, l *redlock.Locker) error {
			return leader.Run(ctx, l, name, ttl, untilOver, opts...)
		}
	}
	for text, run := range map[string]call{
		"no name":                  run("", ttl),
		"a bare number":            run(name, 15),
		"a negative ttl":           run(name, -time.Second),
		"no time to extend it":     run(name, 3*time.Millisecond),
		"a name without a counter": run("a}", ttl),
		"a nil option":             run(name, ttl, nil),
		"a nil handler":            run(name, ttl, leader.WithErrorHandler(nil)),
		"a nil option of the lock": run(name, ttl, leader.WithLockOptions(nil)),
		"a bad option of the lock": run(name, ttl, leader.WithLockOptions(redlock.WithOwner(""))),
		"a counter that is short":  run(name, ttl, leader.WithLockOptions(redlock.WithFencing(time.Second))),
		"no function": func(ctx context.Context, l *redlock.Locker) error {
			return leader.Run(ctx, l, name, ttl, nil)
		},
		"no context": func(_ context.Context, l *redlock.Locker) error {
			return leader.Run(nil, l, name, ttl, untilOver) //nolint:staticcheck,contextcheck // on purpose
		},
		"no Locker": func(ctx context.Context, _ *redlock.Locker) error {
			return leader.Run(ctx, nil, name, ttl, untilOver)
		},
		"a zero Locker": func(ctx context.Context, _ *redlock.Locker) error {
			return leader.Run(ctx, new(redlock.Locker), name, ttl, untilOver)
		},
	} {
		t.Run(text, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				err := run(t.Context(), rig.NewLocker(t, nodes))
				require.ErrorIs(t, err, redlock.ErrInvalidArgument)
				assert.NotContains(t, err.Error(), "\n")
				assert.Zero(t, rig.Sent(nodes))
			})
		})
	}
}

func TestANodeWithoutScriptsNeedsToBeTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		err := leader.Run(t.Context(), rig.NewLocker(t, nodes, redlock.WithoutScripts()), name, ttl, untilOver)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		assert.Zero(t, rig.Sent(nodes))
	})
}
