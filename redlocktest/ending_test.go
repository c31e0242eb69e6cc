//nolint:thelper // what takes a t here is a test
package redlocktest_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/redlocktest"
)

func TestLocksThatAreLeftCostATestOneWaitHoweverManyLockersHaveThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		of := new(exampleT)
		nodes := redlocktest.New(of, 3)
		for i := range 5 {
			_, err := nodes.Locker().Lock(t.Context(), strconv.Itoa(i), 10*time.Hour)
			require.NoError(t, err)
		}
		began := time.Now()
		of.end()
		assert.LessOrEqual(t, time.Since(began), time.Hour)
		time.Sleep(10 * time.Hour)
	})
}

func TestHoldersOfFrozenNodesEndAtOnceWithTheTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		of := new(exampleT)
		nodes := redlocktest.New(of, 3)
		for i := range 5 {
			nodes.Hold(strconv.Itoa(i))
		}
		nodes.Freeze()
		began := time.Now()
		of.end()
		assert.Less(t, time.Since(began), time.Millisecond, "a moment for each to come to rest")
	})
}

func TestWhatACleanupWaitsForIsToldThatTheLockerHasEnded(t *testing.T) {
	everywhere(t, func(t *testing.T, nodes redlocktest.Nodes) {
		told := make(chan error, 1)
		t.Cleanup(func() { assert.ErrorIs(t, <-told, redlock.ErrShutdown) })
		nodes.Hold("a")
		l := nodes.Locker(redlock.WithRetry(redlock.Forever, time.Second))
		go func() {
			_, err := l.Lock(t.Context(), "b", time.Minute)
			if err == nil {
				_, err = l.LockAll(t.Context(), []string{"a", "c"}, time.Minute)
			}
			told <- err
		}()
	})
}

func TestNodesFromOutsideOfABubbleFailTheTest(t *testing.T) {
	of := &failing{TB: t}
	nodes := redlocktest.New(of, 1)
	synctest.Test(t, func(*testing.T) {
		var ended sync.WaitGroup
		ended.Go(func() { nodes.Locker() })
		ended.Wait()
	})
	require.Contains(t, of.said, "outside of this bubble")
}

func TestCheckFindsNothingWrongWithTheNodes(t *testing.T) {
	everywhere(t, func(t *testing.T, nodes redlocktest.Nodes) {
		r, err := nodes.Locker(redlock.WithRestartQuarantine(time.Hour)).Check(t.Context(), time.Minute)
		require.NoError(t, err)
		require.Empty(t, r.Findings)
		nodes.RequireFree(t)
	})
}

func TestAWipedNodeGrantsNothingDuringItsQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := redlocktest.New(t, 3)
		l := nodes.Locker(oneTry, redlock.WithRestartQuarantine(time.Minute))
		require.NoError(t, lock(t, l).Unlock(t.Context()))
		time.Sleep(time.Second) // a node looks every 50 ms

		nodes[1:].Wipe()
		_, err := l.Lock(t.Context(), "a", time.Minute)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		require.ErrorContains(t, err, "QUARANTINE")

		time.Sleep(time.Minute + 2*time.Second)
		require.NoError(t, lock(t, l).Unlock(t.Context()))
	})
}

func TestRequireFreeTellsOfLocksAndLinesOfAnyName(t *testing.T) {
	for _, name := range []string{
		"a", "{a}b", "a}b", "{}", "a:redlock:line", "{a}:redlock:line", "{a:redlock:line}", "a:redlock:next", "{a}:redlock:token", "\x00\xff\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := redlocktest.New(t, 3)
				nodes.Hold(name)
				l := nodes.Locker(redlock.WithOwner("report"))
				go func() { _, _ = l.Lock(t.Context(), name, time.Minute) }()
				time.Sleep(time.Second)
				said := failure(t, nodes.RequireFree)
				require.Contains(t, said, fmt.Sprintf("%q is locked by \"somebody else\"", name))
				switch name {
				case "a}b", "{}": // no line
				case "{a:redlock:line}": // its line is that of the name in it
					require.Contains(t, said, fmt.Sprintf("%q is waited for by \"report\"", "a:redlock:line"))
				default:
					require.Contains(t, said, fmt.Sprintf("%q is waited for by \"report\"", name))
				}
			})
		})
	}
}
