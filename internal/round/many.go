package round

import (
	"context"
	"slices"
	"time"

	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/script"
)

// Clash returns two of some resources of which the second is a key that is kept beside
// the first: its counter, its line or the reservation. Both in one lock would spoil
// each other. The list is sorted.
func Clash(resources []string) (resource, key string, found bool) {
	if !slices.ContainsFunc(resources, script.Reserved) {
		return "", "", false
	}
	for _, resource := range resources {
		if !script.Tags(resource) {
			continue
		}
		line, reservation := script.Beside(resource, lineSuffix, reservationSuffix)
		for _, key := range []string{line, reservation, script.Counter(resource)} {
			if _, found := slices.BinarySearch(resources, key); found {
				return resource, key, true
			}
		}
	}
	return "", "", false
}

// A many is what a grant for several resources has beside one for a single one. It
// waits in no line, but lets the next one go in those of all its resources, and may
// yield to those that are called.
type many struct {
	resources []string
	yields    bool
	kept      [][]string // by node: the resources whose lines it keeps
	// By node, if it keeps some lines: the acquire, if it yields, and the release.
	first, last []call
}

// at returns the command for a node.
func (m *many) at(g *Grant, c *call, node int) *call {
	var calls []call
	switch c { // the release is prepared while acquires are under way
	case &g.first:
		calls = m.first
	case &g.last:
		calls = m.last
	}
	if calls == nil || calls[node].args == nil {
		return c
	}
	return &calls[node]
}

// spread notes which node keeps the line of which resource.
func (m *many) spread(f *Fleet) {
	if m.kept != nil {
		return
	}
	m.kept = make([][]string, f.Size())
	for _, resource := range m.resources {
		if node := f.Gate(resource); node != NoGate {
			m.kept[node] = append(m.kept[node], resource)
		}
	}
}

// each returns the command that make makes for each node that keeps some lines.
func (m *many) each(f *Fleet, build func(node int, kept []string) call) []call {
	m.spread(f)
	calls := make([]call, f.Size())
	for node, kept := range m.kept {
		if len(kept) > 0 {
			calls[node] = build(node, kept)
		}
	}
	return calls
}

// keysFor returns the resources, those first whose lines a node keeps, with room for
// so many other keys.
func (m *many) keysFor(kept []string, room int) []any {
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

// enter prepares the acquires at the gates, which refuse what is reserved for
// another Locker.
func (m *many) enter(g *Grant) {
	f := g.fleet
	if f.lines == nil {
		return
	}
	m.yields = true
	m.first = m.each(f, func(_ int, kept []string) call {
		n := len(m.resources)
		keys := m.keysFor(kept, len(kept)+n)
		for _, resource := range kept {
			_, reservation := script.Beside(resource, lineSuffix, reservationSuffix)
			keys = append(keys, reservation)
		}
		c := call{
			op: OpAcquire, script: script.AcquireGates, plain: &g.first, once: true,
			args: script.AcquireGates.Args(keys, g.boxed, g.ttl, f.lines.self, n, len(kept)),
		}
		if t := g.fence; t != nil {
			keys = append(keys, t.keys[n:]...)
			c.script, c.reply = script.AcquireGatesFenced, counts
			c.args = script.AcquireGatesFenced.Args(keys, g.boxed, g.ttl, f.lines.self, n, len(kept), t.proposal, t.keep)
		}
		return c
	})
}

// leave prepares the releases at the gates, once.
func (m *many) leave(g *Grant) {
	f := g.fleet
	if f.lines == nil || m.last != nil {
		return
	}
	m.last = m.each(f, func(node int, kept []string) call {
		keys := m.keysFor(kept, 2*len(kept))
		for _, resource := range kept {
			line, reservation := script.Beside(resource, lineSuffix, reservationSuffix)
			keys = append(keys, line, reservation)
		}
		calls := 1
		if f.lines.gates[node].single {
			calls = maxCalls
		}
		return call{
			op: OpRelease, script: script.ReleaseGates, once: true, plain: &g.last,
			args: script.ReleaseGates.Args(keys, g.boxed, len(kept), calls, f.reservation(node).Milliseconds()),
		}
	})
}

// maxCalls is how many of a line are called until one hears it.
const maxCalls = 16

// parted passes on what a gate has said to the release.
func (m *many) parted(f *Fleet, node int, told []any) {
	for i, resource := range m.kept[node] {
		f.hooks.Next(resource, slices.Contains(told, any(int64(i+1))))
	}
}

// awaits reports whether a node that keeps some of the lines has yet to answer, and is
// worth waiting for.
func (a *attempt) awaits(node int) bool {
	s := a.seat(node)
	return len(a.grant.many.kept[node]) > 0 && s.asked && !s.voted && s.silentFor == 0 && !a.fleet.Slow(node)
}

// yield waits a little for the gates that have not answered when a majority has
// granted: the one of them that has called somebody says so.
func (a *attempt) yield(ctx context.Context, left time.Duration) quorum.Outcome {
	patience := time.Duration(0)
	waits := func() bool {
		late := false
		for node := range a.grant.many.kept {
			if a.awaits(node) {
				late = true
				patience = max(patience, a.fleet.patience(node, a.limits.Timeout))
			}
		}
		return late
	}
	if !waits() {
		return quorum.Acquired
	}
	over := false
	_, inTime := a.collect(ctx, min(patience, left), a.count, func(int, int) quorum.Outcome {
		if waits() {
			return quorum.Undecided
		}
		over = true
		return quorum.Acquired
	})
	switch {
	case inTime && !over:
		return quorum.Undecided // ctx or Stop has ended it
	case !inTime && patience <= left:
		for node := range a.grant.many.kept {
			if a.awaits(node) {
				a.fleet.lag(node)
			}
		}
	}
	return quorum.Acquired
}
