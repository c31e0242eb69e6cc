package linearize

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// fencedPrefix begins the names of resources that are locked with tokens, always.
const fencedPrefix = "fenced"

// A History is what workers have written down, by locks and by calls.
type History struct {
	Nodes    int
	Sections []*Section // in the order in which they were asked for
	Calls    []*Call
	Faults   []Fault // of the whole run

	known map[string]*Section // all of the run, whatever is left of them here
}

// A Fault is one that is over.
type Fault struct {
	Name     string
	From, To int64 // of CLOCK_MONOTONIC
}

// A Section is one lock, from the call that asks for it to what was told of it last.
type Section struct {
	Asked  Event
	Ended  *Event // Granted or Failed; nil if the worker was killed before it knew
	Events []Event
}

// A Call is one of Inspect or Break.
type Call struct {
	Asked Event
	Told  *Event // nil if the worker was killed before it knew
}

// granted reports whether a lock was returned, as far as anybody was told.
func (s *Section) granted() bool { return s.Ended != nil && s.Ended.What == Granted }

// NewHistory returns the history of events, of which those with one ID are in order.
func NewHistory(nodes int, events []Event) (*History, error) {
	h := &History{Nodes: nodes}
	sections, calls := make(map[string]*Section), make(map[string]*Call)
	h.known = sections
	for _, e := range events {
		s, c := sections[e.ID], calls[e.ID]
		switch e.What {
		case Asked:
			s = &Section{Asked: e}
			sections[e.ID] = s
			h.Sections = append(h.Sections, s)
			continue
		case Inspect, Break:
			c = &Call{Asked: e}
			calls[e.ID] = c
			h.Calls = append(h.Calls, c)
			continue
		case Added:
			continue // is no call of the library
		default:
		}
		switch {
		case c != nil:
			c.Told = &e
		case s == nil:
			return nil, fmt.Errorf("nobody has asked for %s, of which is told: %+v", e.ID, e)
		case s.Ended == nil:
			s.Ended = &e
		default:
			s.Events = append(s.Events, e)
		}
	}
	slices.SortStableFunc(h.Sections, func(a, b *Section) int { return cmp.Compare(a.Asked.T, b.Asked.T) })
	slices.SortStableFunc(h.Calls, func(a, b *Call) int { return cmp.Compare(a.Asked.T, b.Asked.T) })
	return h, nil
}

// of returns the part of the history that is about one resource.
func (h *History) of(resource string) *History {
	part := h.with(nil, nil)
	for _, s := range h.Sections {
		if s.Asked.Resource == resource {
			part.Sections = append(part.Sections, s)
		}
	}
	for _, c := range h.Calls {
		if c.Asked.Resource == resource {
			part.Calls = append(part.Calls, c)
		}
	}
	return part
}

// with returns a history of the same run with these sections and calls.
func (h *History) with(sections []*Section, calls []*Call) *History {
	return &History{Nodes: h.Nodes, Sections: sections, Calls: calls, Faults: h.Faults, known: h.known}
}

// resources returns what was locked, sorted.
func (h *History) resources() []string {
	var all []string
	for _, s := range h.Sections {
		all = append(all, s.Asked.Resource)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// neverGranted returns which of the resources nobody was granted.
func (h *History) neverGranted(of []string) []string {
	granted := make(map[string]bool)
	for _, s := range h.Sections {
		granted[s.Asked.Resource] = granted[s.Asked.Resource] || s.granted()
	}
	return slices.DeleteFunc(slices.Clone(of), func(resource string) bool { return granted[resource] })
}

// end returns a moment after everything.
func (h *History) end() int64 {
	end := int64(0)
	for _, e := range h.events() {
		end = max(end, e.T, e.Until)
	}
	return end + int64(time.Second)
}

// events returns those of all, in the order of time.
func (h *History) events() []Event {
	var all []Event
	for _, s := range h.Sections {
		all = append(all, s.Asked)
		if s.Ended != nil {
			all = append(all, *s.Ended)
		}
		all = append(all, s.Events...)
	}
	for _, c := range h.Calls {
		all = append(all, c.Asked)
		if c.Told != nil {
			all = append(all, *c.Told)
		}
	}
	slices.SortStableFunc(all, func(a, b Event) int { return cmp.Compare(a.T, b.T) })
	return all
}

// late is how long, after the longest TTL, a value may still be found on a node: a copy of a
// command that was held back may put it there, and who refuses may tell what was seen before.
const late = int64(15 * time.Second)

// over returns from when on nothing can be left of s on any node.
func (s *Section) over() int64 {
	const never = int64(1<<63 - 1)
	last, ttl := s.Ended, s.Asked.TTL
	if last == nil {
		return never
	}
	open := s.granted() && s.Asked.Auto
	for i := range s.Events {
		last = &s.Events[i]
		ttl = max(ttl, last.TTL)
		open = open && last.What != Unlocked
	}
	if open || last.What == Extend || last.What == Unlock {
		return never // the worker was killed, nobody knows when
	}
	return last.T + ttl + late
}
