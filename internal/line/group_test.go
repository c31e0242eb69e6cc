package line_test

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/line"
)

// told reports whether somebody has been told, and forgets it.
func told(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestAGroupIsToldOfEachLockThatEndsAndNotOfThoseThatAreLeft(t *testing.T) {
	var table line.Table
	var all line.Group
	var one, other line.Place
	table.Hold(&one, "a")
	table.Hold(&other, "a")
	table.Watch(&all, []string{"a", "b"})
	assert.False(t, told(all.Woken()))
	one.End()
	assert.False(t, told(all.Woken()), "the resource is held still")
	other.End()
	assert.True(t, told(all.Woken()))
	all.Leave()
	assert.Zero(t, table.Len())
}

func TestAMessageForAResourceThatOnlyAGroupWaitsForIsNobodys(t *testing.T) {
	var table line.Table
	var all, holder line.Group
	table.Watch(&all, []string{"a", "b"})
	assert.False(t, table.Call("a"), "the one whose turn it is does not stand in the line")
	table.HoldAll(&holder, []string{"b", "c"})
	assert.False(t, table.Call("a"))
	assert.False(t, table.Call("b"), "it is held, and nobody waits")
	var p line.Place
	require.True(t, table.Join(&p, "a", pace))
	assert.True(t, table.Call("a"))
	p.Leave()
	holder.End()
	all.Leave()
	all.Leave() // as after a lock
	assert.Zero(t, table.Len())
}

func TestALockOnSeveralKeepsTheHeadOfEachOfTheirLinesWaiting(t *testing.T) {
	var table line.Table
	var holder line.Group
	var a, b, c line.Place
	table.HoldAll(&holder, []string{"a", "b"})
	assert.False(t, table.Join(&a, "a", pace))
	assert.False(t, table.Join(&b, "b", pace))
	assert.True(t, table.Join(&c, "c", pace))
	holder.End()
	for _, p := range []*line.Place{&a, &b} {
		assert.True(t, told(p.Woken()))
		assert.True(t, p.MayGo())
		p.Leave()
	}
	c.Leave()
	assert.Zero(t, table.Len())
}

func TestGroupsAndPlacesLeaveNothingBehind(t *testing.T) {
	var table line.Table
	var wg sync.WaitGroup
	for seed := range uint64(8) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, 3)) //nolint:gosec // repeatable on purpose
			for range 1000 {
				var resources []string
				for _, i := range random.Perm(4)[:1+random.IntN(3)] {
					resources = append(resources, strconv.Itoa(i))
				}
				switch random.IntN(4) {
				case 0:
					var p line.Place
					table.Join(&p, resources[0], pace)
					p.Leave()
				case 1:
					var p line.Place
					table.Join(&p, resources[0], pace)
					table.Hold(&p, resources[0])
					p.End()
				case 2:
					var g line.Group
					table.Watch(&g, resources)
					g.Leave()
				default:
					var g line.Group
					table.Watch(&g, resources)
					table.HoldAll(&g, resources)
					g.End()
					g.Leave()
				}
			}
		})
	}
	wg.Wait()
	assert.Zero(t, table.Len())
}
