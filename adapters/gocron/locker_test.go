package gocronlock_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	gocronlock "github.com/b0401464/redlock/adapters/gocron"
	"github.com/b0401464/redlock/test/rig"
)

// That is gocron#841: the job of a host has ended when the next one's clock comes to
// the tick.
func TestEachTickIsRunOnceByHostsWhoseClocksDiffer(t *testing.T) {
	for name, behind := range map[string]time.Duration{"50 ms": 50 * time.Millisecond, "0.7 s": 700 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes, runs := rig.New(t, 3), new(journal)
				for i := range 3 {
					runs.start(t, newLocker(t, nodes, time.Second), job{ahead: -time.Duration(i) * behind / 2, schedule: everySecond()})
				}
				time.Sleep(time.Minute)
				runs.requireOnce(t, 58)
				for _, err := range runs.refusals() {
					require.ErrorIs(t, err, redlock.ErrContended)
				}
			})
		})
	}
}

func TestNoTickIsMissedWhenAHostStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, runs := rig.New(t, 3), new(journal)
		first := runs.start(t, newLocker(t, nodes, time.Second), job{schedule: everySecond()})
		time.Sleep(300 * time.Millisecond)
		second := runs.start(t, newLocker(t, nodes, time.Second), job{ahead: -50 * time.Millisecond, schedule: everySecond()})
		time.Sleep(10 * time.Second)
		first()
		time.Sleep(10 * time.Second)
		second()
		runs.requireOnce(t, 19)
	})
}

// Tickers of gocron begin when their host does, so they differ by any part of the interval.
func TestRunsAreNotNearerToEachOtherThanTheHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, runs := rig.New(t, 3), new(journal)
		for range 4 {
			runs.start(t, newLocker(t, nodes, 10*time.Second), job{schedule: gocron.DurationJob(10 * time.Second)})
			time.Sleep(2300 * time.Millisecond)
		}
		time.Sleep(10 * time.Minute)
		begun := runs.begun()
		require.Greater(t, len(begun), 55)
		for i := range begun[1:] {
			apart := begun[i+1].Sub(begun[i])
			assert.GreaterOrEqual(t, apart, 9*time.Second-10*time.Millisecond) // less what a round trip takes
			assert.LessOrEqual(t, apart, 19*time.Second)
		}
	})
}

func TestALongJobDoesNotRunTwiceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, runs := rig.New(t, 3), new(journal)
		for i := range 2 {
			runs.start(t, newLocker(t, nodes, time.Second), job{
				ahead:    -time.Duration(i) * 50 * time.Millisecond,
				schedule: everySecond(),
				do: func(ctx context.Context) error {
					select {
					case <-time.After(3500 * time.Millisecond): // the TTL is 0.9 s
					case <-ctx.Done(): // gocron's Shutdown, which spins while a job runs
					}
					return ctx.Err()
				},
			})
		}
		time.Sleep(time.Minute)
		assert.Equal(t, 1, runs.mostAtATime())
		assert.GreaterOrEqual(t, runs.count(), 14, "each fourth tick")
		assert.Empty(t, runs.failures())
	})
}

func TestAHostThatDiesInAJobKeepsOthersFromItForTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, runs := rig.New(t, 3), new(journal)
		dead := rig.NewLocker(t, nodes)
		_, err := dead.Lock(t.Context(), "gocron:run:report", 5*time.Second)
		require.NoError(t, err)
		died := time.Now()
		runs.start(t, newLocker(t, nodes, time.Second), job{schedule: everySecond()})
		time.Sleep(10 * time.Second)
		require.NotZero(t, runs.count())
		assert.InDelta(t, 5.5, runs.begun()[0].Sub(died).Seconds(), 0.6, "at the first tick after the TTL")
		runs.requireOnce(t, 4)
	})
}

func TestATickThatIsRefusedHereIsLeftToAnotherHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		other := rig.NewLocker(t, nodes)
		held, err := other.Lock(t.Context(), "gocron:run:report", time.Minute)
		require.NoError(t, err)
		_, err = newLocker(t, nodes, time.Minute).Lock(t.Context(), "report")
		require.ErrorIs(t, err, redlock.ErrContended)
		require.NoError(t, held.Unlock(t.Context()))
		lock, err := newLocker(t, nodes, time.Minute).Lock(t.Context(), "report")
		require.NoError(t, err)
		require.NoError(t, lock.Unlock(t.Context()))
	})
}

func TestTheContextOfAGuardedJobEndsWhenItsLockIsLost(t *testing.T) {
	lost := errors.New("half done")
	for name, returns := range map[string]func(ctx context.Context) error{
		"and it returns nothing":         func(context.Context) error { return nil },
		"and it returns ctx's error":     func(ctx context.Context) error { return ctx.Err() },
		"and it has an error of its own": func(context.Context) error { return lost },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes, runs := rig.New(t, 3), new(journal)
				runs.start(t, newLocker(t, nodes, time.Minute), job{
					schedule: gocron.CronJob("* * * * *", false),
					do: func(ctx context.Context) error {
						assert.Equal(t, "gocron:run:report", redlock.FromContext(ctx).Resource())
						for _, n := range nodes {
							n.FlushAll()
						}
						<-ctx.Done()
						assert.ErrorIs(t, context.Cause(ctx), redlock.ErrLockLost)
						return returns(ctx)
					},
				})
				time.Sleep(100 * time.Second)
				require.Len(t, runs.failures(), 1)
				err := runs.failures()[0]
				require.ErrorIs(t, err, redlock.ErrLockLost)
				assert.Equal(t, name == "and it has an error of its own", errors.Is(err, lost))
				assert.NotErrorIs(t, err, context.Canceled, "nobody has cancelled anything")
			})
		})
	}
}

func TestAGuardedJobThatIsCancelledIsNotToldOfALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, runs := rig.New(t, 3), new(journal)
		stop := runs.start(t, newLocker(t, nodes, time.Second), job{
			schedule: everySecond(),
			do: func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			},
		})
		time.Sleep(1500 * time.Millisecond)
		stop()
		require.Equal(t, 1, runs.count())
		require.Len(t, runs.failures(), 1)
		require.ErrorIs(t, runs.failures()[0], context.Canceled)
		require.NotErrorIs(t, runs.failures()[0], redlock.ErrLockLost)
		synctest.Wait()
		for _, n := range nodes {
			assert.False(t, n.Exists("gocron:run:report"), "was released though gocron's context had ended")
			assert.True(t, n.Exists("gocron:tick:report"), "was left to run out")
		}
	})
}

func TestAGuardedJobWithoutANameIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, runs := rig.New(t, 1), new(journal)
		runs.start(t, newLocker(t, nodes, time.Second), job{schedule: everySecond(), unnamed: true})
		time.Sleep(1500 * time.Millisecond)
		require.NotEmpty(t, runs.refusals())
		for _, err := range runs.refusals() {
			require.ErrorIs(t, err, redlock.ErrInvalidArgument)
			require.ErrorContains(t, err, "gocron.WithName")
		}
		require.Zero(t, runs.count())
	})
}

func TestAnOutageIsNotTakenForAnotherHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, runs := rig.New(t, 3), new(journal)
		runs.start(t, newLocker(t, nodes, time.Second), job{schedule: everySecond()})
		for _, n := range nodes {
			n.Stop()
		}
		time.Sleep(3 * time.Second)
		require.NotEmpty(t, runs.refusals())
		for _, err := range runs.refusals() {
			require.ErrorIs(t, err, redlock.ErrNoQuorum)
			require.NotErrorIs(t, err, redlock.ErrContended)
		}
		require.Zero(t, runs.count())
		for _, n := range nodes {
			n.Restart()
		}
		time.Sleep(10 * time.Second)
		require.GreaterOrEqual(t, runs.count(), 8)
	})
}

func TestOptionsOfTheLibrarysLockerDoNotDisturb(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, runs := rig.New(t, 3), new(journal)
		for i := range 2 {
			locker := rig.NewLocker(t, nodes, redlock.WithRetry(0, 0), redlock.WithAutoExtend(time.Hour), redlock.WithFencing(time.Second))
			l, err := gocronlock.NewLocker(locker, time.Second, gocronlock.WithTTL(500*time.Millisecond), gocronlock.WithPrefix("p:"))
			require.NoError(t, err)
			runs.start(t, l, job{
				ahead:    -time.Duration(i) * 50 * time.Millisecond,
				schedule: everySecond(),
				do: func(ctx context.Context) error {
					assert.Positive(t, redlock.FromContext(ctx).Token())
					return nil
				},
			})
		}
		time.Sleep(59500 * time.Millisecond)
		runs.requireOnce(t, 58)
		assert.True(t, nodes[0].Exists("p:tick:report"))
	})
}

// A host that was late a second ago would keep the next tick from being run.
func TestATickWaitsForAHoldThatEndsSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		_, err := rig.NewLocker(t, nodes).Lock(t.Context(), "gocron:tick:report", 70*time.Millisecond)
		require.NoError(t, err)
		lock, err := on(t, rig.NewLocker(t, nodes, redlock.WithRetry(0, 0)), time.Second).Lock(t.Context(), "report")
		require.NoError(t, err)
		require.NoError(t, lock.Unlock(t.Context()))
	})
}

func TestAGuardedJobWhoseLockWasLostIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := newLocker(t, nodes, time.Second)
		lock, err := l.Lock(t.Context(), "report")
		require.NoError(t, err)
		for _, n := range nodes {
			n.FlushAll()
		}
		time.Sleep(time.Second)
		err = l.Guard(func(context.Context) error {
			t.Error("was begun")
			return nil
		})(t.Context())
		require.ErrorIs(t, err, redlock.ErrLockLost)
		require.ErrorIs(t, lock.Unlock(t.Context()), redlock.ErrLockLost)
	})
}

func TestGuardIsForJobsOfItsLocker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocker(t, rig.New(t, 1), time.Second)
		err := l.Guard(func(context.Context) error { return nil })(t.Context())
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		require.ErrorIs(t, l.Guard(nil)(t.Context()), redlock.ErrInvalidArgument)
	})
}

// An uncomparable context cannot be a key of a map.
type uncomparable struct {
	context.Context //nolint:containedctx // it is one

	_ []int
}

func TestAnyContextMayBeUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocker(t, rig.New(t, 1), time.Second)
		ctx := uncomparable{Context: t.Context()}
		lock, err := l.Lock(ctx, "report")
		require.NoError(t, err)
		require.ErrorIs(t, l.Guard(func(context.Context) error { return nil })(ctx), redlock.ErrInvalidArgument)
		require.NoError(t, lock.Unlock(ctx))
		_, err = l.Lock(nil, "report") //nolint:staticcheck // on purpose
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
	})
}

func TestLockersAreCheckedWhenTheyAreMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locker := rig.NewLocker(t, rig.New(t, 1))
		for name, err := range map[string]error{
			"no locker":      rig.Err(gocronlock.NewLocker(nil, time.Second)),
			"no interval":    rig.Err(gocronlock.NewLocker(locker, 0)),
			"a negative one": rig.Err(gocronlock.NewLocker(locker, -time.Second)),
			"a bare number":  rig.Err(gocronlock.NewLocker(locker, 60)),
			"hold":           rig.Err(gocronlock.NewLocker(locker, time.Second, gocronlock.WithHold(0))),
			"TTL":            rig.Err(gocronlock.NewLocker(locker, time.Second, gocronlock.WithTTL(5))),
			"nil option":     rig.Err(gocronlock.NewLocker(locker, time.Second, nil)),
		} {
			assert.ErrorIs(t, err, redlock.ErrInvalidArgument, name)
		}
	})
}
