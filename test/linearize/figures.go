package linearize

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Figures are what happened in histories.
type Figures struct {
	Histories int
	Refused   int            // by at least one model
	Counts    map[string]int // of calls, by what came of them, and of operations that were checked
	Faults    map[string]int // by their names
}

// Add counts a history in.
func (f *Figures) Add(h *History) {
	f.Histories++
	if f.Counts == nil {
		f.Counts, f.Faults = make(map[string]int), make(map[string]int)
	}
	for i := range h.Faults {
		f.Faults[h.Faults[i].Name]++
	}
	for _, s := range h.Sections {
		f.count(s.Asked.Call, s.Ended)
		for i := range s.Events {
			switch e := &s.Events[i]; e.What {
			case Looked, Extended, Unlocked:
				f.count(string(e.What), e)
			default:
			}
		}
	}
	for _, c := range h.Calls {
		f.count(string(c.Asked.What), c.Told)
	}
}

func (f *Figures) count(call string, told *Event) {
	switch {
	case told == nil:
		f.Counts[call+": nobody knows"]++
	case told.What == Granted:
		f.Counts[call+": granted"]++
		f.Counts["granted"]++
	default:
		f.Counts[call+": "+string(told.Result)]++
	}
}

func (f *Figures) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d histories, %d refused\n", f.Histories, f.Refused)
	for _, part := range []map[string]int{f.Counts, f.Faults} {
		for _, name := range slices.Sorted(maps.Keys(part)) {
			fmt.Fprintf(&b, "  %-32s %7d\n", name, part[name])
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}
