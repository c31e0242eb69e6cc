package simulation

import (
	"slices"
	"time"
)

// checkOverlaps checks (a): the intervals of two holders of one resource do
// not overlap, except where a loss of data had left the earlier lock on fewer
// nodes than a majority, and nodes grant at once after a restart.
func (w *world) checkOverlaps() {
	for _, resource := range w.resources {
		var holds []*hold
		for _, h := range w.holds {
			if h.value.resource == resource {
				holds = append(holds, h)
			}
		}
		slices.SortStableFunc(holds, func(a, b *hold) int { return a.start.Compare(b.start) })
		for i, first := range holds {
			for _, second := range holds[i+1:] {
				w.checkPair(first, second)
			}
		}
	}
}

func (w *world) checkPair(first, second *hold) {
	end := first.ended()
	if !second.start.Before(end) {
		return
	}
	if w.profile.keeps == 0 && w.bereft(first, second.start) {
		w.stats.Overlaps++
		return
	}
	w.violate("a", first.value.resource, second.start, end, "lock #%d was granted at %s while lock #%d was held until %s",
		second.value.number, w.clock(second.start), first.value.number, w.clock(end))
}

// bereft reports whether losses of data had left a lock on fewer nodes than a
// majority at some moment until t.
func (w *world) bereft(h *hold, t time.Time) bool {
	for _, at := range append([]time.Time{h.start}, h.value.breaks(h.start, t.Add(1))...) {
		if standing := h.value.standing(at); standing < w.quorum() && standing+h.value.wiped(at) >= w.quorum() {
			return true
		}
	}
	return false
}
