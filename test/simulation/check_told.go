package simulation

import (
	"errors"
	"slices"
	"time"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/quorum"
)

// Bounds of what (h) judges.
const (
	// conclusive is how much time a call has to have had for its attempts to be told
	// from cut ones: some round trips of messages that take no longer than slowest.
	conclusive = 200 * ms
	// enough is the node timeout that the documentation asks for, of four round trips,
	// with something to spare.
	enough = 12 * slowest
	// noticed is how long the nodes have to have been away before a call began, so that
	// what was known before does not count any more: a node timeout, and the longest
	// time for which somebody in line does not ask all nodes.
	noticed = 5 * sec
)

// told checks (h), what a call that got no lock was told: not that too few nodes answer
// if a majority was well all the time, nor that another one has the lock if most
// nodes were away all the time.
func (k *worker) told(p plan, start time.Time, err error) {
	resources := p.several
	if resources == nil {
		resources = []string{p.resource}
	}
	w := k.w
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	switch {
	case errors.Is(err, redlock.ErrNoQuorum) && now.Sub(start) >= conclusive && !p.hasty() && !k.process.hastySince(resources, start.Add(-noticed)):
		w.stats.Told++
		if k.process.mostCalmSince(start) {
			w.violate("h", resources[0], start, now, "process %d was told that too few nodes answer, though a majority was well: %v", k.process.id, err)
		}
	case errors.Is(err, redlock.ErrContended):
		w.stats.Told++
		if w.mostAwaySince(start.Add(-noticed)) && !k.process.has(resources, start) {
			w.violate("h", resources[0], start, now, "process %d was told that another one has the lock, though most nodes were away: %v", k.process.id, err)
		}
	}
}

// hasty reports whether the node timeout is shorter than the documentation asks for.
func (p *plan) hasty() bool {
	return p.nodeTimeout > 0 && p.nodeTimeout < enough || p.nodeTimeout == 0 && quorum.NodeTimeout(p.ttl) < enough
}

// hastySince reports whether a process has had a call for one of some resources since then
// whose node timeout is too short. What that has seen, others of the process are told too
// that have had no turn.
func (p *process) hastySince(resources []string, then time.Time) bool {
	return slices.ContainsFunc(p.w.waiters, func(x *waiter) bool {
		return x.process == p && x.hasty && slices.Contains(resources, x.resource) && (x.to.IsZero() || x.to.After(then))
	})
}

// mostAwaySince reports whether a majority of the nodes has been frozen or down since
// then.
func (w *world) mostAwaySince(then time.Time) bool {
	away := 0
	for _, n := range w.nodes {
		if !n.away.IsZero() && n.away.Before(then) {
			away++
		}
	}
	return away > len(w.nodes)/2
}

// has reports whether a process has had a lock on one of some resources since then. One that
// is at the limit of automatic extension lasts as long as it is valid.
func (p *process) has(resources []string, then time.Time) bool {
	return slices.ContainsFunc(p.w.holds, func(h *hold) bool {
		return h.process == p && slices.Contains(resources, h.value.resource) &&
			(h.end.IsZero() || h.end.After(then) || !h.unlocked && h.until.After(then))
	})
}
