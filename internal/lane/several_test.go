package lane_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/lane"
)

// goesOn reports whether a place is due by now.
func goesOn(p *lane.Place) bool {
	turn := wait(p)
	synctest.Wait()
	return len(turn) > 0
}

func TestACommandForSeveralResourcesIsDueWhenItIsTheFirstInAllTheirLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := lane.NewTable(1)
		acquire := func(resources ...string) *lane.Place {
			tr := table.NewSeries(resources...)
			return take(&tr, lane.Acquire)
		}
		a, c := acquire("a"), acquire("c")
		all := acquire("a", "b", "c")
		b, d := acquire("b"), acquire("d")
		after := acquire("b", "d")

		assert.True(t, goesOn(a))
		assert.True(t, goesOn(c))
		assert.True(t, goesOn(d), "shares nothing with those before it")
		c.Done(true)
		d.Done(true)
		assert.False(t, goesOn(all), "is behind another one in one lane")
		assert.False(t, goesOn(b), "has overtaken one that waits in another lane")
		a.Done(true)
		assert.True(t, goesOn(all))
		assert.False(t, goesOn(b))
		all.Done(true)
		assert.True(t, goesOn(b))
		assert.False(t, goesOn(after))
		b.Done(true)
		assert.True(t, goesOn(after))
		after.Done(true)
		assert.Zero(t, table.Open())
	})
}

func TestADroppedCommandForSeveralResourcesFreesAllTheirLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := lane.NewTable(1)
		a := table.NewSeries("a")
		first := take(&a, lane.Acquire)
		all := table.NewSeries("a", "b", "c")
		dropped := take(&all, lane.Acquire)
		var behind []*lane.Place
		for _, r := range []string{"a", "b", "c"} {
			tr := table.NewSeries(r)
			behind = append(behind, take(&tr, lane.Acquire))
		}
		require.Equal(t, lane.Unneeded, take(&all, lane.Release).Reason())
		assert.False(t, await(dropped))
		assert.False(t, goesOn(behind[0]), "the command before the dropped one is not done")
		assert.True(t, goesOn(behind[1]))
		assert.True(t, goesOn(behind[2]))
		first.Done(true)
		for _, p := range behind {
			assert.True(t, goesOn(p))
			p.Done(true)
		}
		assert.Zero(t, table.Open())
	})
}

func TestACommandForSeveralResourcesCountsOnceTowardsTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		resources := make([]string, 100)
		for i := range resources {
			resources[i] = fmt.Sprint("r", i)
		}
		f.silence(t)
		for range lane.Limit {
			tr := f.table.NewSeries(resources...)
			require.True(t, take(&tr, lane.Acquire).Taken())
		}
		assert.Equal(t, 1+lane.Limit, f.table.Open())
		tr := f.table.NewSeries(resources...)
		assert.Equal(t, lane.Full, take(&tr, lane.Acquire).Reason())
	})
}

func TestAPlaceThatAnotherOneHasFollowedIsOverWithoutIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := lane.NewTable(1)
		tr := table.NewSeries("r")
		acquire := take(&tr, lane.Acquire)
		release := take(&tr, lane.Release)
		assert.False(t, goesOn(release))
		acquire.Done(true)
		assert.True(t, goesOn(release))
		assert.True(t, tr.Pending(), "the release is under way")
		assert.Equal(t, lane.Behind, take(&tr, lane.Follow).Reason())
		release.Done(true)
		assert.False(t, tr.Pending())
	})
}

// A guarded waiter needs a lock to be told.
type guarded struct {
	mu   *sync.Mutex
	told chan bool
}

func (g guarded) GiveUp() {}

func (g guarded) Due(send bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.told <- send
}

func TestWhoReleasesUnderALockOfItsOwnMayDropWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := lane.NewTable(1)
		first, both, last := table.NewSeries("a"), table.NewSeries("a", "b"), table.NewSeries("b")
		blocker, dropped, due := take(&first, lane.Acquire), take(&both, lane.Acquire), take(&last, lane.Acquire)
		var mu sync.Mutex
		w, next := guarded{&mu, make(chan bool, 1)}, guarded{&mu, make(chan bool, 1)}
		dropped.Then(w)
		due.Then(next)
		mu.Lock()
		require.Equal(t, lane.Unneeded, take(&both, lane.Release).Reason())
		mu.Unlock()
		synctest.Wait()
		assert.False(t, <-w.told)
		assert.True(t, <-next.told)
		blocker.Done(true)
		due.Done(true)
		assert.Zero(t, table.Open())
	})
}
