package round

import (
	"cmp"

	"github.com/b0401464/redlock/internal/node"
)

// A stray is what a gate has refused a grant in favour of. Where a majority has granted, it
// is no lock: somebody whose turn it is, who asks, or something that is left over.
type stray struct {
	gate int
	mark string
}

// win notes that a majority has granted.
func (g *Grant) win() {
	g.mu.Lock()
	g.won = true
	strays := g.strays
	g.mu.Unlock()
	for _, s := range strays {
		g.report(s)
	}
}

// refusedAt notes what a node has refused in favour of, if it keeps a line, and when it says
// that this Locker came to that. Its answer may come after the attempt.
func (g *Grant) refusedAt(i int, d *node.Details) {
	if g.nodes.lines == nil || g.gate == nil && !g.commands.Several() || g.gate != nil && g.gate.node != i {
		return
	}
	s := stray{i, d.Mark}
	g.mu.Lock()
	g.strays = append(g.strays, s)
	if g.gate != nil {
		g.gate.told = cmp.Or(d.Came, g.gate.told)
	}
	won := g.won
	g.mu.Unlock()
	if won {
		g.report(s)
	}
}

// stray returns the mark of what the gate has refused the only resource in favour of at
// last, or nothing.
func (g *Grant) stray() string {
	if n := len(g.strays); n > 0 {
		return g.strays[n-1].mark
	}
	return ""
}

// report passes a stray on.
func (g *Grant) report(s stray) {
	if s.mark == emptyMark {
		return
	}
	for _, resource := range g.series.Resources() {
		switch {
		case g.nodes.Gate(resource) != s.gate:
		case s.mark == node.ReservedMark:
			g.nodes.hooks.Next(resource, true)
		default:
			g.nodes.hooks.Stray(resource, s.mark)
		}
	}
}

// strays reports whether one of the gates has refused several resources that a majority has
// granted.
func (a *attempt) strays() bool {
	for _, r := range a.refusals {
		if len(a.grant.commands.Kept(r.node)) > 0 {
			return true
		}
	}
	return false
}
