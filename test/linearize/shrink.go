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
		return h.with(sections, looksAt(h.Looks, sections))
	}
	keep = without(keep, func(part []*Section) bool { return m.fails(at(part)) })
	small := at(keep)
	small.Looks = without(small.Looks, func(part []*Look) bool {
		return breaksOf(part) == breaksOf(small.Looks) && m.fails(h.with(keep, part))
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

// looksAt returns the looks that are about one of the sections, or about none.
func looksAt(looks []*Look, sections []*Section) []*Look {
	var all []*Look
	for _, l := range looks {
		about := l.Asked.What == Inspect
		for _, s := range sections {
			about = about || s.granted() && s.Ended.Mark == l.Asked.Mark
		}
		if about {
			all = append(all, l)
		}
	}
	return all
}

func breaksOf(looks []*Look) (n int) {
	for _, l := range looks {
		if l.Asked.What == Break {
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
