package simulation

import (
	"math/rand/v2"
	"slices"
	"time"
)

// A process can be stopped, as by SIGSTOP or by the pause of a virtual machine. What it was
// sent waits for it, what it sends waits in it, and its workers wait before their next act.
// The timers of the library cannot be stopped: what they do reaches nobody before the process
// goes on. In every second case its clocks stand still for as long, so that a timer that fires
// meanwhile finds nothing to do: then they move on at once, and the timers of locks are late.

// A pause is one that a process has had, or has.
type pause struct {
	stretch
	late bool // its timers were
}

// stop stops a process for a while. It goes on before the episode ends.
func (p *process) stop(lasts time.Duration, late bool) {
	w := p.w
	if lasts = min(lasts, time.Until(w.heals)-ms); p.stopped != nil || p.closing || lasts <= 0 {
		return
	}
	p.stopped = make(chan struct{})
	now := time.Now()
	p.pauses = append(p.pauses, pause{stretch{now, now.Add(lasts)}, late})
	if late {
		p.clock.stoodSince.Store(int64(now.Sub(w.began)))
	}
	for _, l := range p.links {
		l.trouble(lasts, hangs)
	}
	w.stats.Stopped++
	w.log("process %d: stopped for %v, its timers are late: %t", p.id, lasts, late)
	w.after(lasts, p.goOn)
}

// goOn ends that. What waits comes in the order in which it was sent.
func (p *process) goOn() {
	p.clock.stoodSince.Store(0)
	close(p.stopped)
	p.stopped = nil
	p.w.log("process %d: goes on, with %d messages that wait", p.id, len(p.waits))
	waits := p.waits
	p.waits = nil
	for _, f := range waits {
		f()
	}
	if last := p.pauses[len(p.pauses)-1]; last.late {
		p.timersFire(time.Now().Add(catchesUp))
	}
}

const (
	// catchesUp is for how long the timers of a process are late after it has gone on: the one
	// that ends locks was set when the clocks stood still, for a second at most.
	catchesUp = sec + sec/10
	// latest is how late they are, as here the simulation looks in their place. Those of a
	// process that was stopped fire as soon as it goes on.
	latest = 20 * ms
)

// timersFire has the contexts of locks that have run out end, soon and until then.
func (p *process) timersFire(until time.Time) {
	if !time.Now().Before(until) {
		return
	}
	p.w.after(evenly(p.clock.random, latest/2, latest), func() {
		for _, h := range p.w.holds {
			if h.process == p && h.end.IsZero() {
				for _, ctx := range h.contexts {
					go func() { _ = ctx.Err() }() // calls over, which takes the world's mutex
				}
			}
		}
		p.timersFire(until)
	})
}

// gate waits while the process is stopped: no worker acts then.
func (p *process) gate() {
	for {
		p.w.mu.Lock()
		stopped := p.stopped
		p.w.mu.Unlock()
		if stopped == nil {
			return
		}
		<-stopped
	}
}

// lateFrom reports whether a timer of a process that was for a moment could fire as late as
// another one, as the process was stopped.
func (p *process) lateFrom(t, at time.Time) bool {
	return slices.ContainsFunc(p.pauses, func(s pause) bool {
		due := t
		if due.Before(s.to) {
			due = s.to
		}
		return s.late && !s.from.After(t) && !t.After(s.to.Add(catchesUp)) && !at.After(due.Add(latest))
	})
}

// wentOn reports whether a process was stopped a while ago. As its timers are not, it has made
// attempts meanwhile, which come now, each with the place in line that it had then.
func (p *process) wentOn() bool {
	return slices.ContainsFunc(p.pauses, func(s pause) bool { return time.Since(s.to) < hangs })
}

// stops has processes be stopped within an episode.
func (w *world) stops(r *rand.Rand, length time.Duration) {
	for range w.profile.stops {
		pick, late := r.Int(), chance(r, 0.5)
		lasts := between(r, w.profile.lasting[0]/4, 3*w.profile.lasting[1])
		time.AfterFunc(evenly(r, 0, length), func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.processes[pick%len(w.processes)].stop(lasts, late)
		})
	}
}
