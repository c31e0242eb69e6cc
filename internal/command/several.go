package command

import (
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/script"
)

// A several is what a set for several resources has beside. They wait in no line, but let
// the next one go in those of all of them, and may yield to those that are called.
type several struct {
	resources []string
	kept      [][]string // by node: the resources whose lines it keeps
	// By node, if it keeps some lines: the acquire, if it yields, and the release.
	acquire, release []node.Command
}

// MaxCalls is how many of a line are called until one hears it.
const MaxCalls = 16

// Keeps notes which node keeps the line of which resource, by gate, which returns a negative
// number for none.
func (s *Set) Keeps(nodes int, gate func(resource string) int) {
	m := s.several
	if m.kept != nil {
		return
	}
	m.kept = make([][]string, nodes)
	for _, resource := range m.resources {
		if i := gate(resource); i >= 0 {
			m.kept[i] = append(m.kept[i], resource)
		}
	}
}

// Several reports whether the value is for several resources.
func (s *Set) Several() bool { return s.several != nil }

// Kept returns the resources whose lines a node keeps, of several.
func (s *Set) Kept(i int) []string { return s.several.kept[i] }

// each returns the command that build makes for each node that keeps some lines.
func (m *several) each(build func(i int, kept []string) node.Command) []node.Command {
	commands := make([]node.Command, len(m.kept))
	for i, kept := range m.kept {
		if len(kept) > 0 {
			commands[i] = build(i, kept)
		}
	}
	return commands
}

// keysFor returns the resources, those first whose lines a node keeps, with room for
// so many other keys.
func (m *several) keysFor(kept []string, room int) []any {
	keys := appendKeys(make([]any, 0, len(m.resources)+room), kept)
	for _, resource := range m.resources { // both are in the same order
		if len(kept) > 0 && kept[0] == resource {
			kept = kept[1:]
		} else {
			keys = append(keys, resource)
		}
	}
	return keys
}

// EnterAll prepares the acquires at the gates of several, after Acquires and Keeps. They
// refuse what is reserved for another Locker.
func (s *Set) EnterAll(self any) {
	m := s.several
	m.acquire = m.each(func(_ int, kept []string) node.Command {
		n := len(m.resources)
		keys := m.keysFor(kept, len(kept)+n)
		for _, resource := range kept {
			_, reservation := script.Line(resource)
			keys = append(keys, reservation)
		}
		c := node.Command{
			Op: node.OpAcquire, Script: script.AcquireGates, Plain: &s.acquire, Once: true, TTL: s.acquire.TTL,
			Args: script.AcquireGates.Args(keys, s.value, s.ttl, self, n, len(kept)),
		}
		if t := s.fence; t != nil {
			keys = append(keys, t.keys[n:]...)
			c.Script, c.Reply = script.AcquireGatesFenced, node.Counts
			c.Args = script.AcquireGatesFenced.Args(keys, s.value, s.ttl, self, n, len(kept), t.proposal, t.keep)
		}
		s.quarantine(&c)
		return c
	})
}

// LeaveAll prepares the releases at the gates of several, after Keeps.
func (s *Set) LeaveAll(nodes []*node.Node) {
	m := s.several
	m.release = m.each(func(i int, kept []string) node.Command {
		keys := m.keysFor(kept, 2*len(kept))
		for _, resource := range kept {
			line, reservation := script.Line(resource)
			keys = append(keys, line, reservation)
		}
		calls := 1
		if nodes[i].Single() {
			calls = MaxCalls
		}
		return node.Command{
			Op: node.OpRelease, Script: script.ReleaseGates, Once: true, Plain: &s.release,
			Args: script.ReleaseGates.Args(keys, s.value, len(kept), calls, nodes[i].Reservation().Milliseconds()),
		}
	})
}

// LeavesAll reports whether the releases at the gates of several are prepared.
func (s *Set) LeavesAll() bool { return s.several.release != nil }
