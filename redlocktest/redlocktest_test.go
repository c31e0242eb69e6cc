//nolint:thelper // what takes a t here is a test
package redlocktest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/redlocktest"
	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "6") // they mostly wait
	rig.Main(m)
}

// everywhere runs a test on three nodes in a bubble and outside.
func everywhere(t *testing.T, f func(t *testing.T, nodes redlocktest.Nodes)) {
	t.Helper()
	t.Parallel()
	t.Run("in a bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, redlocktest.New(t, 3)) })
	})
	t.Run("outside", func(t *testing.T) {
		t.Parallel()
		f(t, redlocktest.New(t, 3))
	})
}

var oneTry = redlock.WithRetry(0, 0)

// A failing test stops at its first failure, and keeps what it said.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure returns what a test says that has to fail.
func failure(t *testing.T, run func(tb testing.TB)) string {
	t.Helper()
	f := &failing{TB: t}
	var ended sync.WaitGroup
	ended.Go(func() { run(f) })
	ended.Wait()
	require.NotEmpty(t, f.said, "it did not fail")
	return f.said
}

func lock(t *testing.T, l *redlock.Locker, opts ...redlock.LockOption) *redlock.Lock {
	t.Helper()
	k, err := l.Lock(t.Context(), "a", time.Minute, opts...)
	require.NoError(t, err)
	return k
}

func TestWhatSomebodyElseHoldsIsRefusedUntilItIsReleased(t *testing.T) {
	everywhere(t, func(t *testing.T, nodes redlocktest.Nodes) {
		l := nodes.Locker()
		other := nodes.Hold("a")
		_, err := l.TryLock(t.Context(), "a", time.Minute)
		require.ErrorIs(t, err, redlock.ErrContended)
		require.ErrorContains(t, err, "somebody else")
		other.Release()
		require.NoError(t, lock(t, l).Unlock(t.Context()))
		other.Release()
		nodes.RequireFree(t)
	})
}

func TestWhoWaitsHasTheLockOnceItWasReleasedOrHasExpired(t *testing.T) {
	for name, end := range map[string]func(*redlocktest.Holder){
		"released": (*redlocktest.Holder).Release,
		"expired":  (*redlocktest.Holder).Expire,
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, nodes redlocktest.Nodes) {
				other := nodes.Hold("a")
				granted := make(chan error, 1)
				l := nodes.Locker(redlock.WithRetry(redlock.Forever, 400*time.Millisecond))
				go func() {
					k, err := l.Lock(t.Context(), "a", time.Minute)
					granted <- errors.Join(err, k.Unlock(t.Context()))
				}()
				require.Eventually(t, func() bool {
					s, err := nodes.Locker().Inspect(t.Context(), "a")
					return err == nil && len(s.Waiting) == 1
				}, time.Minute, time.Millisecond)
				end(other)
				require.NoError(t, <-granted)
				nodes.RequireFree(t)
			})
		})
	}
}

func TestALostLockEndsItsContextAtTheNextExtension(t *testing.T) {
	everywhere(t, func(t *testing.T, nodes redlocktest.Nodes) {
		err := nodes.Locker().With(t.Context(), "a", 300*time.Millisecond, func(ctx context.Context, k *redlock.Lock) error {
			nodes.Lose(k)
			nodes.Hold("a") //nolint:contextcheck // anybody can have it at once
			<-ctx.Done()
			return context.Cause(ctx)
		}, nil, redlock.WithAutoExtend(redlock.Forever))
		require.ErrorIs(t, err, redlock.ErrLockLost)
	})
}

func TestALostLockOnSeveralResourcesIsGoneFromAll(t *testing.T) {
	everywhere(t, func(t *testing.T, nodes redlocktest.Nodes) {
		k, err := nodes.Locker().LockAll(t.Context(), []string{"a", "b"}, time.Minute)
		require.NoError(t, err)
		nodes.Lose(k)
		nodes.Hold("a")
		nodes.Hold("b")
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
	})
}

func TestLoseTakesNothingFromTheNextHolder(t *testing.T) {
	everywhere(t, func(t *testing.T, nodes redlocktest.Nodes) {
		before := lock(t, nodes.Locker())
		nodes.Lose(before)
		next := lock(t, nodes.Locker())
		nodes.Lose(before)
		require.NoError(t, next.Unlock(t.Context()))
	})
}

func TestAMajorityThatIsAwayIsNoQuorumAndComesBack(t *testing.T) {
	for name, leave := range map[string]func(redlocktest.Nodes){
		"down":   redlocktest.Nodes.Down,
		"frozen": redlocktest.Nodes.Freeze,
		"slow":   func(ns redlocktest.Nodes) { ns.Slow(10 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, nodes redlocktest.Nodes) {
				l := nodes.Locker(oneTry, redlock.WithNodeTimeout(100*time.Millisecond))
				leave(nodes[1:])
				_, err := l.Lock(t.Context(), "a", time.Minute)
				require.ErrorIs(t, err, redlock.ErrNoQuorum)
				nodes.Up()
				require.EventuallyWithT(t, func(c *assert.CollectT) {
					k, err := l.Lock(t.Context(), "b", time.Minute)
					require.NoError(c, err)
					require.NoError(c, k.Unlock(t.Context()))
				}, time.Minute, 10*time.Millisecond)
			})
		})
	}
}

func TestANodeThatIsDownKeepsItsDataAndAWipedOneDoesNot(t *testing.T) {
	everywhere(t, func(t *testing.T, nodes redlocktest.Nodes) {
		nodes = nodes[:1]
		other := nodes.Hold("a")
		nodes[0].Down()
		nodes[0].Up()
		l := nodes.Locker(oneTry)
		_, err := l.Lock(t.Context(), "a", time.Minute)
		require.ErrorIs(t, err, redlock.ErrContended)
		nodes[0].Wipe()
		lock(t, l)
		require.ErrorIs(t, other.Lock.Unlock(t.Context()), redlock.ErrLockLost)
	})
}

func TestWithoutScriptsLocksAreExtended(t *testing.T) {
	everywhere(t, func(t *testing.T, nodes redlocktest.Nodes) {
		k := lock(t, nodes.Locker(redlock.WithoutScripts()))
		require.NoError(t, k.Extend(t.Context(), time.Minute))
	})
}

func TestRequireFreeSaysWhatIsLeftWhereAndByWhom(t *testing.T) {
	everywhere(t, func(t *testing.T, nodes redlocktest.Nodes) {
		k := lock(t, nodes.Locker(), redlock.WithOwner("billing"))
		unnamed, err := nodes.Locker().Lock(t.Context(), "b", time.Hour)
		require.NoError(t, err)
		require.NoError(t, nodes[0].Client().Set(t.Context(), "hits", 5, 0).Err()) // no lock
		for _, n := range nodes {                                                  // a Lock waits for a majority of them
			has := func() bool { return n.Client().Exists(t.Context(), "a", "b").Val() == 2 }
			require.Eventually(t, has, time.Minute, time.Millisecond)
		}
		nodes[0].Freeze()

		said := failure(t, nodes.RequireFree)
		require.Regexp(t, fmt.Sprintf(`"a" is locked by "billing" \(mark %s\) for \d[.\d]*s, on 3 of 3 nodes, \d+[.\d]*s left`, k.Mark()), said)
		require.Contains(t, said, fmt.Sprintf(`"b" is locked by mark %s, on 3 of 3 nodes`, unnamed.Mark()))
		require.NotContains(t, said, "hits")
		require.NotContains(t, said, k.Value()[:32])
	})
}

func TestRequireFreeSaysWhoStillWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := redlocktest.New(t, 3)
		nodes.Hold("a")
		l := nodes.Locker(redlock.WithOwner("report"))
		go func() { _, _ = l.Lock(t.Context(), "a", time.Minute) }()
		time.Sleep(time.Second)
		require.Contains(t, failure(t, nodes.RequireFree), `is waited for by "report"`)
	})
}

func TestBadArgumentsFailTheTest(t *testing.T) {
	for want, f := range map[string]func(tb testing.TB){
		"want at least one node": func(tb testing.TB) { redlocktest.New(tb, 0) },
		"WithDriftFactor(2)":     func(tb testing.TB) { redlocktest.New(tb, 1).Locker(redlock.WithDriftFactor(2)) },
		"held by somebody else":  func(tb testing.TB) { nodes := redlocktest.New(tb, 1); nodes.Hold("a"); nodes.Hold("a") },
		"empty resource":         func(tb testing.TB) { redlocktest.New(tb, 1).Hold("") },
		"there is no lock":       func(tb testing.TB) { redlocktest.New(tb, 1).Lose(redlock.FromContext(tb.Context())) },
	} {
		t.Run(want, func(t *testing.T) { require.Contains(t, failure(t, f), want) })
	}
}
