package node

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/b0401464/redlock/internal/alarm"
	"github.com/b0401464/redlock/internal/value"
)

// Bounds of the pause before what is owed is tried again. Whenever it is over and the node
// still does not answer well, it doubles. After many dials have failed go-redis dials once
// a second, and refuses connections at once meanwhile, though the node may be back.
const (
	redial    = 1200 * time.Millisecond
	maxRedial = 10 * time.Second
)

// maxPending bounds the releases that a node is owed.
const maxPending = 1024

// lastTries is how often a release is tried that is owed when Shutdown comes, or later.
// The first try may have begun before, or not be sent as too many others hang, on a node
// that goes on just then.
const lastTries = 2

// pending are the releases that a node is owed, in the order in which they are tried. What
// a node says of a release can be over in a moment, as a lost connection is: while it
// loads its data after a restart, say. So each is tried again until the node has carried
// it out, or the key must have run out.
type pending struct {
	node  *Node
	count atomic.Int32 // of owed

	mu      sync.Mutex
	owed    []release
	pause   time.Duration // 0 while the node answers well
	paused  time.Time     // since when it is that long
	alarm   alarm.Alarm   // set while something is owed and no goroutine settles
	settles bool
	last    bool // each is tried lastTries times more at most
	hung    int  // tries that are under way, most of them given up
}

// A release is one of which both tries have failed.
type release struct {
	call    *Call
	command *Command
	mark    string // of the value
	due     time.Time
	until   time.Time // the key can be there
	open    bool      // counts as a node call under way
	times   int       // it was owed: what was tried before the last of them does not settle it
	left    int       // tries, once they are the last ones
}

// owe has the release tried again at that moment. It only compares with its own value, so it
// needs no place in a lane, and lets nobody in the line go.
func (v *Call) owe(until, due time.Time) {
	if !time.Now().Before(until) {
		return
	}
	r := release{call: v, command: v.Command, mark: value.Mark(v.Command.value()), due: due, until: until, left: lastTries}
	if r.command.Plain != nil {
		r.command = r.command.Plain
	}
	v.queue = nil // it goes by itself
	v.Node.pending.add(r)
}

func (p *pending) add(r release) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.owed, func(old release) bool { return old.command == r.command }); i >= 0 {
		old := &p.owed[i]
		old.times++
		old.left = lastTries
		if r.until.After(old.until) {
			old.until = r.until
		}
		if r.due.Before(old.due) {
			old.due = r.due
		}
		p.rest()
		return
	}
	if len(p.owed) == maxPending {
		return
	}
	if p.last {
		p.countOpen(&r)
	}
	p.owed = append(p.owed, r)
	p.rest()
}

func (p *pending) countOpen(r *release) {
	r.open = true
	p.node.lanes.Begin()
}

// LetGo has all that the node is owed, and will be, tried lastTries times more at most,
// soon. That counts as node calls under way.
func (n *Node) LetGo() {
	p, soon := &n.pending, time.Now().Add(redial)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.owed {
		r := &p.owed[i]
		if !r.open {
			p.countOpen(r)
		}
		if r.due.After(soon) {
			r.due = soon
		}
	}
	p.last = true
	p.rest()
}

// Owes reports whether the node is owed a release.
func (n *Node) Owes() bool { return n.pending.count.Load() > 0 }

// rest waits until something is due, unless it is being settled.
func (p *pending) rest() {
	p.count.Store(int32(len(p.owed))) //nolint:gosec // at most maxPending
	if p.settles || len(p.owed) == 0 {
		return
	}
	due := slices.MinFunc(p.owed, func(a, b release) int { return a.due.Compare(b.due) }).due
	if wait := time.Until(due); wait > 0 {
		p.node.alarms.Set(&p.alarm, p, wait)
	} else {
		p.begin()
	}
}

// Wake is for the alarm.
func (p *pending) Wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.settles {
		p.begin()
	}
}

// begin has what is due settled.
func (p *pending) begin() {
	p.settles = true
	p.node.lanes.Go(p.settle)
}

// next tells what is due, and drops what is over. It is owed until it has been tried, so
// that [pending.named] finds it meanwhile.
func (p *pending) next() (r release, due bool) {
	now := time.Now()
	p.drop(func(r release) bool { return !now.Before(r.until) })
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.owed, func(r release) bool { return !r.due.After(now) })
	if i >= 0 {
		return p.owed[i], true
	}
	return r, false
}

// remove takes a release off the list that has been carried out.
func (p *pending) remove(r release) {
	p.drop(func(old release) bool { return old.command == r.command && old.times == r.times })
}

func (p *pending) drop(del func(r release) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owed = slices.DeleteFunc(p.owed, func(r release) bool {
		if !del(r) {
			return false
		}
		if r.open {
			p.node.lanes.End()
		}
		return true
	})
	p.count.Store(int32(len(p.owed))) //nolint:gosec // at most maxPending
}

// named returns the release of the value that a refusal names.
func (p *pending) named(mark string) (r release, owed bool) {
	if p.count.Load() == 0 {
		return r, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.owed {
		if p.owed[i].mark == mark {
			return p.owed[i], true
		}
	}
	return r, false
}
