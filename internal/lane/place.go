package lane

import (
	"sync/atomic"
	"time"
)

// A State is where a place stands.
type State uint8

// States of a place as [Series.Take] returns it. The first two are places.
const (
	running State = iota + 1
	waiting

	Unwanted // the caller did not ask for it
	Behind   // an earlier command of the same series is unanswered there
	Full     // the node is silent and has taken all the calls it may
	Unneeded // nothing was sent that would have to be released

	dropped
	done
)

// A Place is a command's turn in its lanes.
type Place struct {
	series    *Series
	first     link   // in the lane of the first resource
	more      []link // in those of the others; nil once it has left
	waiter    Waiter // told when the place is due, dropped, or given up
	timeout   time.Duration
	silentFor time.Duration
	node      int
	behind    int32 // lanes in which another place is before it
	state     State
	taken     bool // there is, or was, a place
	queued    bool // it had to wait
	unit      bool // counts towards Limit
	held      bool // its turn has come, and it waits for room
	kind      Kind

	// While it waits for room, or its command is sent.
	sent         time.Time
	older, newer *Place      // among those of the node
	until        time.Time   // when it is to be given up if that is later than usual
	known        atomic.Bool // waiter is set
	givenUp      bool
	gaveUp       time.Time // when that was
	writtenOff   bool      // it does not count as open any more
}

// A link is where a place stands in one lane.
type link struct {
	place      *Place
	row        *row
	prev, next *link
}

// link returns what p has in the lane of the i-th resource.
func (p *Place) link(i int) *link {
	if i == 0 {
		return &p.first
	}
	return &p.more[i-1]
}

// Taken reports whether there is a place: whoever holds it calls Then, and Done
// once the command has been sent. Meant for the caller of Take, before any Then.
func (p *Place) Taken() bool { return p.taken }

// Reason returns why there is no place; meaningless if there is one.
func (p *Place) Reason() State { return p.state }

// SilentFor returns for how long the node had not answered when the place was
// taken; 0 if it was not silent.
func (p *Place) SilentFor() time.Duration { return p.silentFor }

// Queued reports whether the place has had to wait.
func (p *Place) Queued() bool { return p.queued }

// Timeout returns the node timeout of the command's round.
func (p *Place) Timeout() time.Duration { return p.timeout }

// Resources returns what the series of the place is about. The list is not to be changed.
func (p *Place) Resources() []string { return p.series.resources }

// A Waiter is told of its place.
type Waiter interface {
	// Due is called once: with true when the command is to be sent, as all earlier
	// ones of its lanes are done, or with false when the place has been dropped. It
	// may be called on the goroutine of another one's Done, and must not block.
	Due(send bool)
	// GiveUp is called, after that, when the node has not answered for the node timeout:
	// what follows in the lanes of the place is sent now. It must not block.
	GiveUp()
}

// Then has w told, at once or when the time has come.
func (p *Place) Then(w Waiter) {
	if !p.queued {
		p.waiter = w
		p.known.Store(true)
		w.Due(true)
		return
	}
	t := p.series.table
	t.mu.Lock()
	state := p.state
	if state != dropped {
		p.waiter = w
		p.known.Store(true)
	}
	t.mu.Unlock()
	switch state {
	case waiting:
	case dropped:
		t.tellDropped(w)
	default:
		w.Due(true)
	}
}

// tellDropped tells that a place has been dropped, which counts as open until then.
func (t *Table) tellDropped(w Waiter) {
	defer t.End()
	w.Due(false)
}

// Done gives the place up after its call has ended, and tells those that are due by
// that. answered reports whether the node answered, with whatever.
func (p *Place) Done(answered bool) { p.DoneAt(time.Now(), answered) }

// DoneAt is Done for a call that has ended at that moment, just now.
func (p *Place) DoneAt(now time.Time, answered bool) {
	t := p.series.table
	var two [2]Waiter
	t.mu.Lock()
	ran := p.state == running
	p.state = done
	if !p.writtenOff {
		t.open--
	}
	if ran && !p.givenUp {
		t.nodes[p.node].sent--
	}
	due := p.leave(answered, now, two[:0])
	t.settle()
	t.mu.Unlock()
	for _, w := range due {
		w.Due(true)
	}
}

// drop takes a waiting place out of its lanes. Its waiter, and those that are due by
// that, are told on goroutines of their own: whoever releases holds locks of its own.
func (p *Place) drop(now time.Time) {
	p.state = dropped
	for _, w := range p.leave(false, now, nil) {
		go w.Due(true)
	}
	if p.waiter != nil {
		go p.series.table.tellDropped(p.waiter)
	}
}

// leave takes p out of its lanes and lets those run that are due by that. It appends
// to due whom to tell.
func (p *Place) leave(answered bool, now time.Time, due []Waiter) []Waiter {
	t, n := p.series.table, &p.series.table.nodes[p.node]
	if last := &p.series.ends[p.node].last; *last == p {
		*last = nil // a held lock keeps no places
	}
	if p.unit {
		n.further--
	}
	switch {
	case p.held:
		n.forget(p)
	case p.state == done && !p.writtenOff:
		n.unlist(p)
	}
	n.end(answered, now, p.timeout)
	switch {
	case answered:
		n.hears(p.sent)
	case p.state == done:
		n.failed = now
	}
	if !p.givenUp {
		due = p.part(due)
	}
	for i := range p.series.resources {
		k := p.link(i)
		if p.givenUp {
			k.row.ends[p.node].hung--
		}
		t.leave(k)
	}
	p.more = nil
	return due
}

// part takes p out of its lanes, and lets those run for which there is room and whose turn
// comes by that, or came before. It appends to due whom to tell.
func (p *Place) part(due []Waiter) []Waiter {
	n := &p.series.table.nodes[p.node]
	for i := range p.series.resources {
		switch next := p.link(i).part(); {
		case next == nil:
		case n.full():
			n.hold(next)
		default:
			due = next.turn(due)
		}
	}
	for next := n.next(); next != nil; next = n.next() {
		due = next.turn(due)
	}
	return due
}

// turn lets p run, whose turn has come. It appends to due whom to tell.
func (p *Place) turn(due []Waiter) []Waiter {
	now := time.Now() // the caller's may be a while ago
	p.series.table.nodes[p.node].owe(now)
	p.run(now)
	if p.waiter != nil { // else its Then finds it running
		due = append(due, p.waiter)
	}
	return due
}

func (p *Place) run(now time.Time) {
	n := &p.series.table.nodes[p.node]
	n.sent++
	p.state, p.sent = running, now
	p.series.ends[p.node].sent = true
	n.list(p)
}
