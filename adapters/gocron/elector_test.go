package gocronlock_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	gocronlock "github.com/b0401464/redlock/adapters/gocron"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

const leadership = 10 * time.Second

func newElector(t *testing.T, locker *redlock.Locker) *gocronlock.Elector {
	t.Helper()
	e, err := gocronlock.NewElector(locker, "leader", leadership)
	require.NoError(t, err)
	t.Cleanup(func() { _ = e.Close(context.Background()) })
	return e
}

// leaders requires that at most one of electors leads, and returns which; −1 if none does.
func leaders(t *testing.T, electors []*gocronlock.Elector) int {
	t.Helper()
	leader := -1
	for i, e := range electors {
		if err := e.IsLeader(t.Context()); err == nil {
			require.Negative(t, leader, "two lead")
			leader = i
		} else {
			require.ErrorIs(t, err, gocronlock.ErrNotLeader)
		}
	}
	return leader
}

func TestAtMostOneLeadsWhateverHappensToTheNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		electors := make([]*gocronlock.Elector, 3)
		for i := range electors {
			electors[i] = newElector(t, rig.NewLocker(t, nodes))
		}
		led, changes, last := 0, 0, -1
		for step := range 6000 {
			switch step % 600 {
			case 100:
				nodes[step/600%3].Freeze()
			case 200:
				nodes[step/600%3].Thaw()
			case 300:
				nodes[0].Unreachable(true)
				nodes[1].Unreachable(true)
			case 450:
				nodes[0].Unreachable(false)
				nodes[1].Unreachable(false)
			}
			if leader := leaders(t, electors); leader >= 0 {
				led++
				if leader != last {
					changes, last = changes+1, leader
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		assert.Greater(t, led, 4000, "most of the time one does")
		assert.Greater(t, changes, 1)
	})
}

func TestAnotherOneLeadsWithinTheTTLAfterTheLeaderDied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		_, err := rig.NewLocker(t, nodes).Lock(t.Context(), "leader", leadership) // of a host that dies now
		require.NoError(t, err)
		died := time.Now()
		electors := []*gocronlock.Elector{newElector(t, rig.NewLocker(t, nodes)), newElector(t, rig.NewLocker(t, nodes))}
		for leaders(t, electors) < 0 {
			time.Sleep(10 * time.Millisecond)
			require.Less(t, time.Since(died), leadership+time.Second)
		}
		assert.Greater(t, time.Since(died), leadership-time.Second)
	})
}

func TestTheFirstQuestionWaitsForTheFirstOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		for _, n := range nodes {
			n.Slow(20 * time.Millisecond)
		}
		e := newElector(t, rig.NewLocker(t, nodes))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		err := e.IsLeader(ctx)
		require.ErrorIs(t, err, gocronlock.ErrNotLeader)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, e.IsLeader(t.Context()))
	})
}

func TestWhoDoesNotLeadIsToldWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		locker := rig.NewLocker(t, nodes)
		first := newElector(t, locker)
		require.NoError(t, first.IsLeader(t.Context()))
		second := newElector(t, rig.NewLocker(t, nodes))
		require.ErrorIs(t, second.IsLeader(t.Context()), redlock.ErrContended)
		for _, n := range nodes {
			n.Stop()
		}
		time.Sleep(2 * leadership)
		require.ErrorIs(t, second.IsLeader(t.Context()), redlock.ErrNoQuorum)
		for _, e := range []*gocronlock.Elector{first, second} {
			require.ErrorIs(t, e.IsLeader(t.Context()), gocronlock.ErrNotLeader)
		}
		require.NoError(t, locker.Shutdown(t.Context()))
		time.Sleep(2 * leadership)
		require.ErrorIs(t, first.IsLeader(t.Context()), redlock.ErrShutdown)
		require.NoError(t, first.Close(t.Context()))
		for _, n := range nodes {
			n.Restart()
		}
		time.Sleep(2 * leadership)
		require.NoError(t, second.IsLeader(t.Context()))
		require.ErrorIs(t, second.IsLeader(nil), redlock.ErrInvalidArgument) //nolint:staticcheck // on purpose
	})
}

func TestWhoHasLostTheLeadStandsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		e := newElector(t, rig.NewLocker(t, nodes))
		require.NoError(t, e.IsLeader(t.Context()))
		ended := make(chan error, 1)
		go func() {
			ended <- e.Guard(func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			})(t.Context())
		}()
		synctest.Wait()
		for _, n := range nodes {
			n.FlushAll()
		}
		require.ErrorIs(t, <-ended, redlock.ErrLockLost)
		time.Sleep(time.Second)
		require.NoError(t, e.IsLeader(t.Context()))
	})
}

// The monotonic clock stands still while a machine is suspended.
func TestAMachineThatWasSuspendedDoesNotLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locker := rig.NewLocker(t, rig.New(t, 3))
		suspended := time.Duration(0)
		seam.SetWallJump(locker, func() time.Duration { return suspended })
		e := newElector(t, locker)
		require.NoError(t, e.IsLeader(t.Context()))
		synctest.Wait()
		suspended = leadership
		require.ErrorIs(t, e.IsLeader(t.Context()), gocronlock.ErrNotLeader)
	})
}

func TestAnElectorThatIsNotClosedEndsWithItsLocker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locker := rig.NewLocker(t, rig.New(t, 3))
		e, err := gocronlock.NewElector(locker, "leader", leadership)
		require.NoError(t, err)
		require.NoError(t, e.IsLeader(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, locker.Shutdown(ctx), context.DeadlineExceeded)
		require.NoError(t, locker.Shutdown(t.Context()))
		time.Sleep(time.Second)
		require.ErrorIs(t, e.IsLeader(t.Context()), redlock.ErrShutdown)
	}) // which fails if a goroutine is left
}

func TestCloseHandsTheLeadOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		first := newElector(t, rig.NewLocker(t, nodes))
		require.NoError(t, first.IsLeader(t.Context()))
		second := newElector(t, rig.NewLocker(t, nodes))
		require.Error(t, second.IsLeader(t.Context()))
		time.Sleep(3 * leadership)
		require.NoError(t, first.Close(t.Context()))
		time.Sleep(leadership / 10)
		require.NoError(t, second.IsLeader(t.Context()))
		require.Equal(t, gocronlock.ErrNotLeader, first.IsLeader(t.Context()))
		require.ErrorIs(t, first.Guard(func(context.Context) error { return nil })(t.Context()), gocronlock.ErrNotLeader)
		require.NoError(t, first.Close(t.Context()), "again")
		require.ErrorIs(t, first.Close(nil), redlock.ErrInvalidArgument) //nolint:staticcheck // on purpose
	})
}

func TestCloseInTheMiddleOfAnElectionEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		for _, n := range nodes {
			n.Freeze()
		}
		e := newElector(t, rig.NewLocker(t, nodes))
		time.Sleep(time.Millisecond)
		require.NoError(t, e.Close(t.Context()))
		require.Equal(t, gocronlock.ErrNotLeader, e.IsLeader(t.Context()))
		for _, n := range nodes {
			n.Thaw()
		}
		synctest.Wait()
		for _, n := range nodes {
			require.False(t, n.Exists("leader"))
		}
	})
}

func TestCloseTellsThatTheReleaseFoundNoMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		e := newElector(t, rig.NewLocker(t, nodes))
		require.NoError(t, e.IsLeader(t.Context()))
		for _, n := range nodes {
			n.Freeze()
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, e.Close(ended), context.Canceled)
		require.ErrorIs(t, e.Close(t.Context()), redlock.ErrNoQuorum)
		for _, n := range nodes {
			n.Thaw()
		}
	})
}

func TestOnlyTheLeaderRunsJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		var runs [2]atomic.Int64
		electors := []*gocronlock.Elector{}
		for i := range runs {
			e := newElector(t, rig.NewLocker(t, nodes))
			require.Equal(t, i == 0, e.IsLeader(t.Context()) == nil)
			electors = append(electors, e)
			s, err := gocron.NewScheduler(gocron.WithDistributedElector(e))
			require.NoError(t, err)
			_, err = s.NewJob(everySecond(), gocron.NewTask(e.Guard(func(context.Context) error {
				runs[i].Add(1)
				return nil
			})))
			require.NoError(t, err)
			s.Start()
			t.Cleanup(func() { assert.NoError(t, s.Shutdown()) })
		}
		time.Sleep(10500 * time.Millisecond)
		require.Equal(t, [2]int64{10, 0}, [2]int64{runs[0].Load(), runs[1].Load()})
		require.NoError(t, electors[0].Close(t.Context()))
		time.Sleep(10 * time.Second)
		require.Equal(t, [2]int64{10, 10}, [2]int64{runs[0].Load(), runs[1].Load()})
	})
}

func TestElectorsAreCheckedWhenTheyAreMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locker := rig.NewLocker(t, rig.New(t, 1))
		for name, err := range map[string]error{
			"no locker":     rig.Err(gocronlock.NewElector(nil, "leader", time.Second)),
			"no name":       rig.Err(gocronlock.NewElector(locker, "", time.Second)),
			"no TTL":        rig.Err(gocronlock.NewElector(locker, "leader", 0)),
			"a bare number": rig.Err(gocronlock.NewElector(locker, "leader", 10)),
		} {
			assert.ErrorIs(t, err, redlock.ErrInvalidArgument, name)
		}
	})
}
