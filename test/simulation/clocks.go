package simulation

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
)

// A clock is those of a process: how far its wall clock has jumped, and since when
// both stand still. It takes no mutex: the library looks at it with its own held.
type clock struct {
	began      time.Time
	random     *rand.Rand
	jumped     atomic.Int64
	stoodSince atomic.Int64 // since the beginning; 0 if they do not stand still

	leaps []leap // of the wall clock, ahead
}

// A leap is a jump ahead.
type leap struct {
	at time.Time
	by time.Duration
}

// set has a Locker go by the clock.
func (c *clock) set(l *redlock.Locker) {
	seam.SetWallJump(l, func() time.Duration { return time.Duration(c.jumped.Load()) - c.stood() })
	seam.SetStood(l, c.stood)
}

// stood returns for how long the clocks have stood still.
func (c *clock) stood() time.Duration {
	since := c.stoodSince.Load()
	if since == 0 {
		return 0
	}
	return time.Since(c.began) - time.Duration(since)
}

// farthest is how far a wall clock jumps at most, all in all: with what else it may be off, less than the day by
// which a token that is proposed may be ahead.
const farthest = 3 * time.Hour

// leap has the wall clock of a process jump to somewhere else.
func (p *process) leap(to time.Duration) {
	by := to - time.Duration(p.clock.jumped.Swap(int64(to)))
	if by > 0 {
		p.clock.leaps = append(p.clock.leaps, leap{time.Now(), by})
	}
	for _, l := range p.links {
		l.trouble(0, resumes)
	}
	p.w.stats.Leaps++
	p.w.log("process %d: its wall clock jumps by %v", p.id, by)
}

// gained returns by how much its wall clock has jumped ahead within [from, to], and how long
// both its clocks stood still.
func (p *process) gained(from, to time.Time) (all time.Duration) {
	for _, l := range p.clock.leaps {
		if !l.at.Before(from) && !l.at.After(to) {
			all += l.by
		}
	}
	for _, s := range p.pauses {
		if s.late && s.to.After(from) && s.from.Before(to) {
			all += s.length()
		}
	}
	return all
}

// leaps has wall clocks of processes jump within an episode, to and fro.
func (w *world) leaps(r *rand.Rand, length time.Duration) {
	for range w.profile.leaps {
		pick := r.Int()
		to := between(r, ms, farthest)
		if chance(r, 0.4) {
			to = -to
		}
		time.AfterFunc(evenly(r, 0, length), func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.processes[pick%len(w.processes)].leap(to)
		})
	}
}

// hurry has the wall clock of a process jump, by chance, beyond the end of a lock while an extension of it is
// under way.
func (p *process) hurry(c *command, takes time.Duration) {
	w := p.w
	if w.profile.leaps == 0 || !w.raging || c.op != extend || !chance(p.clock.random, 0.03) {
		return
	}
	by := between(p.clock.random, c.ttl/4+ms, 2*c.ttl+ms)
	w.after(evenly(p.clock.random, 0, takes), func() {
		if to := time.Duration(p.clock.jumped.Load()) + by; to <= farthest && w.raging {
			p.leap(to)
		}
	})
}
