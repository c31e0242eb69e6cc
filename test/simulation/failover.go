package simulation

import (
	"math/rand/v2"
	"time"
)

// A node may be a group of servers behind one name, as Sentinel and a Cluster have it. Its
// replica falls behind, the master dies, and the replica takes over: what was written in
// between is lost, and what was removed is there again.

// A copy is what a replica has of its master.
type copied struct {
	at      time.Time // by the node's clock
	strings map[string]string
	lines   map[string]map[string]float64
	ttls    map[string]time.Duration // 0: for ever
}

// copies has a replica fall behind from now on.
func (n *node) copies() {
	n.tick()
	c := &copied{n.now, make(map[string]string), make(map[string]map[string]float64), make(map[string]time.Duration)}
	for _, key := range n.redis.Keys() {
		if line, err := n.redis.SortedSet(key); err == nil {
			c.lines[key] = line
		} else if text, err := n.redis.Get(key); err == nil {
			c.strings[key] = text
		}
		c.ttls[key] = n.redis.TTL(key)
	}
	n.copy = c
}

// failOver has the replica take the place of the master, which is down.
func (n *node) failOver() {
	c, w, now := n.copy, n.w, time.Now()
	n.copy = nil
	lost := n.here
	n.here = make(map[string]*span)
	for _, s := range lost {
		s.end(now, ended{lost: true})
	}
	n.redis.FlushAll()
	w.wipes = append(w.wipes, now)
	for key, ttl := range c.ttls {
		left := ttl - n.now.Sub(c.at)
		if ttl > 0 && left <= 0 {
			continue
		}
		for member, score := range c.lines[key] {
			_, _ = n.redis.ZAdd(key, score, member)
		}
		if text, ok := c.strings[key]; ok {
			_ = n.redis.Set(key, text)
		}
		if ttl > 0 {
			n.redis.SetTTL(key, left)
		}
	}
	for _, key := range w.resources {
		n.look(key, nil, ended{})
		if s := n.here[key]; s != nil {
			s.restored = true
			w.tell(s.value, "node %d has it again", n.id)
			if before := lost[key]; before != nil && before.value == s.value {
				s.would = before.expires
			}
		}
	}
}

// failOvers has nodes fail over within an episode.
func (w *world) failOvers(r *rand.Rand, length time.Duration) {
	for range w.profile.failOvers {
		n := w.nodes[r.IntN(len(w.nodes))]
		behind, lasts := between(r, ms, 2*sec), between(r, 10*ms, 5*sec)
		begin := evenly(r, 0, length)
		if lasts = min(lasts, length-begin-behind-ms); lasts <= 0 {
			continue
		}
		time.AfterFunc(begin, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if n.down || n.frozen || n.copy != nil {
				return
			}
			n.copies()
			w.log("node %d: its replica falls behind", n.id)
			w.after(behind, func() { n.takeOver(lasts) })
		})
	}
}

// takeOver kills the master, and has the replica take over after a while.
func (n *node) takeOver(lasts time.Duration) {
	if n.down || n.copy == nil { // it was restarted meanwhile
		n.copy = nil
		return
	}
	n.w.stats.FailOvers++
	n.trouble(lasts, hangs)
	n.stop()
	n.failsOver = true
	n.w.after(lasts, func() { n.start(false) })
}
