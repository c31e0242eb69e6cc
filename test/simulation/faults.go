package simulation

import (
	"math/rand/v2"
	"time"
)

// A fault is a kind of disturbance that lasts for a while.
type fault uint8

const (
	freezes fault = iota
	restarts
	restartsEmpty
	blackHole     // between a node and all processes
	blackHolePair // between a node and one process
	unplugged     // the connections to a node are reset
	forgets       // the connections to a node hang, new ones are well
	deafens       // the connections hang on which processes listen to a node
	jumps         // what a node says the time is
	kills         // a process

	faultKinds = int(kills) + 1
)

// disturb brings about what the profile has for an episode of that length. It
// returns when it is over. Everything is healed then.
func (w *world) disturb(r *rand.Rand, length time.Duration) {
	w.mu.Lock()
	end := time.Now().Add(length)
	w.weather, w.raging, w.heals = w.profile.foul, true, end
	w.mu.Unlock()
	for range w.profile.faults {
		kind := w.profile.kinds[r.IntN(len(w.profile.kinds))]
		begin := evenly(r, 0, length-2*ms)
		lasts := min(between(r, w.profile.struck[0], w.profile.struck[1]), length-begin-ms)
		n, l := w.nodes[r.IntN(len(w.nodes))], r.Int()
		keeps := chance(r, 0.5)
		time.AfterFunc(begin, func() { w.strike(kind, n, l, lasts, keeps) })
	}
	time.Sleep(time.Until(end))
	w.heal()
}

// strike begins one fault, and ends it after a while.
func (w *world) strike(kind fault, n *node, pick int, lasts time.Duration, keeps bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Faults[kind]++
	if kind == freezes || kind == restarts || kind == restartsEmpty {
		n.trouble(lasts, hangs)
	}
	switch kind {
	case freezes:
		if !n.down {
			n.freeze()
			w.after(lasts, n.thaw)
		}
	case restarts, restartsEmpty:
		if n.down {
			return
		}
		n.stop()
		w.after(min(lasts, time.Minute), func() { n.start(kind == restartsEmpty) })
	case blackHole:
		w.log("node %d: swallowed for %v, gives back: %t", n.id, lasts, keeps)
		for _, l := range w.linksOf(n) {
			l.darken(keeps)
			l.trouble(lasts, hangs) // it may do nothing but dial
			w.after(lasts, l.lighten)
		}
	case blackHolePair:
		links := w.linksOf(n)
		l := links[pick%len(links)]
		w.log("node %d: swallowed for process %d for %v, gives back: %t", n.id, l.process.id, lasts, keeps)
		l.darken(keeps)
		l.trouble(lasts, hangs)
		w.after(lasts, l.lighten)
	case deafens:
		for _, p := range w.processes {
			p.deafen(n)
		}
	case jumps:
		n.off = furthest - 2*evenly(n.surprises, 0, furthest)
		w.log("node %d: says the time, off by %v", n.id, n.off)
		w.after(lasts, func() { n.off = 0 })
	case kills:
		w.processes[pick%len(w.processes)].kill()
	case forgets:
		w.log("node %d: %d connections forgotten", n.id, len(n.conns))
		for c := range n.conns {
			c.stuck = true
		}
		n.trouble(0, hangs)
	case unplugged:
		w.log("node %d: connections reset", n.id)
		for c := range n.conns {
			c.reset()
		}
	}
}

// furthest bounds by how much a node's clock is off: with the processes' less than the
// day by which a token that is proposed may be ahead of it.
const furthest = 11 * time.Hour

// linksOf returns the links to a node, in the order of the processes.
func (w *world) linksOf(n *node) []*link {
	var all []*link
	for _, l := range w.links {
		if l.node == n {
			all = append(all, l)
		}
	}
	return all
}

// heal ends what is left of the faults. Connections that hang go on hanging.
func (w *world) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.weather, w.raging = w.profile.fair, false
	for _, n := range w.nodes {
		n.thaw()
		if n.down {
			n.start(false)
		}
		n.off, n.loads = 0, time.Now()
		n.loaded()
	}
	w.log("healed")
}
