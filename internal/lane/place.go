package lane

import "time"

// A State is where a place stands.
type State uint8

// States of a place as [Train.Take] returns it. The first two are places.
const (
	running State = iota + 1
	waiting

	Unwanted // the caller did not ask for it
	Behind   // an earlier command of the same train is unanswered there
	Full     // the node is silent and has taken all the calls it may
	Unneeded // nothing was sent that would have to be released

	dropped
	done
)

// A Place is a command's turn in its lanes.
type Place struct {
	train     *Train
	first     link          // in the lane of the first resource
	more      []link        // in those of the others; nil once it has left
	behind    int           // lanes in which another place is before it
	ready     chan struct{} // nil if the place never had to wait
	timeout   time.Duration
	silentFor time.Duration
	node      int
	state     State
	taken     bool // there is, or was, a place
	unit      bool // counts towards Limit
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

// Taken reports whether there is a place: whoever holds it calls Wait, and
// Done if Wait returns true. Meant for the caller of Take, before any Wait.
func (p *Place) Taken() bool { return p.taken }

// Reason returns why there is no place; meaningless if there is one.
func (p *Place) Reason() State { return p.state }

// SilentFor returns for how long the node had not answered when the place was
// taken; 0 if it was not silent.
func (p *Place) SilentFor() time.Duration { return p.silentFor }

// Timeout returns the node timeout of the command's round.
func (p *Place) Timeout() time.Duration { return p.timeout }

// Wait blocks until all earlier commands of its lanes are done. It reports
// whether the command is to be sent; if not, the place has been dropped.
func (p *Place) Wait() bool {
	if p.ready == nil {
		return true
	}
	<-p.ready
	t := p.train.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.state != dropped {
		return true
	}
	t.open--
	t.settle()
	return false
}

// Done gives the place up after its call has ended. answered reports whether
// the node answered, with whatever.
func (p *Place) Done(answered bool) {
	t, now := p.train.table, time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	p.state = done
	t.open--
	p.leave(answered, now)
	t.settle()
}

// drop takes a waiting place out of its lanes. Its goroutine is told by Wait,
// and counts as open until then.
func (p *Place) drop(now time.Time) {
	p.state = dropped
	p.leave(false, now)
	close(p.ready)
}

// leave takes p out of its lanes and lets those run that are due by that.
func (p *Place) leave(answered bool, now time.Time) {
	t, n := p.train.table, &p.train.table.nodes[p.node]
	if p.unit {
		n.further--
	}
	n.end(answered, now, p.timeout)
	for i := range p.train.resources {
		if due := t.leave(p.link(i)); due != nil {
			n.owe(now)
			due.run()
			close(due.ready)
		}
	}
	p.more = nil
}

func (p *Place) run() {
	p.state = running
	p.train.cars[p.node].sent = true
}

func (p *Place) pending() bool { return p != nil && (p.state == running || p.state == waiting) }
