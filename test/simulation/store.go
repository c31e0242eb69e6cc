package simulation

import (
	"context"
	"time"

	"github.com/b0401464/redlock"
)

// A store is what a resource protects. It has a Fence where all who lock it have tokens.
type store struct {
	fence redlock.Fence
	wrote []*hold // whose writes were accepted
}

// write has a worker look at its lock and write. Between the two its process may be stopped.
func (k *worker) write(ctx context.Context, h *hold) {
	w, r := k.w, k.writes
	if w.profile.stops == 0 || !chance(r, 0.5) {
		return
	}
	k.process.gate()
	valid := ctx.Err() == nil
	if chance(r, 0.5) {
		valid = h.lock.Valid()
	}
	until, looked := h.lock.Until(), time.Now()
	w.mu.Lock()
	if valid && looked.After(until) {
		w.violate("b", h.value.resource, h.start, looked, "a look found lock #%d valid %v after Until", h.value.number, looked.Sub(until))
	}
	if valid && chance(r, 0.3) && w.raging {
		k.process.stop(between(r, h.ttl/4, 3*h.ttl), chance(r, 0.5))
	}
	w.mu.Unlock()
	if !valid {
		return
	}
	k.process.gate()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written(h, looked)
}

// written notes a write for which its holder has looked at its lock at that time.
func (w *world) written(h *hold, looked time.Time) {
	w.stats.Writes++
	now, late := time.Now(), false
	for _, g := range w.holds {
		if g != h && g.value.resource == h.value.resource && g.start.After(h.start) && now.After(g.start) {
			late = true
		}
	}
	if late {
		w.stats.LateWrites++
		if !looked.Before(now) && !w.bereft(h, now) {
			w.violate("a", h.value.resource, h.start, now, "lock #%d was found valid and its holder wrote, while another one had been granted", h.value.number)
		}
	}
	if !w.profile.fenced || w.profile.plain > 0 {
		return
	}
	s := w.stores[h.value.resource]
	if s == nil {
		s = new(store)
		w.stores[h.value.resource] = s
	}
	w.admit(s, h)
}

// admit checks another part of (g): no write is accepted behind that of a later holder.
func (w *world) admit(s *store, h *hold) {
	if s.fence.Admit(h.token) != nil {
		w.stats.Refused++
		return
	}
	for _, g := range s.wrote {
		if g.start.After(h.start) && (!w.counterLost(h, g) || w.clocksCover(h, g)) {
			w.violate("g", h.value.resource, h.start, time.Now(), "a write with lock #%d, token %d, was accepted behind one with the later lock #%d, token %d",
				h.value.number, h.token, g.value.number, g.token)
		}
	}
	s.wrote = append(s.wrote, h)
}
