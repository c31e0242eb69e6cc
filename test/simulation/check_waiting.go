package simulation

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/b0401464/redlock"
)

// waiterTTL is that of the locks that are waited for after everything was healed.
const waiterTTL = 5 * sec

// await checks (d): everything is healed, and a waiter gets each lock within
// the bound.
func (w *world) await(r *rand.Rand) {
	var all sync.WaitGroup
	for _, resource := range w.resources {
		p := w.processes[r.IntN(len(w.processes))]
		hold := time.Duration(0)
		if chance(r, 0.2) {
			hold = evenly(r, sec, time.Minute)
		}
		w.mu.Lock()
		closing := p.closing
		w.mu.Unlock()
		if !closing {
			all.Go(func() { w.wait(p, resource, hold) })
		}
	}
	all.Wait()
}

// wait waits for a lock, and keeps it for a while.
func (w *world) wait(p *process, resource string, keep time.Duration) {
	w.asks(waiterTTL, 0)
	w.mu.Lock()
	pause := w.longest / 25
	bound := w.bound(pause)
	w.mu.Unlock()
	begin := time.Now()
	ctx, over := p.comes(context.Background(), resource, true, false)
	lock, err := p.locker.Lock(ctx, resource, waiterTTL, redlock.WithAutoExtend(redlock.Forever),
		redlock.WithRetry(redlock.Forever, pause), redlock.WithJitter(0), redlock.WithMaxWait(2*bound))
	waited := time.Since(begin)
	over()
	w.mu.Lock()
	w.stats.Waits++
	w.stats.WaitShare = max(w.stats.WaitShare, float64(waited)/float64(bound))
	if waited > bound || err != nil {
		w.violate("d", resource, begin, time.Now(),
			"process %d waited %v for %s after everything was healed, bound %v: %v", p.id, waited, resource, bound, err)
	}
	w.mu.Unlock()
	if err == nil {
		w.keep(p.hold(lock, waiterTTL, 0), keep)
	}
}

// keep checks that a lock lasts that is extended automatically while nothing
// goes wrong.
func (w *world) keep(h *hold, d time.Duration) {
	ctx, stop := h.lock.Context(context.Background())
	defer stop()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		h.unlock()
		h.unlocks(context.Background())
	case <-ctx.Done():
		w.mu.Lock()
		defer w.mu.Unlock()
		w.violate("d", h.value.resource, h.start, time.Now(),
			"lock #%d was not kept while nothing went wrong: %v", h.value.number, context.Cause(ctx))
	}
}

// bound returns how long a waiter may have to wait once all faults are healed.
//
// The key of a lock that nobody unlocks, extended until its limit, or one that
// a copy of a command brings back late, lasts for the longest TTL by the slowest
// clock from then on. Where the waiter's own process has a call open on the
// resource, the next one waits for it: until the client gives the connection
// up that hangs, at most one dial and one read, and repeats it, after a pause of
// half a second at most. Then it takes an attempt, within a node timeout of at
// most a second, and a pause before it; a few more where nodes have restarted,
// as go-redis finds out about each connection that this has ended when it uses it.
func (w *world) bound(pause time.Duration) time.Duration {
	const dial, read, backoff, attempt, attempts = 5 * sec, 5 * sec, 512 * ms, sec, 4
	flight := max(time.Until(w.lastStep), time.Until(w.kept), 0)
	return flight + w.longestKey() + dial + read + backoff + attempts*(attempt+pause)
}
