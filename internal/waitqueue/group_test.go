package waitqueue_test

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/waitqueue"
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

func TestAGroupMayAskWhenNoneOfItsResourcesIsHeld(t *testing.T) {
	var table waitqueue.Table
	var all waitqueue.Group
	var one, other waitqueue.Place
	table.Hold(&one, "a", nil)
	table.Hold(&other, "a", nil)
	table.Watch(&all, []string{"a", "b"})
	assert.False(t, all.Ask())
	one.End()
	assert.False(t, told(all.Woken()), "the resource is held still")
	other.End()
	assert.True(t, told(all.Woken()))
	assert.True(t, all.May())
	assert.True(t, all.Ask())
	all.Leave()
	assert.Zero(t, table.Len())
}

func TestGroupsThatOverlapAskOneAfterTheOther(t *testing.T) {
	var table waitqueue.Table
	var first, second, third, apart waitqueue.Group
	table.Watch(&first, []string{"a", "b"})
	table.Watch(&second, []string{"a", "c"})
	table.Watch(&third, []string{"a", "b"})
	table.Watch(&apart, []string{"x", "y"})
	assert.True(t, first.Ask())
	assert.False(t, second.Ask())
	assert.False(t, third.Ask())
	assert.True(t, apart.Ask())
	first.Asked()
	assert.False(t, first.Ask(), "the others are due for longer")
	assert.True(t, second.May())
	assert.True(t, told(second.Woken()))
	assert.False(t, third.May())
	second.Leave() // without having asked
	assert.True(t, third.May())
	assert.False(t, first.May())
	table.HoldAll(&third, []string{"a", "b"}, nil)
	assert.False(t, first.Ask())
	third.End()
	assert.True(t, first.May())
	for _, g := range []*waitqueue.Group{&first, &apart} {
		g.Leave()
	}
	assert.Zero(t, table.Len())
}

// What else a group wants may be held by another process, all the time.
func TestLocksThatComeAndGoHaveAGroupAskOnceUntilItIsDue(t *testing.T) {
	var table waitqueue.Table
	var all waitqueue.Group
	table.Watch(&all, []string{"a", "b"})
	asked := 0
	for range 3 {
		assert.True(t, all.Ask())
		all.Asked()
		for range 5 {
			var p waitqueue.Place
			table.Hold(&p, "a", nil)
			p.End()
			if all.May() {
				asked++
				all.Asked()
			}
		}
	}
	assert.Equal(t, 3, asked)
	all.Leave()
	assert.Zero(t, table.Len())
}

func TestAGroupThatIsRefusedBecauseOfALockThatHasEndedMeanwhileAsksAgain(t *testing.T) {
	var table waitqueue.Table
	var all waitqueue.Group
	var p waitqueue.Place
	table.Watch(&all, []string{"a", "b"})
	assert.True(t, all.Ask())
	table.Hold(&p, "a", nil) // its attempt was under way before
	p.End()
	assert.False(t, told(all.Woken()), "it asks already")
	all.Asked()
	assert.True(t, all.May())
	assert.True(t, told(all.Woken()))
	all.Leave()
	assert.Zero(t, table.Len())
}

func TestAGroupAndTheHeadOfALineTakeTurns(t *testing.T) {
	var table waitqueue.Table
	var all waitqueue.Group
	var holder, head waitqueue.Place
	table.Hold(&holder, "a", nil)
	table.Watch(&all, []string{"a", "b"})
	assert.False(t, all.Ask())
	assert.False(t, table.Join(&head, "a", pace))
	holder.End()
	assert.True(t, all.May())
	assert.False(t, told(head.Woken()), "the group asks first")
	table.HoldAll(&all, []string{"a", "b"}, nil)
	assert.False(t, head.MayGo())
	var next waitqueue.Group
	table.Watch(&next, []string{"a", "c"})
	assert.False(t, next.Ask())
	all.End()
	assert.True(t, told(head.Woken()))
	assert.True(t, head.MayGo(), "a group has asked before")
	assert.False(t, next.May())
	head.Tried()
	assert.True(t, next.May())
	next.Leave()

	table.Watch(&next, []string{"a", "c"})
	assert.True(t, next.Ask())
	assert.True(t, head.MayGo(), "what the group wants beside may be held elsewhere")
	next.Asked()
	assert.True(t, next.Ask())
	head.Leave()
	next.Asked()
	assert.True(t, next.Ask())
	next.Asked()
	assert.False(t, next.May())
	table.Join(&head, "a", pace)
	head.Leave()
	next.Leave()
	assert.Zero(t, table.Len())
}

// The head is favoured, a lock without a place comes and goes, and the head is refused.
func TestAGroupIsToldWhenAFavouredHeadHasAskedThoughALockHasEndedMeanwhile(t *testing.T) {
	var table waitqueue.Table
	var first, second waitqueue.Group
	var holder, head, try waitqueue.Place
	table.Watch(&first, []string{"a", "x"})
	assert.True(t, first.Ask())
	table.Hold(&holder, "a", nil)
	assert.False(t, table.Join(&head, "a", pace))
	holder.End()
	first.Asked() // the head is favoured
	first.Leave()
	table.Watch(&second, []string{"a", "b"})
	assert.False(t, second.Ask())
	table.Hold(&try, "a", nil)
	try.End()
	head.Tried()
	assert.True(t, second.May(), "nobody holds, asks or is favoured")
	second.Leave()
	head.Leave()
	assert.Zero(t, table.Len())
}

func TestAMessageForAResourceThatOnlyAGroupWaitsForIsNobodys(t *testing.T) {
	var table waitqueue.Table
	var all, holder waitqueue.Group
	table.Watch(&all, []string{"a", "b"})
	assert.False(t, table.Call("a"), "the one whose turn it is does not stand in the line")
	table.HoldAll(&holder, []string{"b", "c"}, nil)
	assert.False(t, table.Call("a"))
	assert.False(t, table.Call("b"), "it is held, and nobody waits")
	var p waitqueue.Place
	require.True(t, table.Join(&p, "a", pace))
	assert.True(t, table.Call("a"))
	p.Leave()
	holder.End()
	all.Leave()
	all.Leave() // as after a lock
	assert.Zero(t, table.Len())
}

func TestALockOnSeveralKeepsTheHeadOfEachOfTheirLinesWaiting(t *testing.T) {
	var table waitqueue.Table
	var holder waitqueue.Group
	var a, b, c waitqueue.Place
	table.HoldAll(&holder, []string{"a", "b"}, nil)
	assert.False(t, table.Join(&a, "a", pace))
	assert.False(t, table.Join(&b, "b", pace))
	assert.True(t, table.Join(&c, "c", pace))
	holder.End()
	for _, p := range []*waitqueue.Place{&a, &b} {
		assert.True(t, told(p.Woken()))
		assert.True(t, p.MayGo())
		p.Leave()
	}
	c.Leave()
	assert.Zero(t, table.Len())
}

func TestGroupsAndPlacesLeaveNothingBehind(t *testing.T) {
	var table waitqueue.Table
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
					var p waitqueue.Place
					table.Join(&p, resources[0], pace)
					p.Leave()
				case 1:
					var p waitqueue.Place
					table.Join(&p, resources[0], pace)
					table.Hold(&p, resources[0], nil)
					p.End()
				case 2:
					var g waitqueue.Group
					table.Watch(&g, resources)
					g.Leave()
				default:
					var g waitqueue.Group
					table.Watch(&g, resources)
					table.HoldAll(&g, resources, nil)
					g.End()
					g.Leave()
				}
			}
		})
	}
	wg.Wait()
	assert.Zero(t, table.Len())
}
