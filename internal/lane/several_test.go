package lane_test

import (
	"fmt"
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
			tr := table.NewTrain(resources...)
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
		a := table.NewTrain("a")
		first := take(&a, lane.Acquire)
		all := table.NewTrain("a", "b", "c")
		dropped := take(&all, lane.Acquire)
		var behind []*lane.Place
		for _, r := range []string{"a", "b", "c"} {
			tr := table.NewTrain(r)
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
			tr := f.table.NewTrain(resources...)
			require.True(t, take(&tr, lane.Acquire).Taken())
		}
		assert.Equal(t, 1+lane.Limit, f.table.Open())
		tr := f.table.NewTrain(resources...)
		assert.Equal(t, lane.Full, take(&tr, lane.Acquire).Reason())
	})
}
