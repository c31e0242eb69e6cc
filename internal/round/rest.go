package round

import "time"

// A Resting is what is kept of a grant of which nothing is under way, for as long as
// nobody needs it: a tenth of what it takes to send commands.
type Resting struct {
	value string
	until time.Time // it may be on the nodes at most
	late  bool      // beyond the end of the lock
	gate  int       // or NoGate
	token int64     // 0 for none
	keep  any       // the counters; see fence
}

// Value returns the random value.
func (r *Resting) Value() string { return r.value }

// Token returns the fencing token, or 0.
func (r *Resting) Token() int64 { return r.token }

// Late reports whether the value is kept on a node beyond the end of the lock, as far as is
// known.
func (r *Resting) Late() bool { return r.late }

// Rest returns what is to be kept of a grant that was neither extended nor released, if all
// that was sent has come to its end, and well: every node has granted, and no line is to be
// left. Else it returns nil. The grant is not to be used any more then.
func (g *Grant) Rest() *Resting {
	if g.commands.Several() || g.series.Pending() {
		return nil
	}
	r := &Resting{value: g.value, gate: NoGate}
	g.mu.Lock()
	defer g.mu.Unlock()
	until, rests := g.ledger.Resting()
	if !rests || g.holder == nil {
		return nil
	}
	r.until, r.late = until, g.ledger.Late()
	if gt := g.gate; gt != nil {
		if !g.won || gt.stale != "" || gt.came != "" && !gt.left {
			return nil
		}
		r.gate = gt.node
	}
	r.token, r.keep = g.commands.Token(), g.commands.Keep()
	return r
}

// Found returns the grant of a value that was read on the nodes, to remove it. It may be there
// until then at most, as far as anybody knows.
func (f *Nodes) Found(resource, value string, until time.Time) *Grant {
	g := f.Resume([]string{resource}, &Resting{value: value, until: until, gate: f.Gate(resource)})
	g.series.ResumeForeign()
	return g
}

// Resume returns the grant for a resource that something is to be sent for again.
func (f *Nodes) Resume(resources []string, r *Resting) *Grant {
	g := newGrant(f, resources, r.value)
	if r.token != 0 {
		g.commands.Fence(resources, 0, r.keep)
		g.commands.Agree(r.token)
	}
	if r.gate != NoGate {
		g.enter(Plan{Gate: r.gate})
		g.won, g.gate.left = true, true
	}
	g.series.Resume()
	g.ledger.Resume(r.until, r.late, f.Clock.Now().Moment())
	return g
}
