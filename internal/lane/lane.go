// Package lane keeps the commands for one resource on one node in the order in
// which they were given, and counts what a node still owes an answer for.
//
// A lane is a queue of places, strictly first in, first out. A caller takes
// its places on all nodes in one critical section, before anything that fills them
// runs: goroutines do not run in the order in which they are started, and a release
// that overtook its acquire would leave a key behind.
//
// A command for several resources has one place on a node, which stands in the
// lanes of all of them and is due when it is the first in each. As it has been
// put into all of them at once, any two commands meet in the same order in every
// lane that they share: none waits for one that waits for it.
package lane

import (
	"sync"
	"time"
)

// Limit is how many further calls a silent node takes, those waiting in lanes
// included. An acquire and the release that follows it count as one.
const Limit = 64

// A Table holds the lanes of a number of nodes. It is safe for concurrent use.
type Table struct {
	mu    sync.Mutex
	nodes []node
	rows  map[string]*row
	spare []*row
	open  int           // places taken and not done, and other work
	idle  chan struct{} // closed when open falls to 0, if somebody waits for that
}

// A row is the lanes of one resource: the end of each. It exists while a place in
// it is open.
type row struct {
	resource string
	tails    []*link
	open     int
}

// maxSpareRows bounds the rows kept for reuse.
const maxSpareRows = 64

// NewTable returns a table for a number of nodes.
func NewTable(nodes int) *Table {
	return &Table{nodes: make([]node, nodes), rows: make(map[string]*row)}
}

// Open returns how many places are taken and not done.
func (t *Table) Open() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open
}

// Idle returns a channel that is closed once no place is open.
func (t *Table) Idle() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	t.settle()
	return idle
}

// Silent reports whether a node has owed an answer for longer than timeout and
// has answered nothing since.
func (t *Table) Silent(node int, timeout time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nodes[node].silentFor(time.Now(), timeout) > 0
}

// Begin counts work that is no place, such as telling somebody of one, as open
// until End.
func (t *Table) Begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open++
}

// End ends what Begin began.
func (t *Table) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open--
	t.settle()
}

func (t *Table) settle() {
	if t.open == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// A Kind says what a command is to the lane.
type Kind uint8

// Kinds of commands.
const (
	// Acquire puts the train's value on a node.
	Acquire Kind = iota
	// Follow acts on a value that a node should hold. It is not queued behind
	// an unanswered command of the same train.
	Follow
	// Release removes the value. It drops what the train has not sent yet, and
	// is given a place wherever something was sent, whatever the limit says.
	Release
)

// A Train is the sequence of commands that deal with one value of a resource, or
// of several: the acquire, extensions, the release.
type Train struct {
	table     *Table
	resources []string
	cars      []car
}

// A car is what a train has on one node.
type car struct {
	last *Place // the latest place, while it is open
	sent bool   // something was sent
}

// NewTrain returns a train that has sent nothing. It keeps the list of resources, of
// which no two may be the same.
func (t *Table) NewTrain(resources ...string) Train {
	return Train{table: t, resources: resources, cars: make([]car, len(t.nodes))}
}

// Take takes a place for a command on every node for which want reports true
// (nil: every node), all at once, and returns them in node order. Those
// that got none have a State that says why. timeout is the node timeout of the
// command's round.
func (tr *Train) Take(kind Kind, timeout time.Duration, want func(node int) bool) []Place {
	t := tr.table
	places := make([]Place, len(t.nodes))
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range places {
		p := &places[i]
		p.train, p.node, p.timeout = tr, i, timeout
		p.silentFor = t.nodes[i].silentFor(now, timeout)
		switch {
		case want != nil && !want(i):
			p.state = Unwanted
		case kind == Release:
			tr.takeRelease(p, now)
		case kind == Follow && tr.cars[i].last != nil:
			p.state = Behind
		case p.silentFor > 0 && t.nodes[i].further >= Limit:
			p.state = Full
		default:
			p.unit = p.silentFor > 0
			tr.enqueue(p, now)
		}
	}
	return places
}

// takeRelease drops what was not sent, and queues the release where something was.
func (tr *Train) takeRelease(p *Place, now time.Time) {
	c := &tr.cars[p.node]
	c.drop(now)
	if !c.sent {
		p.state = Unneeded
		return
	}
	p.unit = p.silentFor > 0
	if c.last != nil && c.last.unit {
		// The place of the acquire includes its release.
		c.last.unit = false
		tr.table.nodes[p.node].further--
		p.unit = true
	}
	tr.enqueue(p, now)
}

// Drop drops what the train has not sent to a node yet.
func (tr *Train) Drop(node int) {
	tr.table.mu.Lock()
	defer tr.table.mu.Unlock()
	tr.cars[node].drop(time.Now())
}

func (c *car) drop(now time.Time) {
	if c.last != nil && c.last.state == waiting {
		c.last.drop(now)
	}
}

// enqueue puts p at the end of its lanes.
func (tr *Train) enqueue(p *Place, now time.Time) {
	t, n := tr.table, &tr.table.nodes[p.node]
	t.open++
	n.open++
	n.owe(now)
	if p.unit {
		n.further++
	}
	tr.cars[p.node].last = p
	p.taken = true
	if more := len(tr.resources) - 1; more > 0 {
		p.more = make([]link, more)
	}
	for i, resource := range tr.resources {
		t.join(p.link(i), p, resource)
	}
	if p.behind > 0 {
		p.state, p.queued = waiting, true
	} else {
		p.run()
	}
}

// join puts k, a link of p, at the end of the lane of a resource.
func (t *Table) join(k *link, p *Place, resource string) {
	r := t.rows[resource]
	if r == nil {
		r = t.newRow(resource)
		t.rows[resource] = r
	}
	r.open++
	k.place, k.row = p, r
	if tail := r.tails[p.node]; tail != nil {
		k.prev, tail.next = tail, k
		p.behind++
	}
	r.tails[p.node] = k
}

// leave takes a place's link out of its lane. It returns the place that is due by
// that, if any.
func (t *Table) leave(k *link) (due *Place) {
	r, node, prev, next := k.row, k.place.node, k.prev, k.next
	*k = link{}
	if prev != nil {
		prev.next = next
	}
	if next != nil {
		next.prev = prev
	} else {
		r.tails[node] = prev
	}
	if prev == nil && next != nil {
		if next.place.behind--; next.place.behind == 0 {
			due = next.place
		}
	}
	if r.open--; r.open == 0 {
		delete(t.rows, r.resource)
		if len(t.spare) < maxSpareRows {
			t.spare = append(t.spare, r)
		}
	}
	return due
}

// Resources returns what the train is about. The list is not to be changed.
func (tr *Train) Resources() []string { return tr.resources }

func (t *Table) newRow(resource string) *row {
	if n := len(t.spare); n > 0 {
		r := t.spare[n-1]
		t.spare = t.spare[:n-1]
		r.resource = resource
		return r
	}
	return &row{resource: resource, tails: make([]*link, len(t.nodes))}
}

// Undone notes that all the train has sent to a node so far has done nothing there,
// for certain: it need not be released.
func (tr *Train) Undone(node int) {
	tr.table.mu.Lock()
	defer tr.table.mu.Unlock()
	tr.cars[node].sent = false
}

// Pending reports whether a command of the train is sent and not answered, or
// waits to be sent.
func (tr *Train) Pending() bool {
	tr.table.mu.Lock()
	defer tr.table.mu.Unlock()
	for i := range tr.cars {
		if tr.cars[i].last != nil {
			return true
		}
	}
	return false
}
