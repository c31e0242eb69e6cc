package linearize

import "slices"

// shrink returns a part of h, a history of one resource that m refuses, which it refuses too,
// and none of whose parts that shrinking would take away next can be missed.
//
// It takes away whole locks, Inspects, and looks that found a lock valid. Without them, a
// history that the model takes is one that it still takes: so what is refused in the end is
// refused for what is left. It keeps each Break of a lock that is there, which can excuse others.
func (m *Model) shrink(h *History) *History {
	keep := slices.Clone(h.Sections)
	at := func(sections []*Section) *History {
		return h.with(sections, callsAt(h.Calls, sections))
	}
	keep = without(keep, func(part []*Section) bool { return m.fails(at(part)) })
	small := at(keep)
	small.Calls = without(small.Calls, func(part []*Call) bool {
		return breaksOf(part) == breaksOf(small.Calls) && m.fails(h.with(keep, part))
	})
	for i := range small.Sections {
		section := *small.Sections[i]
		whole := section.Events
		small.Sections[i] = &section
		section.Events = without(whole, func(part []Event) bool {
			section.Events = part
			return asked(part) == asked(whole) && m.fails(small)
		})
	}
	return small
}

// callsAt returns the calls that are about one of the sections, or about none.
func callsAt(calls []*Call, sections []*Section) []*Call {
	var all []*Call
	for _, c := range calls {
		about := c.Asked.What == Inspect
		for _, s := range sections {
			about = about || s.granted() && s.Ended.Mark == c.Asked.Mark
		}
		if about {
			all = append(all, c)
		}
	}
	return all
}

func breaksOf(calls []*Call) (n int) {
	for _, c := range calls {
		if c.Asked.What == Break {
			n++
		}
	}
	return n
}

// asked counts the events that are no looks that found a lock valid.
func asked(events []Event) (n int) {
	for i := range events {
		if events[i].What != Looked || events[i].Result != OK {
			n++
		}
	}
	return n
}

// without returns a part of all for which fails holds as it does for all, by leaving out as
// much as it can: halves first, and in the end each one by itself.
func without[T any](all []T, fails func(part []T) bool) []T {
	for size := (len(all) + 1) / 2; size > 0; {
		shorter := false
		for from := 0; from < len(all); {
			part := slices.Concat(all[:from], all[min(from+size, len(all)):])
			if fails(part) {
				all, shorter = part, true
			} else {
				from += size
			}
		}
		switch {
		case size > 1:
			size /= 2
		case !shorter:
			return all
		}
	}
	return all
}
