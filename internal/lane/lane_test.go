package lane_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/b0401464/redlock/internal/lane"
)

const timeout = 50 * time.Millisecond

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPlacesComeInNodeOrderWithAReasonWhereThereIsNone(t *testing.T) {
	t.Parallel()
	tr := lane.NewTable(3).NewSeries("r")
	places := tr.Take(lane.Acquire, timeout, func(node int) bool { return node != 1 })
	require.Len(t, places, 3)
	assert.True(t, places[0].Taken())
	assert.False(t, places[1].Taken())
	assert.Equal(t, lane.Unwanted, places[1].Reason())
	assert.True(t, places[2].Taken())

	release := tr.Take(lane.Release, timeout, nil)
	assert.True(t, release[0].Taken())
	assert.False(t, release[1].Taken())
	assert.Equal(t, lane.Unneeded, release[1].Reason())
	assert.True(t, release[2].Taken())
}

func TestOtherResourcesAndOtherNodesDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := lane.NewTable(2)
		a, b := table.NewSeries("a"), table.NewSeries("b")
		pa := a.Take(lane.Acquire, timeout, func(node int) bool { return node == 0 })
		pb := b.Take(lane.Acquire, timeout, nil)
		requireRuns(t, wait(&pa[0]))
		requireRuns(t, wait(&pb[0]))
		requireRuns(t, wait(&pb[1]))
		pa[0].Done(true)
		pb[0].Done(true)
		pb[1].Done(true)
		assert.Zero(t, table.Open())
	})
}

func TestReleaseDropsAnAcquireThatWaitsAndIsNotOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := lane.NewTable(1)
		trains, places, turns := queue(table, 4)
		requireRuns(t, turns[0])

		release := trains[1].Take(lane.Release, timeout, nil)
		assert.Equal(t, lane.Unneeded, release[0].Reason())
		assert.False(t, release[0].Taken())
		requireDropped(t, turns[1])
		assert.False(t, trains[1].Pending())

		requireWaits(t, turns[2])
		places[0].Done(true)
		requireRuns(t, turns[2])
		requireWaits(t, turns[3])
		places[2].Done(true)
		requireRuns(t, turns[3])
		places[3].Done(true)
		assert.Zero(t, table.Open())
	})
}

func TestDroppingTheLastOfALaneLeavesTheLaneInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := lane.NewTable(1)
		trains, places, turns := queue(table, 3)
		trains[2].Take(lane.Release, timeout, nil)
		requireDropped(t, turns[2])
		late := table.NewSeries("r")
		place := late.Take(lane.Acquire, timeout, nil)
		turn := wait(&place[0])

		places[0].Done(true)
		requireRuns(t, turns[1])
		requireWaits(t, turn)
		places[1].Done(true)
		requireRuns(t, turn)
		place[0].Done(true)
		assert.Zero(t, table.Open())
	})
}

func TestDroppedAcquireIsDroppedThoughItsGoroutineHasNotStarted(t *testing.T) {
	t.Parallel()
	table := lane.NewTable(1)
	first, second := table.NewSeries("r"), table.NewSeries("r")
	running := first.Take(lane.Acquire, timeout, nil)
	waiting := second.Take(lane.Acquire, timeout, nil)
	second.Take(lane.Release, timeout, nil)
	running[0].Done(true)
	assert.Equal(t, 1, table.Open(), "the goroutine of the dropped place is still to come")
	assert.False(t, await(&waiting[0]))
	assert.Zero(t, table.Open())
}

func TestReleaseIsQueuedBehindItsRunningAcquire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := lane.NewTable(1)
		trains, places, turns := queue(table, 2)
		release := trains[0].Take(lane.Release, timeout, nil)
		require.True(t, release[0].Taken())
		released := wait(&release[0])

		requireRuns(t, turns[0])
		requireWaits(t, released)
		places[0].Done(true)
		requireRuns(t, turns[1]) // it was there before the release
		requireWaits(t, released)
		places[1].Done(true)
		requireRuns(t, released)
		release[0].Done(true)
		assert.Zero(t, table.Open())
	})
}

func TestReleaseDropsAnExtensionThatWaitsAndIsSentItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := lane.NewTable(1)
		tr, other := table.NewSeries("r"), table.NewSeries("r")
		acquire := tr.Take(lane.Acquire, timeout, nil)
		acquire[0].Done(true)
		blocker := other.Take(lane.Acquire, timeout, nil)
		extend := tr.Take(lane.Follow, timeout, nil)
		require.True(t, extend[0].Taken())
		extended := wait(&extend[0])
		requireWaits(t, extended)

		release := tr.Take(lane.Release, timeout, nil)
		require.True(t, release[0].Taken())
		released := wait(&release[0])
		requireDropped(t, extended)
		requireWaits(t, released)
		blocker[0].Done(true)
		requireRuns(t, released)
		release[0].Done(true)
		assert.Zero(t, table.Open())
	})
}

func TestFollowIsBehindWhileItsTrainHasAnUnansweredCommandThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := lane.NewTable(2)
		tr, other := table.NewSeries("r"), table.NewSeries("r")
		blocker := other.Take(lane.Acquire, timeout, func(node int) bool { return node == 1 })
		acquire := tr.Take(lane.Acquire, timeout, nil)
		requireBehind := func(why string) {
			t.Helper()
			places := tr.Take(lane.Follow, timeout, nil)
			for node := range places {
				p := &places[node]
				require.Falsef(t, p.Taken(), "%s, node %d", why, node)
				require.Equalf(t, lane.Behind, p.Reason(), "%s, node %d", why, node)
			}
		}
		requireBehind("an acquire is unanswered, one runs, one waits")

		acquire[0].Done(true)
		extend := tr.Take(lane.Follow, timeout, nil)
		require.True(t, extend[0].Taken(), "nothing is unanswered on the first node")
		require.Equal(t, lane.Behind, extend[1].Reason())
		blocker[1].Done(true)
		requireBehind("an extension and an acquire are unanswered")

		extend[0].Done(false)
		requireRuns(t, wait(&acquire[1]))
		acquire[1].Done(true)
		extend = tr.Take(lane.Follow, timeout, nil)
		require.True(t, extend[0].Taken(), "a call that failed is over")
		require.True(t, extend[1].Taken())
		extend[0].Done(true)
		extend[1].Done(true)

		release := tr.Take(lane.Release, timeout, nil)
		requireBehind("a release is unanswered")
		release[0].Done(true)
		release[1].Done(true)
		assert.Zero(t, table.Open())
	})
}

func TestFollowIsQueuedBehindOtherTrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := lane.NewTable(1)
		tr, other := table.NewSeries("r"), table.NewSeries("r")
		acquire := tr.Take(lane.Acquire, timeout, nil)
		acquire[0].Done(true)
		blocker := other.Take(lane.Acquire, timeout, nil)
		extend := tr.Take(lane.Follow, timeout, nil)
		turn := wait(&extend[0])
		requireWaits(t, turn)
		blocker[0].Done(true)
		requireRuns(t, turn)
		extend[0].Done(true)
	})
}

func TestPendingReportsWhetherAnAnswerIsOwed(t *testing.T) {
	t.Parallel()
	table := lane.NewTable(2)
	tr := table.NewSeries("r")
	assert.False(t, tr.Pending())
	acquire := tr.Take(lane.Acquire, timeout, nil)
	assert.True(t, tr.Pending())
	acquire[1].Done(true)
	assert.True(t, tr.Pending())
	acquire[0].Done(false)
	assert.False(t, tr.Pending())

	first := table.NewSeries("q")
	running := first.Take(lane.Acquire, timeout, nil)
	second := table.NewSeries("q")
	waiting := second.Take(lane.Acquire, timeout, nil)
	assert.True(t, second.Pending(), "it waits to be sent")
	for i := range running {
		running[i].Done(true)
		require.True(t, await(&waiting[i]))
		waiting[i].Done(true)
	}
	assert.False(t, second.Pending())
}

func TestSecondReleaseIsQueuedBehindTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := lane.NewTable(1)
		tr := table.NewSeries("r")
		acquire := tr.Take(lane.Acquire, timeout, nil)
		acquire[0].Done(true)
		release := tr.Take(lane.Release, timeout, nil)
		again := tr.Take(lane.Release, timeout, nil)
		require.True(t, again[0].Taken())
		turn := wait(&again[0])
		requireWaits(t, turn)
		release[0].Done(false)
		requireRuns(t, turn)
		again[0].Done(true)
		assert.Zero(t, table.Open())
	})
}

func TestIdleClosesWhenNothingIsOpen(t *testing.T) {
	t.Parallel()
	table := lane.NewTable(2)
	requireClosed(t, table.Idle())

	tr := table.NewSeries("r")
	places := tr.Take(lane.Acquire, timeout, nil)
	assert.Equal(t, 2, table.Open())
	idle, too := table.Idle(), table.Idle()
	places[0].Done(true)
	requireOpen(t, idle)
	places[1].Done(false)
	requireClosed(t, idle)
	requireClosed(t, too)
	requireClosed(t, table.Idle())

	places = tr.Take(lane.Release, timeout, nil)
	requireOpen(t, table.Idle())
	places[0].Done(true)
	places[1].Done(true)
	requireClosed(t, table.Idle())
}

func TestIdleWaitsForTheGoroutineOfADroppedPlace(t *testing.T) {
	t.Parallel()
	table := lane.NewTable(1)
	first, second := table.NewSeries("r"), table.NewSeries("r")
	running := first.Take(lane.Acquire, timeout, nil)
	waiting := second.Take(lane.Acquire, timeout, nil)
	second.Take(lane.Release, timeout, nil)
	running[0].Done(true)
	idle := table.Idle()
	requireOpen(t, idle)
	require.False(t, await(&waiting[0]))
	requireClosed(t, idle)
}

func TestManyResourcesLeaveNoMemoryBehind(t *testing.T) {
	const resources = 50_000 // not parallel: others would disturb what it measures
	table := lane.NewTable(3)
	visit := func(from, to int) {
		for i := from; i < to; i++ {
			tr := table.NewSeries(fmt.Sprint("a resource with a long name, number ", i))
			for _, kind := range []lane.Kind{lane.Acquire, lane.Follow, lane.Release} {
				places := tr.Take(kind, timeout, nil)
				for node := range places {
					places[node].Done(true)
				}
			}
		}
	}
	visit(0, resources/10)
	before := heap()
	visit(resources/10, resources)
	assert.Zero(t, table.Open())
	// A row left in the table for each would be 10 MB.
	assert.Less(t, heap(), before+1<<20)
	runtime.KeepAlive(table)
}

func TestRowsAreReused(t *testing.T) {
	table := lane.NewTable(3)
	resources := []string{"r"}
	// A series' ends and the places it takes are new, the rest is not.
	assert.LessOrEqual(t, testing.AllocsPerRun(1000, func() {
		tr := table.NewSeries(resources...)
		places := tr.Take(lane.Acquire, timeout, nil)
		for node := range places {
			places[node].Done(true)
		}
	}), 3.0)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// queue has n trains take a place in one lane of a single node, and starts
// their goroutines, the last one first.
func queue(table *lane.Table, n int) (trains []*lane.Series, places []*lane.Place, turns []<-chan bool) {
	for range n {
		tr := table.NewSeries("r")
		trains = append(trains, &tr)
		places = append(places, &tr.Take(lane.Acquire, timeout, nil)[0])
	}
	turns = make([]<-chan bool, n)
	for i := n - 1; i >= 0; i-- {
		turns[i] = wait(places[i])
	}
	return trains, places, turns
}

// wait has a goroutine wait for the turn of p and returns where its answer goes.
func wait(p *lane.Place) <-chan bool {
	turn := make(chan bool, 1)
	go func() { turn <- await(p) }()
	return turn
}

// A turn is what a place was told. Whoever asks has it.
type turn struct {
	told chan struct{}
	send bool
}

func (w *turn) GiveUp() {}

func (w *turn) Due(send bool) {
	w.send = send
	close(w.told)
}

// turns are those of places that somebody waits for.
var turns sync.Map

// await waits for the turn of p and reports whether its command is to be sent.
func await(p *lane.Place) bool {
	w := &turn{told: make(chan struct{})}
	if other, waited := turns.LoadOrStore(p, w); waited {
		w = other.(*turn) //nolint:forcetypeassert // nothing else is there
	} else {
		p.Then(w)
	}
	<-w.told
	return w.send
}

// requireWaits demands, inside a bubble, that the turn has not come.
func requireWaits(t *testing.T, turn <-chan bool) {
	t.Helper()
	synctest.Wait()
	require.Empty(t, turn, "it has not waited")
}

func requireRuns(t *testing.T, turn <-chan bool) { t.Helper(); requireTurn(t, turn, true) }

func requireDropped(t *testing.T, turn <-chan bool) { t.Helper(); requireTurn(t, turn, false) }

func requireTurn(t *testing.T, turn <-chan bool, want bool) {
	t.Helper()
	synctest.Wait()
	select {
	case got := <-turn:
		require.Equal(t, want, got, "Due says whether to send it")
	default:
		require.Fail(t, "it still waits")
	}
}

func requireClosed(t *testing.T, idle <-chan struct{}) {
	t.Helper()
	select {
	case <-idle:
	default:
		require.Fail(t, "not idle")
	}
}

func requireOpen(t *testing.T, idle <-chan struct{}) {
	t.Helper()
	select {
	case <-idle:
		require.Fail(t, "idle while a place is open")
	default:
	}
}
