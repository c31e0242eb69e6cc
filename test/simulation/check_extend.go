package simulation

import "time"

// checkExtensions checks (a2): an extension was reported as a success only if
// a majority voted for it, and the value had been on a majority at every moment
// since the last success.
//
// This is what a majority that holds the value without a break comes to. The
// library lets a node join that majority once it has seen it beside the others,
// by an extension that nobody asked for, so the last success can be one that no
// caller was told of. What all of them together have to guarantee is that no
// moment was left at which somebody else could have had the lock.
func (w *world) checkExtensions(h *hold) {
	last := h.settled
	for _, s := range h.successes {
		if voted := len(h.value.voters(s.begun, s.at)); voted < w.quorum() {
			w.violate("a2", h.value.resource, s.begun, s.at, "lock #%d was extended at %s by the votes of %d of %d nodes",
				h.value.number, w.clock(s.at), voted, len(w.nodes))
			return
		}
		if !s.at.After(last) {
			continue
		}
		for _, at := range append([]time.Time{last}, h.value.breaks(last, s.at)...) {
			if n := h.value.backing(at, s.begun); n < w.quorum() {
				w.violate("a2", h.value.resource, at, s.at,
					"lock #%d was extended at %s, but at %s it stood on, or had the votes in that round of, %d of %d nodes",
					h.value.number, w.clock(s.at), w.clock(at), n, len(w.nodes))
				return
			}
		}
		last = s.at
	}
}

// voters returns the nodes that voted for an extension within [from, to].
func (v *value) voters(from, to time.Time) map[int]bool {
	nodes := make(map[int]bool)
	for _, vote := range v.votes {
		if !vote.at.Before(from) && !vote.at.After(to) {
			nodes[vote.node] = true
		}
	}
	return nodes
}

// backing returns how many nodes have the value right after t, or have voted
// since the round began.
func (v *value) backing(t, begun time.Time) int {
	nodes := v.voters(begun, t)
	for _, s := range v.spans {
		if s.covers(t) {
			nodes[s.node] = true
		}
	}
	return len(nodes)
}
