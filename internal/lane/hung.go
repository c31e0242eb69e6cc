package lane

import "time"

// linger is for how long a call that was given up counts as open all the same: many a slow
// answer comes in that time, and so does the end of what hangs, by go-redis' default.
const linger = 5 * time.Second

// list notes a place whose command is sent now.
func (n *node) list(p *Place) {
	if p.older = n.last; p.older != nil {
		p.older.newer = p
	} else {
		n.first = p
	}
	n.last = p
	n.wakeAt(p.sent, p.sent.Add(p.timeout))
}

// unlist takes a place off the list.
func (n *node) unlist(p *Place) {
	if p.older != nil {
		p.older.newer = p.newer
	} else {
		n.first = p.newer
	}
	if p.newer != nil {
		p.newer.older = p.older
	} else {
		n.last = p.older
	}
	p.older, p.newer = nil, nil
	if n.first == nil && !n.wakes.IsZero() && time.Until(n.wakes) > soon {
		n.timer.Stop()
		n.wakes = time.Time{}
	}
}

// soon is for how long the timer may run with nothing to do. What runs keeps all that belongs
// to it from being collected.
const soon = time.Second

// wakeAt has the node looked at then, at the latest.
func (n *node) wakeAt(now, at time.Time) {
	if !n.wakes.IsZero() && !at.Before(n.wakes) {
		return
	}
	n.wakes = at
	if wait := at.Sub(now); n.timer == nil {
		n.timer = time.AfterFunc(wait, n.awake)
	} else {
		n.timer.Reset(wait)
	}
}

// look gives up what has been sent for the node timeout and is not answered. It writes off
// what was given up long ago if the node has answered others since: that hangs, while the
// node is well.
func (n *node) look() {
	t := n.table
	var hung, due []Waiter
	t.mu.Lock()
	now := time.Now()
	late := now.Sub(n.wakes)
	n.wakes = time.Time{}
	var next *Place
	for p := n.first; p != nil; p = next {
		next = p.newer
		at := p.due()
		switch {
		case at.After(now):
		case p.givenUp && !n.heard.Before(p.gaveUp):
			n.unlist(p)
			p.writtenOff = true
			t.open--
			continue
		case p.givenUp:
			n.listens = true
			continue
		case !p.known.Load() || !p.mayHang():
			at = now.Add(max(p.timeout, time.Millisecond))
		case p.spares(t.lately(late, p.timeout, now), now):
			at = p.until
		default:
			hung = append(hung, p.waiter)
			due = p.giveUp(now, due)
			at = p.due()
		}
		n.wakeAt(now, at)
	}
	t.settle()
	t.mu.Unlock()
	// In this order: who is due may meet what was given up.
	for _, w := range hung {
		w.GiveUp()
	}
	for _, w := range due {
		w.Due(true)
	}
}

// due returns when the place is to be given up, or written off.
func (p *Place) due() time.Time {
	if p.givenUp {
		return p.gaveUp.Add(linger)
	}
	if !p.until.IsZero() {
		return p.until
	}
	return p.sent.Add(p.timeout)
}

// mayHang reports whether few enough hang in the lanes of the place.
func (p *Place) mayHang() bool {
	for i := range p.series.resources {
		if p.link(i).row.ends[p.node].hung >= maxHung {
			return false
		}
	}
	return true
}

// giveUp lets those run that are due without the place. It appends to due whom to tell.
func (p *Place) giveUp(now time.Time, due []Waiter) []Waiter {
	p.givenUp, p.gaveUp = true, now
	for i := range p.series.resources {
		p.link(i).row.ends[p.node].hung++
	}
	p.series.table.nodes[p.node].sent--
	return p.part(due)
}

// hears notes that the node has answered what was sent at that moment.
func (n *node) hears(sent time.Time) {
	if sent.After(n.heard) {
		n.heard = sent
	}
	if n.listens {
		n.listens = false
		now := time.Now()
		n.wakeAt(now, now)
	}
}

// GivenUp reports whether the place has been given up.
func (p *Place) GivenUp() bool {
	if time.Since(p.sent) < p.timeout/2 { // it is set once, before the waiter is told
		return false
	}
	t := p.series.table
	t.mu.Lock()
	defer t.mu.Unlock()
	return p.givenUp
}
