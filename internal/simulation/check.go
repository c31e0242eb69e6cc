package simulation

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// check checks what can be told when the history is over.
func (w *world) check() {
	for _, n := range w.nodes {
		n.settle()
	}
	for _, h := range w.holds {
		w.checkMajority(h)
		w.checkExtensions(h)
	}
	w.checkOverlaps()
}

// checkOverlaps checks (a): the intervals of two holders of one resource do
// not overlap, except where a loss of data had left the earlier lock on fewer
// nodes than a majority.
func (w *world) checkOverlaps() {
	now := time.Now()
	byResource := make(map[string][]*hold)
	for _, h := range w.holds {
		byResource[h.value.resource] = append(byResource[h.value.resource], h)
	}
	for _, resource := range w.resources {
		holds := byResource[resource]
		slices.SortStableFunc(holds, func(a, b *hold) int { return cmp.Compare(a.start.UnixNano(), b.start.UnixNano()) })
		for i, first := range holds {
			for _, second := range holds[i+1:] {
				if second.start.Before(first.ended(now)) && !w.bereft(first, second.start) {
					w.violate("a", resource, second.start, second.start,
						"lock #%d was granted at %s while lock #%d was held until %s",
						second.value.number, w.clock(second.start), first.value.number, w.clock(first.ended(now)))
				}
			}
		}
	}
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

// checkMajority checks (b): while its holder was told that it is valid, the
// lock stood on a majority, except where a loss of data had taken it away.
func (w *world) checkMajority(h *hold) {
	end := h.ended(time.Now())
	excused := false
	for _, at := range append([]time.Time{h.start}, h.value.breaks(h.start, end)...) {
		standing := h.value.standing(at)
		if standing >= w.quorum() {
			continue
		}
		if wiped := h.value.wiped(at); standing+wiped < w.quorum() {
			w.violate("b", h.value.resource, at, end,
				"lock #%d was valid until %s, but from %s on it stood on %d of %d nodes (and %d had lost it)",
				h.value.number, w.clock(end), w.clock(at), standing, len(w.nodes), wiped)
			return
		}
		excused = true
	}
	if excused {
		w.stats.Excused++
	}
}

// checkExtensions checks (a2): an extension was reported as a success only if a
// majority had the value without a break from the last success to its vote.
func (w *world) checkExtensions(h *hold) {
	last := h.settled
	for _, s := range h.successes {
		voted := w.voters(h.value, s.begun, s.at)
		if len(voted) < w.quorum() {
			w.violate("a2", h.value.resource, s.begun, s.at,
				"lock #%d was extended at %s by %d votes", h.value.number, w.clock(s.at), len(voted))
			return
		}
		if !s.at.After(last) {
			continue
		}
		for _, at := range append([]time.Time{last}, h.value.breaks(last, s.at)...) {
			if n := w.unbroken(h.value, at, s.begun); n < w.quorum() {
				w.violate("a2", h.value.resource, at, s.at,
					"lock #%d was extended at %s, but at %s it stood, or had been extended in that round, on %d of %d nodes",
					h.value.number, w.clock(s.at), w.clock(at), n, len(w.nodes))
				return
			}
		}
		last = s.at
	}
}

// voters returns the nodes that voted for an extension within [from, to].
func (w *world) voters(v *value, from, to time.Time) map[int]bool {
	nodes := make(map[int]bool)
	for _, vote := range v.votes {
		if !vote.at.Before(from) && !vote.at.After(to) {
			nodes[vote.node] = true
		}
	}
	return nodes
}

// unbroken returns how many nodes have the value right after t, or have voted
// since the round began.
func (w *world) unbroken(v *value, t, begun time.Time) int {
	nodes := w.voters(v, begun, t)
	for _, s := range v.spans {
		if s.covers(t) {
			nodes[s.node] = true
		}
	}
	return len(nodes)
}

// checkEmpty checks the second half of (c): no key is left.
func (w *world) checkEmpty() {
	for _, n := range w.nodes {
		n.tick()
		for _, key := range n.redis.Keys() {
			w.violate("c", key, time.Now().Add(-time.Minute), time.Now(),
				"node %d still has %s after the longest TTL", n.id, key)
		}
	}
}

// patience is how long a node call may stay open, and Shutdown take, after
// everything is healed: go-redis' dials and reads come back within it.
const patience = 3 * time.Minute

// quiet waits until no call is open, and checks (e), that none stays so, and the
// first half of (c): every key that is left is explained.
func (w *world) quiet() {
	begin := time.Now()
	for still := 0; still < 2; { // twice: at one instant a call may be about to follow another one
		time.Sleep(time.Nanosecond)
		if w.idle() {
			still++
			continue
		}
		if still = 0; time.Since(begin) > patience+2*w.longest {
			break
		}
		time.Sleep(time.Second)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.processes {
		if p.under > 0 {
			w.violate("e", "", begin, time.Now(), "process %d still has %d node calls open", p.id, p.under)
		}
	}
	for _, n := range w.nodes {
		n.settle()
		for _, key := range w.resources {
			if s := n.here[key]; s != nil {
				w.explain(s)
			}
		}
	}
}

// idle reports whether no node call is open.
func (w *world) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.processes {
		if p.under > 0 {
			return false
		}
	}
	return true
}

// explain demands a reason for a key that is still there.
func (w *world) explain(s *span) {
	v, now := s.value, time.Now()
	var last *call
	for _, c := range v.calls {
		if c.node == s.node && c.op == release {
			last = c
		}
	}
	switch h := v.hold; {
	case h != nil && h.end.IsZero(): // still held
		return
	case s.late, last != nil && last.err != nil:
		w.stats.LeftBehind++
	case h != nil && !h.unlocked && !s.expires.After(h.until.Add(drift(h.ttl)+w.slack(h.ttl))):
		w.stats.LeftBehind++ // it ran out a moment ago
	default:
		w.violate("c", v.resource, s.from, now, "node %d still has lock #%d at %s, and for %v: no reason for it is known",
			s.node, v.number, w.clock(now), s.expires.Sub(now))
	}
}

// slack is how much longer than its lock a key may last that nobody unlocked:
// the library lets a node be 50 ms late, and its clock may be slow.
func (w *world) slack(ttl time.Duration) time.Duration {
	return 50*ms + time.Duration(float64(ttl)*2*maxSkew) + 2*ms
}

// shutdown checks the rest of (e): Shutdown returns nil once everything is over.
func (w *world) shutdown(p *process) {
	w.mu.Lock()
	limit := patience + 2*w.longest
	p.closing = true
	w.mu.Unlock()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err := p.locker.Shutdown(ctx)
	p.close()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log("process %d: Shutdown: %v", p.id, err)
	if err != nil {
		w.violate("e", "", begin, time.Now(), "Shutdown of process %d: %v", p.id, err)
	}
	if p.under > 0 {
		w.violate("e", "", begin, time.Now(), "Shutdown of process %d returned %v with %d node calls open", p.id, err, p.under)
	}
}
