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
//
// A call that has no answer after its node timeout is given up: nobody waits for it any
// more, and what follows in its lanes is sent, on another connection. The client may
// still wait for that answer, for seconds or for ever, as on a connection that a load
// balancer has forgotten; what such a call has done after all, its [Waiter] deals with
// when it ends.
package lane

import (
	"sync"
	"time"
)

// Limit is how many further calls a silent node takes, those waiting in lanes
// included. An acquire and the release that follows it count as one.
const Limit = 64

// maxHung is how many calls that were given up may be under way in one lane. More of them
// hold it up, as the client does not come to an end with anything there.
const maxHung = 16

// A Table holds the lanes of a number of nodes. It is safe for concurrent use.
type Table struct {
	mu    sync.Mutex
	nodes []node
	rows  map[string]*row
	spare []*row
	open  int           // places taken and not done, and other work
	lag   lag           // of late
	idle  chan struct{} // closed when open falls to 0, if somebody waits for that
}

// A row is the lanes of one resource: the end of each. It exists while a place in
// it is open.
type row struct {
	resource string
	ends     []end // by node
	open     int   // places in it, and those that were given up and are under way
}

// An end is what a lane has at one node.
type end struct {
	tail *link
	hung int // places that were given up and are under way
}

// maxSpareRows bounds the rows kept for reuse.
const maxSpareRows = 64

// NewTable returns a table for a number of nodes.
func NewTable(nodes int) *Table {
	t := &Table{nodes: make([]node, nodes), rows: make(map[string]*row)}
	for i := range t.nodes {
		n := &t.nodes[i]
		n.table, n.awake = t, n.look
	}
	return t
}

// Silent reports whether a node has owed an answer for longer than timeout and
// has answered nothing since.
func (t *Table) Silent(node int, timeout time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nodes[node].silentFor(time.Now(), timeout) > 0
}

// Answered reports whether a node has answered anything since then, or all that it was asked
// before.
func (t *Table) Answered(node int, since time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := &t.nodes[node]
	return n.answered.After(since) || n.since.IsZero() && n.answered.After(n.failed)
}

// A Kind says what a command is to the lane.
type Kind uint8

// Kinds of commands.
const (
	// Acquire puts the series' value on a node.
	Acquire Kind = iota
	// Follow acts on a value that a node should hold. It is not queued behind
	// an unanswered command of the same series, unless that is a Follow that was given up.
	Follow
	// Restore puts the value back, where a Follow may go.
	Restore
	// Release removes the value. It drops what the series has not sent yet, and
	// is given a place wherever something was sent, whatever the limit says, unless
	// the series is foreign.
	Release
)

// A Series is the sequence of commands that deal with one value of a resource, or
// of several: the acquire, extensions, the release.
type Series struct {
	table     *Table
	resources []string
	ends      []seriesEnd
	foreign   bool // its acquires were sent by another process
}

// A seriesEnd is what a series has sent last to one node, or is to send.
type seriesEnd struct {
	last *Place // the latest place, while it is open
	sent bool   // something was sent
}

// NewSeries returns a series that has sent nothing. It keeps the list of resources, of
// which no two may be the same. Without any, its places are in no lane, and due at once.
func (t *Table) NewSeries(resources ...string) Series {
	return Series{table: t, resources: resources, ends: make([]seriesEnd, len(t.nodes))}
}

// Take takes a place for a command on every node for which want reports true
// (nil: every node), all at once, and returns them in node order. Those
// that got none have a State that says why. timeout is the node timeout of the
// command's round.
func (tr *Series) Take(kind Kind, timeout time.Duration, want func(node int) bool) []Place {
	t := tr.table
	places := make([]Place, len(t.nodes))
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range places {
		p := &places[i]
		p.series, p.node, p.timeout, p.kind = tr, i, timeout, kind
		p.silentFor = t.nodes[i].silentFor(now, timeout)
		switch {
		case want != nil && !want(i):
			p.state = Unwanted
		case kind == Release:
			tr.takeRelease(p, now)
		case (kind == Follow || kind == Restore) && !tr.ends[i].mayFollow():
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

// mayFollow reports whether a command may be sent that deals with the value: none is
// unanswered that may put it there, or that somebody waits for.
func (c *seriesEnd) mayFollow() bool {
	return c.last == nil || c.last.kind == Follow && c.last.givenUp
}

// takeRelease drops what was not sent, and queues the release where something was.
func (tr *Series) takeRelease(p *Place, now time.Time) {
	c := &tr.ends[p.node]
	c.drop(now)
	switch {
	case !c.sent:
		p.state = Unneeded
		return
	case tr.foreign && p.silentFor > 0 && tr.table.nodes[p.node].further >= Limit:
		p.state = Full
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

// Drop drops what the series has not sent to a node yet.
func (tr *Series) Drop(node int) {
	tr.table.mu.Lock()
	defer tr.table.mu.Unlock()
	tr.ends[node].drop(time.Now())
}

func (c *seriesEnd) drop(now time.Time) {
	if c.last != nil && c.last.state == waiting {
		c.last.drop(now)
	}
}

// enqueue puts p at the end of its lanes.
func (tr *Series) enqueue(p *Place, now time.Time) {
	t, n := tr.table, &tr.table.nodes[p.node]
	t.open++
	n.open++
	n.owe(now)
	if p.unit {
		n.further++
	}
	tr.ends[p.node].last = p
	p.taken = true
	if more := len(tr.resources) - 1; more > 0 {
		p.more = make([]link, more)
	}
	for i, resource := range tr.resources {
		t.join(p.link(i), p, resource)
	}
	switch {
	case p.behind > 0:
		p.state, p.queued = waiting, true
	case n.full():
		p.state, p.queued = waiting, true
		n.hold(p)
	default:
		p.run(now)
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
	end := &r.ends[p.node]
	if end.tail != nil {
		k.prev, end.tail.next = end.tail, k
		p.behind++
	}
	end.tail = k
}

// part takes a link out of its lane. It returns the place that is due by that, if any.
func (k *link) part() (due *Place) {
	prev, next := k.prev, k.next
	k.prev, k.next = nil, nil
	if prev != nil {
		prev.next = next
	}
	if next != nil {
		next.prev = prev
	} else {
		k.row.ends[k.place.node].tail = prev
	}
	if prev == nil && next != nil {
		if next.place.behind--; next.place.behind == 0 {
			due = next.place
		}
	}
	return due
}

// leave ends what a link out of its lane has to do with the row.
func (t *Table) leave(k *link) {
	r := k.row
	*k = link{}
	if r.open--; r.open == 0 {
		delete(t.rows, r.resource)
		if len(t.spare) < maxSpareRows {
			t.spare = append(t.spare, r)
		}
	}
}

// Resources returns what the series is about. The list is not to be changed.
func (tr *Series) Resources() []string { return tr.resources }

func (t *Table) newRow(resource string) *row {
	if n := len(t.spare); n > 0 {
		r := t.spare[n-1]
		t.spare = t.spare[:n-1]
		r.resource = resource
		return r
	}
	return &row{resource: resource, ends: make([]end, len(t.nodes))}
}

// Resume notes that something was sent to every node, by an earlier series of the same
// value that has come to its end.
func (tr *Series) Resume() {
	tr.table.mu.Lock()
	defer tr.table.mu.Unlock()
	for i := range tr.ends {
		tr.ends[i].sent = true
	}
}

// ResumeForeign is Resume where another process has sent that. No acquire has taken the place
// of the release here, so that this counts as a call of its own.
func (tr *Series) ResumeForeign() {
	tr.foreign = true
	tr.Resume()
}

// Undone notes that all the series has sent to a node so far has done nothing there,
// for certain: it need not be released.
func (tr *Series) Undone(node int) {
	tr.table.mu.Lock()
	defer tr.table.mu.Unlock()
	tr.ends[node].sent = false
}

// Pending reports whether a command of the series is sent and not answered, or
// waits to be sent.
func (tr *Series) Pending() bool {
	tr.table.mu.Lock()
	defer tr.table.mu.Unlock()
	for i := range tr.ends {
		if tr.ends[i].last != nil {
			return true
		}
	}
	return false
}
