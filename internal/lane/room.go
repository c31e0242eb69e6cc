package lane

import "time"

// A queue is of places whose turn in their lanes has come, and for which there is no room yet.
type queue struct{ first, last *Place }

// Bound bounds how many commands are sent to a node at a time, if room is not 0. A client has
// that many connections, and what is sent beside them would wait there, where nobody can tell
// whether it hangs.
func (t *Table) Bound(node, room int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nodes[node].room = room
}

// Patience returns for how long to wait for the place yet, as it had to wait until it was sent,
// or waits for room, and its node answers others: the node timeout counts from when a command
// is sent.
func (p *Place) Patience() time.Duration {
	t, n, now := p.series.table, &p.series.table.nodes[p.node], time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case p.state == done && !p.givenUp:
		return time.Millisecond // its vote is on its way
	case p.givenUp || n.silentFor(now, p.timeout) > 0:
	case p.state == running && p.queued:
		return p.due().Sub(now)
	case p.state == waiting && n.crowds():
		return p.timeout
	}
	return 0
}

func (n *node) full() bool   { return n.room > 0 && n.sent >= n.room }
func (n *node) crowds() bool { return n.held[0].first != nil || n.held[1].first != nil }

// queue returns the queue of p. What keeps or ends a lock goes before what begins one.
func (n *node) queue(p *Place) *queue {
	if p.kind == Follow || p.kind == Release {
		return &n.held[0]
	}
	return &n.held[1]
}

// hold has p wait for room, behind others of its kind.
func (n *node) hold(p *Place) {
	q := n.queue(p)
	p.held = true
	if p.older = q.last; p.older != nil {
		p.older.newer = p
	} else {
		q.first = p
	}
	q.last = p
}

// forget has p not wait for room any more.
func (n *node) forget(p *Place) {
	q := n.queue(p)
	if p.older != nil {
		p.older.newer = p.newer
	} else {
		q.first = p.newer
	}
	if p.newer != nil {
		p.newer.older = p.older
	} else {
		q.last = p.older
	}
	p.older, p.newer, p.held = nil, nil, false
}

// next returns the next place for which there is room, and which waits for it no longer; nil
// if there is none.
func (n *node) next() *Place {
	for i := range n.held {
		if p := n.held[i].first; p != nil && !n.full() {
			n.forget(p)
			return p
		}
	}
	return nil
}
