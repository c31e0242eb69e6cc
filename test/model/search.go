package model

import (
	"fmt"
	"slices"
	"strings"
)

// A Result is what a search has found.
type Result struct {
	States int
	// Broken is the promise that is broken first, and Trace the fewest steps that
	// lead there; empty if none is.
	Broken string
	Trace  []string
	// What the search has come across, as one that meets nothing proves nothing.
	Grants, Raises, Repeats, Armed, Extended int
}

// Search goes through all states, the nearest first, until a promise is broken.
func Search(cfg Config) Result {
	s := search{cfg: &cfg, table: make([]uint32, 1<<16)}
	for _, first := range initial(&cfg) {
		s.add(pack(&first, cfg.Clients), 0)
	}
	for i := 0; i < len(s.keys) && s.result.Broken == ""; i++ {
		s.expand(i)
	}
	s.result.States = len(s.keys)
	return s.result
}

// A search keeps the states it has seen in the order in which it met them, which
// is also the queue, and an open hash table of their positions.
type search struct {
	cfg    *Config
	keys   []key
	from   []uint32 // by state: the one it was met from, plus one; 0 for a first one
	table  []uint32 // positions plus one; 0 is free
	result Result
}

func (s *search) expand(i int) {
	now := s.keys[i].unpack()
	p := stepper{cfg: s.cfg, visit: func(next *state, _ func() string, broken string) {
		s.count(&now, next)
		s.cfg.tidy(next)
		s.add(pack(next, s.cfg.Clients), uint32(i)+1) //nolint:gosec // fewer than 2^32
		if broken != "" && s.result.Broken == "" {
			s.explain(i)
		}
	}}
	p.steps(&now)
}

// explain notes that a promise is broken one step after the state at i.
func (s *search) explain(i int) {
	r := &s.result
	trace, now := s.trace(i)
	p := stepper{cfg: s.cfg, visit: func(_ *state, what func() string, broken string) {
		if broken != "" && r.Broken == "" {
			trace = append(trace, what())
			r.Broken, r.Trace = broken, trace
		}
	}}
	p.steps(&now)
}

// count counts what a step has done.
func (s *search) count(now, next *state) {
	r := &s.result
	if next.copies < now.copies {
		r.Repeats++
	}
	for c := range s.cfg.Clients {
		if next.clients[c].phase == holding && now.clients[c].phase == trying {
			r.Grants++
		}
		if next.clients[c].extended && !now.clients[c].extended {
			r.Extended++
		}
		for n := range Nodes {
			was, is := &now.nodes[n].links[c], &next.nodes[n].links[c]
			if is.step == raised && was.step == raising {
				r.Raises++
			}
			if now.nodes[n].owner == nobody && next.nodes[n].owner == owner(c) && was.step == is.step && next.copies == now.copies {
				r.Armed++
			}
		}
	}
}

// add notes a state unless it is known.
func (s *search) add(k key, from uint32) {
	if 2*len(s.keys) >= len(s.table) {
		s.table = make([]uint32, 4*len(s.table))
		for i, old := range s.keys {
			s.table[s.slot(old)] = uint32(i) + 1
		}
	}
	slot := s.slot(k)
	if s.table[slot] != 0 {
		return
	}
	s.keys, s.from = append(s.keys, k), append(s.from, from)
	s.table[slot] = uint32(len(s.keys)) //nolint:gosec // as above
}

// slot returns where a state is in the table, or where it belongs.
func (s *search) slot(k key) int {
	mask := len(s.table) - 1
	for at := int(k.hash()) & mask; ; at = (at + 1) & mask { //nolint:gosec // cut to the table
		if found := s.table[at]; found == 0 || s.keys[found-1] == k {
			return at
		}
	}
}

// trace returns the steps from a first state to the one at i, and that one as it is
// called then: the states that were kept have lost the names of nodes and clients.
func (s *search) trace(i int) (steps []string, last state) {
	var path []int
	for ; ; i = int(s.from[i]) - 1 {
		path = append(path, i)
		if s.from[i] == 0 {
			break
		}
	}
	slices.Reverse(path)
	now := s.keys[path[0]].unpack()
	steps = append(steps, now.String())
	for _, at := range path[1:] {
		var reached state
		var text string
		p := stepper{cfg: s.cfg, visit: func(next *state, what func() string, _ string) {
			tidied := *next
			s.cfg.tidy(&tidied)
			if text == "" && pack(&tidied, s.cfg.Clients) == s.keys[at] {
				text, reached = what(), tidied
			}
		}}
		p.steps(&now)
		steps, now = append(steps, text+"\n      "+reached.String()), reached
	}
	return steps, now
}

// String returns a state in one line.
func (s *state) String() string {
	var b strings.Builder
	for n := range s.nodes {
		at := &s.nodes[n]
		of := fmt.Sprintf("client %d's", int(at.owner)-1)
		switch at.owner {
		case nobody:
			of = "free"
		case orphaned:
			of = "of an attempt given up"
		}
		fmt.Fprintf(&b, "node %d: %d, %s; ", n, at.counter, of)
	}
	for c := range s.clients {
		switch at := &s.clients[c]; at.phase {
		case trying:
			fmt.Fprintf(&b, "client %d is trying; ", c)
		case holding:
			fmt.Fprintf(&b, "client %d holds token %d; ", c, at.token)
		default: // nothing to tell
		}
	}
	return strings.TrimSuffix(b.String(), "; ")
}
