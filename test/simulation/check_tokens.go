package simulation

import "time"

// checkTokens checks (g): no token of a resource is issued twice, and that of a
// later grant is larger.
func (w *world) checkTokens() {
	for i, first := range w.holds {
		for _, second := range w.holds[i+1:] {
			if first.token != 0 && second.token != 0 && first.value.resource == second.value.resource {
				w.checkTokenPair(first, second)
			}
		}
	}
}

func (w *world) checkTokenPair(first, second *hold) {
	if second.start.Before(first.start) {
		first, second = second, first
	}
	if w.counterLost(first, second) {
		if !w.clocksCover(first, second) {
			return
		}
		w.stats.Clocked++
	}
	w.stats.Tokens++
	switch {
	case second.token > first.token:
	case second.token == first.token:
		w.violate("g", first.value.resource, first.start, second.start, "locks #%d and #%d both have the token %d",
			first.value.number, second.value.number, first.token)
	case second.start.After(first.start):
		w.violate("g", first.value.resource, first.start, second.start, "lock #%d has the token %d, and the later lock #%d has %d",
			first.value.number, first.token, second.value.number, second.token)
	}
}

// counterLost reports whether a node may not have known the first token any more
// when the second one was granted.
func (w *world) counterLost(first, second *hold) bool {
	for _, at := range w.wipes {
		if !at.Before(first.began) && !at.After(second.start) {
			return true
		}
	}
	used := first.began
	for _, s := range first.successes {
		if s.begun.After(used) {
			used = s.begun
		}
	}
	keep := w.profile.keep
	return keep > 0 && second.start.Sub(used) >= keep-time.Duration(float64(keep)*maxSkew)
}

// clocksCover reports whether the clock of the second one, when it asked, was ahead
// of all clocks at the time of the first grant.
func (w *world) clocksCover(first, second *hold) bool {
	const counted = ms // by what tokens may be ahead of the clock that was ahead
	apart := w.profile.apart
	if w.profile.leaps > 0 {
		apart += 2 * farthest
	}
	for _, p := range w.everybody { // clocks that stand still are behind
		for _, s := range p.pauses {
			apart = max(apart, w.profile.apart+s.length())
		}
	}
	return second.began.After(first.start.Add(apart + counted))
}

// checkCounter checks that a counter lasts as long as it is to.
func (w *world) checkCounter(n *node, key string) {
	left, keep := n.redis.TTL(key), w.profile.keep
	if keep < 0 && left != 0 || keep >= 0 && (left <= 0 || left > keep) {
		w.violate("g", key, time.Now().Add(-time.Minute), time.Now(), "node %d keeps %s for %v, not for %v", n.id, key, left, keep)
	}
}
