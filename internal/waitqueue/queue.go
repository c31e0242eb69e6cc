// Package waitqueue decides who asks the nodes for a resource, and when. Callers of one process
// stand in a queue, first come, first served, of which only the head talks to the nodes, so
// that a thousand goroutines that wait for one lock cost as much as one. Between processes
// the head stands in the line that a node keeps, the gate: what it does next there is
// decided by a [Waiter], which is pure. What was seen of a resource a moment ago is remembered
// for whoever comes next. It sends nothing itself; package acquire does.
package waitqueue

import (
	"sync"
	"time"
)

// A Table holds the queue of each resource. It is safe for concurrent use; its
// zero value is ready.
type Table struct {
	mu     sync.Mutex
	queues map[string]*queue
	spare  []*queue
	turns  uint64   // how often a group has become due
	scans  uint64   // for groups that are due
	due    []*Group // room for those
}

// maxSpare bounds the queues kept for reuse.
const maxSpare = 64

// A queue exists while a place in it is taken, a lock is held or a group waits.
type queue struct {
	head, tail *Place
	holds      []hold   // the locks of the resource that this process holds
	entry      int      // the node in whose line the process stands, from 1; 0 if in none
	groups     []*Group // that wait for this resource and others
	asking     *Group   // asks the nodes
	went       bool     // a group has asked since the head was told that it may go
	owed       bool     // the head is to be told
	seen       *Sight   // what an attempt of this process saw last, or that it had the resource since; nil if there was none
	seenOfSet  *Sight   // what one for several resources, this one among them, saw last
	favoured   bool     // the head has been told, and groups wait until it has asked
}

// A Place is where one caller stands in a queue, and then the lock it was
// granted. Its zero value has no place.
type Place struct {
	table      *Table
	queue      *queue
	resource   string
	prev, next *Place
	state      state
	why        Reason        // of having been woken, since it was last asked
	every      time.Duration // how often its caller would try if it were alone
	pace       time.Duration // of the head: how often it tries for all
	woken      chan struct{} // holds one: made when somebody has to wait
}

// A Reason is why a place was woken; there can be several.
type Reason uint8

// Reasons.
const (
	Turn   Reason = 1 << iota // it may go now
	Called                    // [Table.Call] was called
	Hurry                     // one who waits behind it would try more often
)

type state uint8

const (
	outside state = iota // in no queue, and not held
	queued
	asking // of a group
	holding
)

// Join puts p at the end of the queue for resource. It reports whether p may go
// on at once: it is the head, and this process does not hold the resource. every is
// how often the caller would try if it were alone.
func (t *Table) Join(p *Place, resource string, every time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.get(resource)
	p.table, p.queue, p.resource, p.state = t, l, resource, queued
	p.every, p.pace = every, every
	if l.tail == nil {
		l.head = p
	} else {
		p.prev, l.tail.next = l.tail, p
		if every < l.head.pace {
			l.head.wake(Hurry)
		}
	}
	l.tail = p
	if l.mayGo(p) {
		return true
	}
	p.woken = make(chan struct{}, 1)
	return false
}

func (t *Table) get(resource string) *queue {
	l := t.queues[resource]
	if l != nil {
		return l
	}
	if n := len(t.spare); n > 0 {
		l, t.spare = t.spare[n-1], t.spare[:n-1]
	} else {
		l = new(queue)
	}
	if t.queues == nil {
		t.queues = make(map[string]*queue)
	}
	t.queues[resource] = l
	return l
}

func (l *queue) mayGo(p *Place) bool {
	return l.head == p && len(l.holds) == 0
}

// Pace returns how often the head of the queue is to try: as often as whoever waits
// in it would.
func (p *Place) Pace() time.Duration {
	if p.table == nil {
		return p.every
	}
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	p.pace = p.every
	for q := p.next; q != nil; q = q.next {
		p.pace = min(p.pace, q.every)
	}
	return p.pace
}

// Woken returns a channel that tells when there is a [Place.Why].
func (p *Place) Woken() <-chan struct{} {
	if p.table == nil {
		return nil
	}
	t := p.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.woken == nil {
		p.woken = make(chan struct{}, 1)
		if p.why != 0 {
			p.woken <- struct{}{}
		}
	}
	return p.woken
}

// Why returns why p has been woken since this was last asked.
func (p *Place) Why() Reason {
	if p.table == nil {
		return 0
	}
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	why := p.why
	p.why = 0
	return why
}

// MayGo reports whether p is at the head and its process does not hold the
// resource.
func (p *Place) MayGo() bool {
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	return p.queue.mayGo(p)
}

// Enter notes that the process stands in the line that a node keeps, for whoever
// is at the head here.
func (p *Place) Enter(node int) {
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	p.queue.entry = node + 1
}

// Entered reports whether the process stands in the line of a node.
func (p *Place) Entered() bool {
	if p.table == nil {
		return false
	}
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	return p.queue.entry != 0
}

// Quit notes that the process does not stand in the line of a node any more.
func (p *Place) Quit() {
	if p.table == nil {
		return
	}
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	p.queue.entry = 0
}

// Resign reports whether the process stands in the line of a node for p alone. If so,
// it does not any more as far as the table knows.
func (p *Place) Resign() bool {
	if p.table == nil {
		return false
	}
	p.table.mu.Lock()
	defer p.table.mu.Unlock()
	l := p.queue
	if p.state != queued || l.head != p || l.tail != p || l.entry == 0 {
		return false
	}
	l.entry = 0
	return true
}

// Leave gives the place in the queue up, unless it has become a lock. If nobody is
// left who wants the resource, but the process stands in the line of a node, it
// returns that node: the process has to leave there.
func (p *Place) Leave() (node int, owed bool) {
	if p.table == nil {
		return 0, false
	}
	t := p.table
	t.mu.Lock()
	defer t.mu.Unlock()
	l := p.queue
	if l == nil {
		return 0, false // it was a lock, and is over
	}
	first := l.head == p
	if p.state == queued {
		p.dequeue()
	}
	if node = l.entry - 1; node >= 0 && l.head == nil {
		l.entry, owed = 0, true
	}
	if p.state == queued {
		if first {
			l.owed, l.favoured = true, false
		}
		p.drop()
	}
	return node, owed
}

// Hold turns the place into a lock that this process holds, and by has. A caller without
// a place may hold a lock too.
func (t *Table) Hold(p *Place, resource string, by Holder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.state == queued {
		if p.queue.head == p {
			p.queue.favoured = false
		}
		p.dequeue()
	} else {
		p.table, p.queue, p.resource = t, t.get(resource), resource
	}
	p.queue.begin(p, by)
	p.state = holding
}

// End ends the hold that Hold began, and lets the next one go.
func (p *Place) End() {
	t := p.table
	t.mu.Lock()
	defer t.mu.Unlock()
	p.queue.ended(p)
	p.drop()
}

// dequeue takes p out of its queue.
func (p *Place) dequeue() {
	l := p.queue
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

// drop gives up what p has of its queue, and lets those go on who waited for that.
func (p *Place) drop() {
	t, l := p.table, p.queue
	p.queue, p.state = nil, outside
	t.freed(l)
	t.remove(l, p.resource)
}

// remove removes a queue that nothing is left of.
func (t *Table) remove(l *queue, resource string) {
	if l.head == nil && len(l.holds) == 0 && len(l.groups) == 0 {
		delete(t.queues, resource)
		*l = queue{holds: l.holds[:0], groups: l.groups[:0]}
		if len(t.spare) < maxSpare {
			t.spare = append(t.spare, l)
		}
	}
}

func (p *Place) wake(why Reason) {
	p.why |= why
	if p.woken == nil {
		return
	}
	select {
	case p.woken <- struct{}{}:
	default: // told already
	}
}

// Len returns how many resources have a queue.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.queues)
}

// Call tells the head of a resource's line that a node has called this process. It
// reports false if nobody waits for the resource.
func (t *Table) Call(resource string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.queues[resource]
	if l == nil || l.head == nil {
		return false
	}
	l.head.wake(Called)
	return true
}
