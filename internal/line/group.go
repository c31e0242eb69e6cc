package line

import "slices"

// A Group is what one caller has of the lines of several resources, and then the
// lock it was granted. It has a place in none of them, so that it holds nobody up
// who wants one resource while it waits for another; but it is told when a lock of
// one of them has ended. Its zero value is ready.
type Group struct {
	table     *Table
	resources []string
	state     state // queued: it is told
	woken     chan struct{}
}

// Watch has g told when a lock of one of the resources, a list without duplicates
// that it keeps, has ended in this process.
func (t *Table) Watch(g *Group, resources []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g.table, g.resources, g.state = t, resources, queued
	g.woken = make(chan struct{}, 1)
	for _, resource := range resources {
		l := t.get(resource)
		l.groups = append(l.groups, g)
	}
}

// Woken returns a channel that tells when there is a reason to try again; nil
// without Watch.
func (g *Group) Woken() <-chan struct{} { return g.woken }

// Leave ends what Watch began.
func (g *Group) Leave() {
	if g.table == nil {
		return
	}
	g.table.mu.Lock()
	defer g.table.mu.Unlock()
	if g.state == queued {
		g.unwatch()
	}
}

func (g *Group) unwatch() {
	g.state = outside
	for _, resource := range g.resources {
		l := g.table.lines[resource]
		i := slices.Index(l.groups, g)
		l.groups = slices.Delete(l.groups, i, i+1)
		g.table.remove(l, resource)
	}
}

// HoldAll turns g into a lock on the resources, the same ones if it is told of
// them, that this process holds.
func (t *Table) HoldAll(g *Group, resources []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, resource := range resources {
		t.get(resource).held++
	}
	if g.state == queued {
		g.unwatch()
	}
	g.table, g.resources, g.state = t, resources, holding
}

// End ends the hold that HoldAll began, and lets the next one go for each of the
// resources.
func (g *Group) End() {
	t := g.table
	t.mu.Lock()
	defer t.mu.Unlock()
	g.state = outside
	for _, resource := range g.resources {
		l := t.lines[resource]
		l.held--
		t.remove(l, resource)
		if l.head != nil && l.held == 0 {
			l.head.wake(Turn)
		}
		l.tell()
	}
}

// tell tells one of the groups that a lock has ended, each in turn: the others
// would try in vain, and the first one may wait for something else.
func (l *line) tell() {
	if len(l.groups) == 0 || l.held > 0 {
		return
	}
	g := l.groups[0]
	copy(l.groups, l.groups[1:])
	l.groups[len(l.groups)-1] = g
	select {
	case g.woken <- struct{}{}:
	default: // told already
	}
}
