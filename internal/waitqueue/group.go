package waitqueue

import (
	"cmp"
	"slices"
)

// A Group is what one caller has of the queues of several resources, and then the
// lock it was granted. It has a place in none of them, so that it holds nobody up
// who wants one resource while it waits for another. Of the groups that have a
// resource in common, one asks the nodes at a time, and none while the process
// holds one of their resources: however many wait, they cost little more than
// one. Its zero value is ready.
type Group struct {
	table     *Table
	resources []string
	queues    []*queue
	number    uint64 // in the order in which groups became due
	seen      uint64 // the scan that has looked at it
	state     state
	due       bool // it is to ask when it may
	nudged    bool // it was made due by the end of a lock, since it was by itself
	woken     chan struct{}
}

// Watch has g take turns with others that want one of the resources, a list
// without duplicates that it keeps.
func (t *Table) Watch(g *Group, resources []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g.table, g.state = t, queued
	g.woken = make(chan struct{}, 1)
	t.join(g, resources)
	for _, l := range g.queues {
		l.groups = append(l.groups, g)
	}
}

func (t *Table) join(g *Group, resources []string) {
	g.resources, g.queues = resources, make([]*queue, len(resources))
	for i, resource := range resources {
		g.queues[i] = t.get(resource)
	}
}

// Ask reports whether g may ask the nodes now, and [Group.Asked] is owed. If not, it is
// told by Woken when it may. A group that does not watch may always ask.
func (g *Group) Ask() bool {
	if g.table == nil {
		return true
	}
	g.table.mu.Lock()
	defer g.table.mu.Unlock()
	if g.state == asking {
		return true
	}
	g.nudged = false
	g.isDue()
	return g.start()
}

func (g *Group) isDue() {
	if !g.due {
		g.table.turns++
		g.due, g.number = true, g.table.turns
	}
}

// start has g ask if it may.
func (g *Group) start() bool {
	for _, l := range g.queues {
		if len(l.holds) > 0 || l.asking != nil || l.favoured {
			return false
		}
	}
	g.state, g.due = asking, false
	for _, l := range g.queues {
		l.asking, l.went = g, true
	}
	return true
}

// May reports whether g has been told that it may ask.
func (g *Group) May() bool {
	if g.table == nil {
		return false
	}
	g.table.mu.Lock()
	defer g.table.mu.Unlock()
	return g.state == asking
}

// Asked ends what Ask began, of a group that was refused.
func (g *Group) Asked() {
	if g.table == nil {
		return
	}
	g.table.mu.Lock()
	defer g.table.mu.Unlock()
	if g.state == asking {
		g.state = queued
		g.stop()
		g.table.freed(g.queues...)
	}
}

func (g *Group) stop() {
	for _, l := range g.queues {
		l.asking = nil
	}
}

// Woken returns a channel that tells when there is a reason to look again; nil
// without Watch.
func (g *Group) Woken() <-chan struct{} { return g.woken }

func (g *Group) wake() {
	select {
	case g.woken <- struct{}{}:
	default: // told already
	}
}

// Leave ends what Watch began.
func (g *Group) Leave() {
	if g.table == nil {
		return
	}
	t := g.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if g.state != queued && g.state != asking {
		return
	}
	g.unwatch()
	t.freed(g.queues...)
	t.removeAll(g)
}

func (g *Group) unwatch() {
	if g.state == asking {
		g.stop()
	}
	g.state, g.due = outside, false
	for _, l := range g.queues {
		i := slices.Index(l.groups, g)
		l.groups = slices.Delete(l.groups, i, i+1)
	}
}

func (t *Table) removeAll(g *Group) {
	for i, l := range g.queues {
		t.remove(l, g.resources[i])
	}
	g.queues = nil
}

// HoldAll turns g into a lock on the resources, the same ones if it watches, that
// this process holds, and by has.
func (t *Table) HoldAll(g *Group, resources []string, by Holder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if g.state == outside {
		t.join(g, resources)
	} else {
		g.unwatch()
	}
	for _, l := range g.queues {
		l.begin(g, by)
	}
	g.table, g.state = t, holding
}

// End ends the hold that HoldAll began, and lets the next ones go.
func (g *Group) End() {
	t := g.table
	t.mu.Lock()
	defer t.mu.Unlock()
	g.state = outside
	for _, l := range g.queues {
		l.ended(g)
	}
	t.freed(g.queues...)
	t.removeAll(g)
}

// ended notes that a lock of the queue's resource has ended. Groups that rest between
// two attempts are to look at once, and so is one that asks, and may be refused
// because of it; but once only until they are due by themselves: where another
// process has the rest of what they want, each lock that comes and goes here
// would have them ask in vain.
func (l *queue) ended(of any) {
	l.holds = slices.DeleteFunc(l.holds, func(h hold) bool { return h.of == of })
	if len(l.holds) > 0 {
		return
	}
	l.owed = true
	for _, g := range l.groups {
		if !g.nudged {
			g.nudged = true
			g.isDue()
		}
	}
}

// freed lets those go on who waited for what has changed in some queues: groups that are
// due, in the order in which they became so, and the heads of the queues. Where a group
// has asked since the head was told last, the head comes first, and groups wait
// until it has asked.
func (t *Table) freed(queues ...*queue) {
	due := t.due[:0]
	t.scans++
	for _, l := range queues {
		if l.went {
			l.letHead(true)
		}
		for _, g := range l.groups {
			if g.due && g.seen != t.scans {
				g.seen = t.scans
				due = append(due, g)
			}
		}
	}
	slices.SortFunc(due, func(a, b *Group) int { return cmp.Compare(a.number, b.number) })
	for _, g := range due {
		if g.start() {
			g.wake()
		}
	}
	clear(due)
	t.due = due[:0]
	for _, l := range queues {
		l.letHead(false)
	}
}

// letHead tells the head that it may go now, if that is news.
func (l *queue) letHead(first bool) {
	if !l.owed || len(l.holds) > 0 || l.asking != nil {
		return
	}
	l.owed = false
	if l.head == nil {
		return
	}
	l.went = false
	if first {
		l.favoured = len(l.groups) > 0
	}
	l.head.wake(Turn)
}

// Tried notes that p, the head of its queue, has asked and was refused.
func (p *Place) Tried() {
	if p.table == nil {
		return
	}
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	if l := p.queue; l != nil && l.head == p && len(l.groups) > 0 {
		l.favoured = false
		p.table.freed(l)
	}
}
