package simulation

import (
	"math/rand/v2"
	"time"
)

// erase has nodes lose locks within an episode, one key at a time, as by an eviction or an
// operator who deletes it. They go on, and what they are asked next tells that it is gone.
func (w *world) erase(r *rand.Rand, length time.Duration) {
	for range w.profile.erases {
		resource, share := w.resources[r.IntN(len(w.resources))], r.Float64()
		var from []*node
		for _, n := range w.nodes {
			if chance(r, share) {
				from = append(from, n)
			}
		}
		time.AfterFunc(evenly(r, 0, length), func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, n := range from {
				n.erase(resource)
			}
		})
	}
}

// erase removes a lock from the node.
func (n *node) erase(resource string) {
	n.tick()
	n.look(resource, nil, ended{})
	if s := n.here[resource]; s != nil && s.value.hold != nil {
		n.w.stats.Erased++
		n.redis.Del(resource)
		n.copy = nil // a replica that follows
		n.look(resource, nil, ended{lost: true})
	}
}

// doubt has a node fall silent for a process, by chance, that it has just told that a lock is
// gone: what that asks it next is not answered.
func (n *node) doubt(l *link) {
	if n.w.profile.erases == 0 || !n.w.raging || !chance(n.doubts, 0.3) {
		return
	}
	lasts := min(between(n.doubts, 100*ms, 5*sec), time.Until(n.w.heals)-ms)
	if lasts <= 0 {
		return
	}
	n.w.stats.Missing++
	n.w.log("node %d: process %d hears no more of it", n.id, l.process.id)
	l.darken(chance(n.doubts, 0.5))
	n.w.after(lasts, l.lighten)
}
