package simulation

import "time"

// checkMajority checks the main part of (b): while its holder was told that it
// is valid, the lock stood on a majority, except where a loss of data had taken it
// away.
func (w *world) checkMajority(h *hold) {
	end, excused := h.ended(), false
	for _, at := range append([]time.Time{h.start}, h.value.breaks(h.start, end)...) {
		standing := h.value.standing(at)
		if standing >= w.quorum() {
			continue
		}
		if wiped := h.value.wiped(at); standing+wiped < w.quorum() {
			w.violate("b", h.value.resource, at, end,
				"lock #%d was valid until %s, but from %s on it stood on %d of %d nodes, and %d had lost it with their data",
				h.value.number, w.clock(end), w.clock(at), standing, len(w.nodes), wiped)
			return
		}
		excused = true
	}
	if excused {
		w.stats.Excused++
	}
}

// checkRelease checks that a lock did not stand on a majority when Unlock had
// returned nil. Copies of commands from connections that the client had given
// up do not count.
func (w *world) checkRelease(h *hold) {
	if h.released.IsZero() {
		return
	}
	nodes := 0
	for _, s := range h.value.spans {
		if s.covers(h.released) && !s.late && !s.restored {
			nodes++
		}
	}
	if spare := len(w.nodes) - w.quorum(); nodes > spare {
		w.violate("b", h.value.resource, h.start, h.released, "Unlock of lock #%d returned nil at %s while it stood on %d of %d nodes",
			h.value.number, w.clock(h.released), nodes, len(w.nodes))
	}
}
