package simulation

import (
	"slices"
	"time"
)

// How long a resource may be free while somebody waits in line for it, if nothing is
// wrong for anybody: a few round trips, and a pause of at most 200 ms after an attempt
// that the nodes were divided on. And if something is wrong for others,
// who may be called one after the other and not come: until the waiter asks
// by itself.
const (
	longestFree       = 250 * ms
	longestFreeBeside = 2 * sec
)

// brief is how long an attempt that comes to nothing leaves its value on a node. What
// is there for longer was left behind, and keeps the resource from being free.
const brief = 250 * ms

// checkProgress checks the last part of (f): nobody waits for long for a resource
// that nobody has. Of a release without scripts nobody is told.
func (w *world) checkProgress() {
	if w.profile.plain > 0 {
		return
	}
	for _, resource := range w.resources {
		taken := w.taken(resource)
		others := slices.Clone(taken)
		for _, p := range w.everybody {
			others = append(others, p.troubles...)
		}
		for _, x := range w.waiters {
			if x.resource != resource || x.joined.IsZero() || !x.joined.Before(x.to) {
				continue
			}
			waits := stretch{x.joined, x.to}
			free := waits.without(others)
			w.stats.Line.Free = max(w.stats.Line.Free, free.length())
			beside := waits.without(append(slices.Clone(x.process.troubles), taken...))
			w.stats.Line.FreeBeside = max(w.stats.Line.FreeBeside, beside.length())
			w.checkFree(x, free, longestFree, "all")
			w.checkFree(x, beside, longestFreeBeside, "it")
		}
	}
}

func (w *world) checkFree(x *waiter, s stretch, most time.Duration, whom string) {
	if s.length() > most {
		w.violate("f", x.resource, s.from, s.to,
			"waiter %d of process %d, in line since %s, waited for a free resource from %s to %s, with nothing wrong for %s",
			x.number, x.process.id, w.clock(x.joined), w.clock(s.from), w.clock(s.to), whom)
	}
}

// taken returns when a resource was not free at all nodes.
func (w *world) taken(resource string) []stretch {
	var all []stretch
	for _, v := range w.values {
		if v.resource != resource {
			continue
		}
		if v.hold != nil {
			all = append(all, stretch{v.hold.start, v.hold.ended()})
		}
		for _, s := range v.spans {
			end := s.to
			if s.open {
				end = s.expires
			}
			if v.hold != nil || end.Sub(s.from) > brief {
				all = append(all, stretch{s.from, end})
			}
		}
	}
	return all
}

func (s stretch) length() time.Duration { return s.to.Sub(s.from) }

// without returns the longest part of s that is in none of the others.
func (s stretch) without(others []stretch) (longest stretch) {
	slices.SortFunc(others, func(a, b stretch) int { return a.from.Compare(b.from) })
	from := s.from
	for _, o := range append(others, stretch{s.to, s.to}) {
		if o.from.After(s.to) {
			o.from = s.to
		}
		if o.from.Sub(from) > longest.length() {
			longest = stretch{from, o.from}
		}
		if o.to.After(from) {
			from = o.to
		}
	}
	return longest
}
