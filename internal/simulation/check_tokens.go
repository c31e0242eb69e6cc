package simulation

// checkTokens checks (f): no token of a resource is issued twice, and that of a
// later grant is larger. Where a node has lost its data the clock makes up for it,
// but not that of an attempt which had begun before the earlier grant.
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
	w.stats.Tokens++
	switch {
	case second.token > first.token, w.wipes > 0 && !second.began.After(first.start):
	case second.token == first.token:
		w.violate("g", first.value.resource, first.start, second.start, "locks #%d and #%d both have the token %d",
			first.value.number, second.value.number, first.token)
	case second.start.After(first.start):
		w.violate("g", first.value.resource, first.start, second.start, "lock #%d has the token %d, and the later lock #%d has %d",
			first.value.number, first.token, second.value.number, second.token)
	}
}
