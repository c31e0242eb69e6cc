package waitqueue_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/waitqueue"
)

// Callers of one process play at random, and then nobody comes or gives up any more,
// and all that is held ends. Whoever still waits then must have been told if it may go.
func TestNobodyWhoMayGoWaitsUntold(t *testing.T) {
	const steps = 60
	for seed := range uint64(3000) {
		g := &game{rand: rand.New(rand.NewPCG(seed, 1)), callers: make([]caller, 6)} //nolint:gosec // a game to repeat
		for range steps {
			g.step(g.rand.IntN(len(g.callers)), false)
		}
		g.note("nobody comes any more")
		for rest := 1; g.round(); rest++ {
			require.Less(t, rest, 200, "seed %d: no end: %s", seed, &g.log)
		}
		for i := range g.callers {
			c := &g.callers[i]
			require.False(t, c.doing == waits && c.may(), "seed %d: caller %d may go, and was not told:%s", seed, i, &g.log)
		}
		for i := range g.callers {
			g.callers[i].leave()
		}
		require.Zero(t, g.table.Len(), "seed %d: lines are left:%s", seed, &g.log)
	}
}

// A game is some callers that lock "a", "b" or "c", or two of them at once.
type game struct {
	rand    *rand.Rand
	table   waitqueue.Table
	callers []caller
	log     strings.Builder
}

// A caller has one of both, unless it is away.
type caller struct {
	one   *waitqueue.Place
	all   *waitqueue.Group
	wants []string
	doing doing
}

type doing uint8

const (
	isAway doing = iota
	waits        // for its turn in the process
	asks         // the nodes
	rests        // between two attempts
	holds
)

func (g *game) note(format string, args ...any) { fmt.Fprintf(&g.log, "\n\t"+format, args...) }

// round has each caller do what is left to do. It reports whether somebody did anything.
func (g *game) round() bool {
	moved := false
	for i := range g.callers {
		moved = g.step(i, true) || moved
	}
	return moved
}

// step has a caller do something, if there is anything; at the end, what it does without
// being made to by chance.
func (g *game) step(i int, end bool) bool {
	c, chance := &g.callers[i], g.rand.IntN(6)
	before := c.doing
	moved := false
	switch {
	case c.doing == isAway:
		moved = !end && g.come(c, chance)
	case c.doing == holds:
		if moved = end || chance < 3; moved {
			c.end()
		}
	case c.doing == asks:
		moved = true
		g.answer(c, chance, end)
	case !end && chance == 0:
		moved = true
		c.leave()
	case c.doing == rests && !end && chance == 1:
		moved = true
		if c.doing = asks; !c.may() && c.all != nil { // one at the head asks by its own schedule
			c.doing = waits
		}
	case c.told():
		moved = true
		c.doing = asks
	}
	if moved {
		g.note("caller %d, %v: from %d to %d", i, c.wants, before, c.doing)
	}
	return moved
}

// come has a caller begin.
func (g *game) come(c *caller, chance int) bool {
	names := []string{"a", "b", "c"}
	g.rand.Shuffle(len(names), func(x, y int) { names[x], names[y] = names[y], names[x] })
	*c = caller{doing: waits, wants: names[:1]}
	switch {
	case chance < 3:
		c.all, c.wants = new(waitqueue.Group), names[:2]
		g.table.Watch(c.all, c.wants)
		if c.all.Ask() {
			c.doing = asks
		}
	case chance == 3: // by one attempt, for which nobody stands in line
		c.one, c.doing = new(waitqueue.Place), holds
		g.table.Hold(c.one, c.wants[0], nil)
	default:
		c.one = new(waitqueue.Place)
		if g.table.Join(c.one, c.wants[0], 1) {
			c.doing = asks
		}
	}
	return true
}

// answer has the nodes grant the lock or refuse it.
func (g *game) answer(c *caller, chance int, end bool) {
	if c.one != nil && g.rand.IntN(2) == 0 {
		c.one.Why() // it takes note of a call before it asks
	}
	switch granted := !end && chance < 2; {
	case granted && c.all != nil:
		g.table.HoldAll(c.all, c.wants, nil)
		c.doing = holds
	case granted:
		g.table.Hold(c.one, c.wants[0], nil)
		c.doing = holds
	case c.all != nil:
		c.all.Asked()
		c.doing = rests
	default:
		c.one.Tried()
		c.doing = rests
	}
	if c.doing == rests && !end && chance == 2 {
		c.leave()
	}
}

// may reports whether the caller may ask the nodes.
func (c *caller) may() bool {
	if c.all != nil {
		return c.all.Ask()
	}
	return c.one.MayGo()
}

// told reports whether a caller that waits or rests has been told, so that it asks.
func (c *caller) told() bool {
	switch {
	case c.all != nil && c.doing == waits:
		return told(c.all.Woken()) && c.all.Ask()
	case c.all != nil:
		return told(c.all.Woken()) && c.all.May()
	case c.doing == waits:
		return told(c.one.Woken()) && c.one.MayGo()
	default:
		return told(c.one.Woken()) && c.one.Why()&waitqueue.Turn != 0
	}
}

func (c *caller) end() {
	if c.all != nil {
		c.all.End()
	} else {
		c.one.End()
	}
	c.doing = isAway
}

// leave has the caller give up.
func (c *caller) leave() {
	switch {
	case c.doing == isAway:
	case c.all != nil:
		c.all.Leave()
	default:
		c.one.Leave()
	}
	c.doing = isAway
}
