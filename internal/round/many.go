package round

import (
	"github.com/b0401464/redlock/internal/script"
)

// A many is what a grant for several resources has beside one for a single one. It
// waits in no line, and lets the next one go in those of all its resources.
type many struct {
	resources []string
	last      []call // the release, by node: of one that keeps some of the lines, if it has arguments
}

// at returns the command for a node.
func (m *many) at(g *Grant, c *call, node int) *call {
	if c == &g.last && m.last != nil && m.last[node].args != nil {
		return &m.last[node]
	}
	return c
}

// leave prepares the releases at the gates, once.
func (m *many) leave(g *Grant) {
	f := g.fleet
	if f.lines == nil || m.last != nil {
		return
	}
	m.last = make([]call, f.Size())
	kept := make([][]string, f.Size())
	for _, resource := range m.resources {
		if node := f.Gate(resource); node != NoGate {
			kept[node] = append(kept[node], resource)
		}
	}
	for node, resources := range kept {
		if len(resources) > 0 {
			m.last[node] = m.release(g, node, resources)
		}
	}
}

// release returns the release for the gate of some of the resources.
func (m *many) release(g *Grant, node int, kept []string) call {
	f := g.fleet
	keys := appendKeys(make([]any, 0, len(m.resources)+2*len(kept)), kept)
	rest := kept
	for _, resource := range m.resources { // both are in the same order
		if len(rest) > 0 && rest[0] == resource {
			rest = rest[1:]
		} else {
			keys = append(keys, resource)
		}
	}
	for _, resource := range kept {
		line, reservation := script.Beside(resource, lineSuffix, reservationSuffix)
		keys = append(keys, line, reservation)
	}
	calls := 1
	if f.lines.gates[node].single {
		calls = maxCalls
	}
	return call{
		op: OpRelease, script: script.ReleaseGates, value: g.value, once: true, plain: &g.last,
		args: script.ReleaseGates.Args(keys, g.boxed, len(kept), calls, f.reservation(node).Milliseconds()),
	}
}

// maxCalls is how many of a line are called until one hears it.
const maxCalls = 16
