// Package line queues the callers in one process that want the same resource:
// first come, first served. Only the one at the head talks to the nodes, so
// that a thousand goroutines that wait for one lock cost as much as one.
package line

import "sync"

// A Table holds the line of each resource. It is safe for concurrent use; its
// zero value is ready.
type Table struct {
	mu    sync.Mutex
	lines map[string]*line
	spare []*line
}

// maxSpare bounds the lines kept for reuse.
const maxSpare = 64

// A line exists while a place in it is taken or a lock is held.
type line struct {
	head, tail *Place
	held       int // locks of the resource that this process holds
}

// A Place is where one caller stands in a line, and then the lock it was
// granted. Its zero value has no place.
type Place struct {
	table      *Table
	line       *line
	resource   string
	prev, next *Place
	state      state
	told       bool          // woken before there was a channel
	called     bool          // by Wake, since it was last asked
	woken      chan struct{} // holds one: made when somebody has to wait
}

type state uint8

const (
	outside state = iota // in no line, and not held
	queued
	holding
)

// Join puts p at the end of the line for resource. It reports whether p may go
// on at once: it is the head, and this process does not hold the resource.
func (t *Table) Join(p *Place, resource string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.get(resource)
	p.table, p.line, p.resource, p.state = t, l, resource, queued
	if l.tail == nil {
		l.head = p
	} else {
		p.prev, l.tail.next = l.tail, p
	}
	l.tail = p
	if l.mayGo(p) {
		return true
	}
	p.woken = make(chan struct{}, 1)
	return false
}

func (t *Table) get(resource string) *line {
	l := t.lines[resource]
	if l != nil {
		return l
	}
	if n := len(t.spare); n > 0 {
		l, t.spare = t.spare[n-1], t.spare[:n-1]
	} else {
		l = new(line)
	}
	if t.lines == nil {
		t.lines = make(map[string]*line)
	}
	t.lines[resource] = l
	return l
}

func (l *line) mayGo(p *Place) bool { return l.head == p && l.held == 0 }

// Woken returns a channel that tells when there is a reason to look at MayGo
// again, or to try again.
func (p *Place) Woken() <-chan struct{} {
	if p.table == nil {
		return nil
	}
	t := p.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.woken == nil {
		p.woken = make(chan struct{}, 1)
		if p.told {
			p.woken <- struct{}{}
		}
	}
	return p.woken
}

// MayGo reports whether p is at the head and its process does not hold the
// resource.
func (p *Place) MayGo() bool {
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	return p.line.mayGo(p)
}

// Called reports whether [Table.Wake] has called p since this was last asked.
func (p *Place) Called() bool {
	if p.table == nil {
		return false
	}
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	called := p.called
	p.called = false
	return called
}

// Leave gives the place in the line up.
func (p *Place) Leave() {
	if p.table == nil {
		return
	}
	t := p.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.state == queued {
		l, first := p.line, p.line.head == p
		p.dequeue()
		p.drop(first && l.held == 0)
	}
}

// Hold turns the place into a lock that this process holds. A caller without a
// place may hold a lock too.
func (t *Table) Hold(p *Place, resource string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.state == queued {
		p.line.held++
		p.dequeue()
	} else {
		p.table, p.line, p.resource = t, t.get(resource), resource
		p.line.held++
	}
	p.state = holding
}

// End ends the hold that Hold began, and lets the next one go.
func (p *Place) End() {
	t := p.table
	t.mu.Lock()
	defer t.mu.Unlock()
	p.line.held--
	p.drop(p.line.held == 0)
}

// dequeue takes p out of its line.
func (p *Place) dequeue() {
	l := p.line
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		l.head = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	} else {
		l.tail = p.prev
	}
	p.prev, p.next = nil, nil
}

// drop gives up what p has of its line, and tells the head that it may go now if
// that is news.
func (p *Place) drop(news bool) {
	t, l := p.table, p.line
	p.line, p.state = nil, outside
	switch {
	case l.head == nil && l.held == 0:
		delete(t.lines, p.resource)
		if len(t.spare) < maxSpare {
			t.spare = append(t.spare, l)
		}
	case l.head != nil && news:
		l.head.wake()
	}
}

func (p *Place) wake() {
	if p.woken == nil {
		p.told = true
		return
	}
	select {
	case p.woken <- struct{}{}:
	default: // told already
	}
}

// Len returns how many resources have a line.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.lines)
}

// Wake gives the head of a resource's line a reason to try again. It reports
// false if nobody waits for the resource or has it.
func (t *Table) Wake(resource string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lines[resource]
	if l != nil && l.head != nil {
		l.head.called = true
		l.head.wake()
	}
	return l != nil
}
