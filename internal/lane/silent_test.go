package lane_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/lane"
)

// A fleet of one node, in virtual time.
type fleet struct {
	table *lane.Table
	names int
}

func newFleet() *fleet { return &fleet{table: lane.NewTable(1)} }

// acquire takes a place for an acquire on a lane of its own.
func (f *fleet) acquire() (*lane.Series, *lane.Place) {
	f.names++
	return f.acquireOn(fmt.Sprint("resource", f.names))
}

func (f *fleet) acquireOn(resource string) (*lane.Series, *lane.Place) {
	tr := f.table.NewSeries(resource)
	return &tr, take(&tr, lane.Acquire)
}

func take(tr *lane.Series, kind lane.Kind) *lane.Place { return &tr.Take(kind, timeout, nil)[0] }

// silentFor asks for how long the node has been silent and takes no place.
func (f *fleet) silentFor() time.Duration {
	tr := f.table.NewSeries("r")
	return tr.Take(lane.Follow, timeout, func(int) bool { return false })[0].SilentFor()
}

// silence leaves one call unanswered for the node timeout, and returns it.
func (f *fleet) silence(t *testing.T) *lane.Place {
	t.Helper()
	_, p := f.acquire()
	time.Sleep(timeout)
	require.Equal(t, timeout, f.silentFor())
	return p
}

func requireTaken(t *testing.T, p *lane.Place) *lane.Place {
	t.Helper()
	require.True(t, p.Taken(), "refused for reason %d", p.Reason())
	return p
}

func requireFull(t *testing.T, p *lane.Place) {
	t.Helper()
	require.False(t, p.Taken())
	require.Equal(t, lane.Full, p.Reason())
	require.GreaterOrEqual(t, p.SilentFor(), timeout)
}

func TestNodeIsSilentOnceItOwesAnAnswerForTheNodeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		time.Sleep(time.Hour)
		assert.Zero(t, f.silentFor(), "nothing was asked")
		_, first := f.acquire()
		assert.Zero(t, first.SilentFor())
		time.Sleep(timeout - 1)
		assert.Zero(t, f.silentFor())
		_, second := f.acquire()
		assert.Zero(t, second.SilentFor())
		time.Sleep(time.Nanosecond)
		assert.Equal(t, timeout, f.silentFor())
		time.Sleep(time.Hour)
		_, third := f.acquire()
		assert.Equal(t, timeout+time.Hour, third.SilentFor())
	})
}

func TestNodeTimeoutIsThatOfTheCommandWhichAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.acquire()
		time.Sleep(timeout)
		tr := f.table.NewSeries("r")
		patient := tr.Take(lane.Acquire, 2*timeout, nil)
		assert.Zero(t, patient[0].SilentFor())
		_, hasty := f.acquire()
		assert.Equal(t, timeout, hasty.SilentFor())
	})
}

func TestSilentNodeTakes64FurtherCallsAndNoMore(t *testing.T) {
	for _, tt := range []struct {
		name string
		next func(f *fleet) (*lane.Series, *lane.Place)
	}{
		{"each in a lane of its own", (*fleet).acquire},
		{"all in one lane", func(f *fleet) (*lane.Series, *lane.Place) { return f.acquireOn("one") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				f.silence(t)
				require.Equal(t, 64, lane.Limit)
				for range lane.Limit {
					_, p := tt.next(f)
					requireTaken(t, p)
				}
				_, p := tt.next(f)
				requireFull(t, p)
				_, p = f.acquire()
				requireFull(t, p)
				assert.Equal(t, 1+lane.Limit, f.table.Open())
			})
		})
	}
}

func TestAcquireAndItsReleaseCountAsOneCallOfASilentNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.silence(t)
		var acquires, releases []*lane.Place
		for range lane.Limit {
			tr, p := f.acquire()
			acquires = append(acquires, requireTaken(t, p))
			releases = append(releases, requireTaken(t, take(tr, lane.Release)))
		}
		_, p := f.acquire()
		requireFull(t, p)

		acquires[0].Done(false)
		_, p = f.acquire()
		requireFull(t, p) // its release is still there
		require.True(t, await(releases[0]))
		releases[0].Done(false)
		_, p = f.acquire()
		requireTaken(t, p)
		_, p = f.acquire()
		requireFull(t, p)
	})
}

func TestSilentNodeTakesAnotherCallForEachThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.silence(t)
		var places []*lane.Place
		for range lane.Limit {
			_, p := f.acquire()
			places = append(places, requireTaken(t, p))
		}
		for range 10 {
			for i := range places {
				_, p := f.acquire()
				requireFull(t, p)
				places[i].Done(false)
				_, places[i] = f.acquire()
				requireTaken(t, places[i])
			}
		}
	})
}

func TestCallsFromBeforeTheSilenceAreNotFurtherOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		for range 10 * lane.Limit {
			_, p := f.acquire()
			requireTaken(t, p)
		}
		time.Sleep(timeout)
		for range lane.Limit {
			_, p := f.acquire()
			requireTaken(t, p)
		}
		_, p := f.acquire()
		requireFull(t, p)
	})
}

func TestSilentNodeIsNeverRefusedAReleaseOfWhatWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		var held, unanswered []*lane.Series
		for range 10 * lane.Limit {
			tr, p := f.acquire()
			p.Done(true)
			held = append(held, tr)
		}
		for range 10 * lane.Limit {
			tr, _ := f.acquire()
			unanswered = append(unanswered, tr)
		}
		time.Sleep(timeout)
		for range lane.Limit {
			f.acquire()
		}
		refused, p := f.acquire()
		requireFull(t, p)

		for _, tr := range append(held, unanswered...) {
			requireTaken(t, take(tr, lane.Release))
		}
		release := take(refused, lane.Release)
		require.False(t, release.Taken())
		require.Equal(t, lane.Unneeded, release.Reason())
	})
}

func TestFullNodeRefusesExtensionsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		tr, p := f.acquire()
		p.Done(true)
		f.silence(t)
		for range lane.Limit {
			f.acquire()
		}
		requireFull(t, take(tr, lane.Follow))
		requireTaken(t, take(tr, lane.Release))
	})
}

func TestDroppedAcquireMakesRoomOnASilentNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.silence(t)
		_, head := f.acquireOn("one")
		requireTaken(t, head)
		var waiting []*lane.Series
		for range lane.Limit - 1 {
			tr, p := f.acquireOn("one")
			requireTaken(t, p)
			wait(p)
			waiting = append(waiting, tr)
		}
		_, p := f.acquire()
		requireFull(t, p)
		for _, tr := range waiting {
			require.Equal(t, lane.Unneeded, take(tr, lane.Release).Reason())
		}
		for range lane.Limit - 1 {
			_, p := f.acquire()
			requireTaken(t, p)
		}
		_, p = f.acquire()
		requireFull(t, p)
	})
}

func TestOneAnswerEndsTheSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		first := f.silence(t)
		for range lane.Limit {
			f.acquire()
		}
		_, p := f.acquire()
		requireFull(t, p)
		first.Done(true)
		assert.Zero(t, f.silentFor())
		for range 10 * lane.Limit {
			_, p := f.acquire()
			requireTaken(t, p)
			assert.Zero(t, p.SilentFor())
		}
		// A further silence counts from the first call after that answer.
		time.Sleep(timeout - 1)
		assert.Zero(t, f.silentFor())
		time.Sleep(time.Nanosecond)
		assert.Equal(t, timeout, f.silentFor())
	})
}

func TestOnlyAnAnswerEndsASilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.silence(t).Done(false)
		require.Zero(t, f.table.Open())
		assert.Equal(t, timeout, f.silentFor())
		time.Sleep(time.Hour)
		_, p := f.acquire()
		assert.Equal(t, timeout+time.Hour, p.SilentFor())
		p.Done(false)
		assert.Equal(t, timeout+time.Hour, f.silentFor(), "failing early does not end it either")
		_, p = f.acquire()
		p.Done(true)
		assert.Zero(t, f.silentFor())
	})
}

func TestHealthyNodeHasNoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		for i := range 5000 {
			_, p := f.acquireOn(fmt.Sprint("resource", i%7))
			requireTaken(t, p)
		}
		assert.Equal(t, 5000, f.table.Open())
	})
}

func TestNodeThatWorksOffALongQueueIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		var places []*lane.Place
		for range 5000 {
			_, p := f.acquireOn("one")
			places = append(places, requireTaken(t, p))
		}
		for _, p := range places {
			require.True(t, await(p))
			time.Sleep(timeout - 1)
			require.Zero(t, f.silentFor())
			p.Done(true)
		}
		time.Sleep(time.Hour)
		assert.Zero(t, f.silentFor(), "nothing is owed")
	})
}

func TestNodeThatStopsInTheMiddleOfAQueueIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		_, first := f.acquireOn("one")
		f.acquireOn("one")
		time.Sleep(timeout / 2)
		first.Done(true)
		time.Sleep(timeout - 1)
		assert.Zero(t, f.silentFor())
		time.Sleep(time.Nanosecond)
		assert.Equal(t, timeout, f.silentFor())
	})
}

func TestOneLostAnswerDoesNotMakeANodeSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.acquire() // never answered
		for range 1000 {
			_, p := f.acquire()
			time.Sleep(timeout - 1)
			require.Zero(t, p.SilentFor())
			p.Done(true)
		}
		assert.Zero(t, f.silentFor())
	})
}

func TestCallThatFailsEarlyDoesNotMakeANodeSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		for range 1000 {
			_, p := f.acquire()
			requireTaken(t, p)
			time.Sleep(timeout - 1)
			p.Done(false)
			require.Zero(t, f.silentFor())
		}
		time.Sleep(time.Hour)
		assert.Zero(t, f.silentFor())
	})
}

func TestSilenceOfOneNodeIsNotThatOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := lane.NewTable(2)
		for i := range 2 * lane.Limit {
			tr := table.NewSeries(fmt.Sprint("resource", i))
			places := tr.Take(lane.Acquire, timeout, nil)
			places[1].Done(true)
			time.Sleep(timeout)
			assert.Zero(t, places[1].SilentFor())
			requireTaken(t, &places[1])
		}
		tr := table.NewSeries("r")
		places := tr.Take(lane.Acquire, timeout, nil)
		requireFull(t, &places[0])
		requireTaken(t, &places[1])
	})
}
