package lane_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/lane"
)

// told is a waiter that notes what it is told.
type told struct{ due, givenUp atomic.Bool }

func (w *told) Due(bool) { w.due.Store(true) }
func (w *told) GiveUp()  { w.givenUp.Store(true) }

func then(p *lane.Place) *told {
	w := &told{}
	p.Then(w)
	return w
}

func TestACallWithoutAnAnswerAfterTheNodeTimeoutLetsTheNextOneGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := lane.NewTable(1)
		first, second := table.NewSeries("a", "b"), table.NewSeries("b")
		hangs := first.Take(lane.Acquire, timeout, nil)
		waits := second.Take(lane.Acquire, timeout, nil)
		one, two := then(&hangs[0]), then(&waits[0])
		time.Sleep(timeout - time.Nanosecond)
		synctest.Wait()
		require.False(t, one.givenUp.Load() || two.due.Load())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.True(t, one.givenUp.Load() && two.due.Load())
		require.True(t, hangs[0].GivenUp())
		require.Equal(t, 2, table.Open())
		waits[0].Done(true)
		hangs[0].Done(false)
		assert.Zero(t, table.Open())
	})
}

func TestACommandOfASeriesPassesAnExtensionThatWasGivenUpAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, kind := range []lane.Kind{lane.Acquire, lane.Follow, lane.Restore, lane.Release} {
			table := lane.NewTable(1)
			tr := table.NewSeries("a")
			tr.Take(lane.Acquire, timeout, nil)[0].Done(true)
			hangs := tr.Take(kind, timeout, nil)
			then(&hangs[0])
			before := tr.Take(lane.Follow, timeout, nil)
			require.Equal(t, lane.Behind, before[0].Reason())
			time.Sleep(timeout)
			synctest.Wait()
			for _, next := range []lane.Kind{lane.Follow, lane.Restore} {
				places := tr.Take(next, timeout, nil)
				require.Equal(t, kind == lane.Follow, places[0].Taken(), "%d after %d", next, kind)
				if places[0].Taken() {
					places[0].Done(true)
				}
			}
			release := tr.Take(lane.Release, timeout, nil)
			assert.True(t, then(&release[0]).due.Load(), "a release passes all")
			release[0].Done(true)
			hangs[0].Done(true)
			assert.Zero(t, table.Open())
		}
	})
}

func TestOnlySoManyCallsHangInOneLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := lane.NewTable(1)
		well := table.NewSeries("well")
		due := 0
		var all [][]lane.Place
		for range 50 {
			tr := table.NewSeries("a")
			places := tr.Take(lane.Acquire, timeout, nil)
			all = append(all, places)
			w := then(&places[0])
			for range 2 {
				time.Sleep(timeout)
				well.Take(lane.Acquire, timeout, nil)[0].Done(true) // the node answers others
				synctest.Wait()
			}
			if w.due.Load() {
				due++
			}
		}
		assert.Equal(t, 17, due, "and the one that holds the lane up")
		for i := range all {
			all[i][0].Done(true)
		}
		assert.Zero(t, table.Open())
	})
}

func TestWhatHangsOnANodeThatAnswersOthersIsNotWaitedForForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := lane.NewTable(1)
		tr, well := table.NewSeries("a"), table.NewSeries("well")
		hangs := tr.Take(lane.Acquire, timeout, nil)
		then(&hangs[0])
		idle := table.Idle()
		time.Sleep(time.Hour)
		requireOpen(t, idle)
		well.Take(lane.Acquire, timeout, nil)[0].Done(true)
		time.Sleep(timeout)
		synctest.Wait()
		requireClosed(t, idle)
		assert.Zero(t, table.Open())
		hangs[0].Done(true)
		assert.Zero(t, table.Open())
	})
}

// A timer that runs keeps all that belongs to it.
func TestATableIsCollectedLongBeforeTheNodeTimeoutIsOver(t *testing.T) {
	collected := make(chan struct{})
	func() {
		table := lane.NewTable(1)
		runtime.AddCleanup(table, func(struct{}) { close(collected) }, struct{}{})
		for range 2 {
			series := table.NewSeries("r")
			places := series.Take(lane.Acquire, time.Hour, nil)
			then(&places[0])
			places[0].Done(true)
		}
	}()
	require.Eventually(t, func() bool {
		runtime.GC()
		select {
		case <-collected:
			return true
		default:
			return false
		}
	}, 30*time.Second, 10*time.Millisecond)
}
