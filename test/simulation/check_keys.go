package simulation

import (
	"strings"
	"time"
)

// checkKeys checks the first half of (c): every key that is left is explained.
func (w *world) checkKeys() {
	for _, n := range w.nodes {
		n.settle()
		for _, key := range w.resources {
			if s := n.here[key]; s != nil {
				w.explain(s)
			}
		}
	}
}

// owed is how long it may take until a release is tried again that could not be carried
// out, or had come before what it undoes.
const owed = 12 * sec

// outlasting returns how long to wait for keys that the library is about to remove: when
// the last lock has run out that nobody unlocked, and that a key lasts longer than, as a
// node had extended it late; and what a node is owed.
func (w *world) outlasting() (wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.nodes {
		n.settle()
		for _, s := range n.here {
			switch h := s.value.hold; {
			case s.explained():
			case h != nil && !h.unlocked:
				wait = max(wait, time.Until(h.until.Add(drift(h.ttl)+slack(h.ttl))))
			default:
				wait = max(wait, owed+s.value.stale(s.node))
			}
		}
	}
	return wait
}

// stale returns how long tries of a release of the value may take longer, because of
// connections to a node that were reset: the client finds out about one by each try, as it
// cannot look at those of the simulation as it does at those of a kernel.
func (v *value) stale(node int) time.Duration {
	const pause = 10 * sec // between two tries, at most
	if len(v.calls) == 0 {
		return 0
	}
	return time.Duration(v.calls[0].process.links[node].stale) * pause
}

// explained reports whether it is known why a key is still there.
func (s *span) explained() bool {
	switch h := s.value.hold; {
	case s.late, s.stretched, s.restored, s.value.unreleased(s.node):
		return true
	case h == nil:
		return false
	case h.end.IsZero():
		return true // it is held
	default:
		// Nobody unlocked it, and it ran out a moment ago, or was extended to a smaller TTL.
		h.keep()
		return !h.unlocked && !s.expires.After(h.keeps)
	}
}

// explain demands a reason for a key that is still there.
func (w *world) explain(s *span) {
	h := s.value.hold
	switch {
	case h != nil && h.end.IsZero():
		return // it is held
	case !s.explained():
		now := time.Now()
		w.violate("c", s.value.resource, s.from, now, "node %d still has lock #%d at %s, and for %v: no reason for it is known",
			s.node, s.value.number, w.clock(now), s.expires.Sub(now))
		return
	}
	w.stats.LeftBehind++
}

// unreleased reports whether the last release of the value came back from the
// node with an error, and is not tried again as its process is over.
func (v *value) unreleased(node int) bool {
	var last *call
	for _, c := range v.calls {
		if c.node == node && c.op == release {
			last = c
		}
	}
	return last != nil && last.err != nil && last.process.closing
}

// slack is how much longer than its lock a key may last that nobody unlocked:
// the library lets a node be 50 ms late, and its clock may be slow.
func slack(ttl time.Duration) time.Duration {
	return 52*ms + time.Duration(float64(ttl)*2*maxSkew)
}

// longestLine is how long the line of a resource is kept after it was last used.
const longestLine = 10 * sec

// expire lets everything that is on its way arrive and the longest TTL pass,
// and checks the second half of (c): no key is left.
func (w *world) expire() {
	w.mu.Lock()
	rest := max(time.Until(w.lastStep), 0) + max(w.longestKey(), longestLine) + sec
	w.mu.Unlock()
	time.Sleep(rest)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.nodes {
		n.tick()
		for _, key := range n.redis.Keys() {
			if strings.HasSuffix(key, ":redlock:token") {
				w.checkCounter(n, key)
				continue
			}
			w.violate("c", key, time.Now().Add(-time.Minute), time.Now(), "node %d still has %s after the longest TTL", n.id, key)
		}
	}
}

// longestKey is how long a key lasts at most, by the slowest clock.
func (w *world) longestKey() time.Duration {
	return time.Duration(float64(w.longest) * (1 + 2*maxSkew))
}
