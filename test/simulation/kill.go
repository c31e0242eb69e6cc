package simulation

import "time"

// kill ends a process as SIGKILL does, as far as anybody else can tell: nothing
// that it sends arrives any more, and what it had to do comes to nothing.
func (p *process) kill() {
	w := p.w
	alive := 0
	for _, q := range w.processes {
		if !q.closing {
			alive++
		}
	}
	if p.closing || alive <= 2 {
		return
	}
	p.closing = true
	p.trouble(forever)
	w.stats.Line.Killed++
	if len(w.heads(p)) > 0 {
		w.stats.Line.KilledInLine++
	}
	w.log("process %d: killed", p.id)
	for _, l := range p.links {
		l.ended = true
		for c := range l.node.conns {
			if c.link == l {
				c.reset()
			}
		}
	}
	p.end()
}

// forever is longer than a history.
const forever = 1e6 * time.Hour

// heads returns who waits in line in the name of a process.
func (w *world) heads(p *process) []*waiter {
	var all []*waiter
	for _, x := range w.waiters {
		if x.process == p && x.waits() {
			all = append(all, x)
		}
	}
	return all
}

// deafen has the connections hang on which a process listens to a node.
func (p *process) deafen(n *node) {
	for c := range n.conns {
		if c.link.process == p && c.listens != nil {
			c.stuck = true
			c.link.trouble(0, hangs)
			p.w.stats.Line.Deafened++
		}
	}
}

// surprise has something happen, by chance, to who was just called: it gives up,
// it dies, or it does not hear it.
func (w *world) surprise(x *waiter) {
	if !w.raging {
		return
	}
	r, h := x.gate.surprises, &w.profile.habits
	after := evenly(r, 0, 6*ms)
	switch u := r.Float64(); {
	case u < h.quits:
		w.stats.Line.Quit++
		w.after(after, x.cancel)
	case u < h.quits+h.dies:
		w.stats.Line.Died++
		w.after(after, x.process.kill)
	case u < h.quits+h.dies+h.misses:
		w.stats.Line.Missed++
		x.process.deafen(x.gate)
	}
}
