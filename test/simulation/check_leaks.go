package simulation

import (
	"context"
	"time"
)

// patience is how long a node call may stay open, and Shutdown take, after
// everything is healed, besides what locks still last: go-redis' dials and reads
// come back within it.
const patience = 3 * time.Minute

// quiet waits until no call is open. It checks a part of (e), that none stays
// so, and then the keys.
func (w *world) quiet() {
	begin := time.Now()
	for still := 0; still < 2; { // twice: at one instant a call may be about to follow another one
		time.Sleep(time.Nanosecond)
		if w.idle() {
			still++
			continue
		}
		if still = 0; time.Since(begin) > patience+2*w.longest {
			break
		}
		time.Sleep(sec)
	}
	time.Sleep(w.outlasting())
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.processes {
		if p.under > 0 {
			w.violate("e", "", begin, time.Now(), "process %d still has %d node calls open", p.id, p.under)
		}
	}
	w.checkKeys()
}

// idle reports whether no node call is open.
func (w *world) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.processes {
		if p.under > 0 {
			return false
		}
	}
	return true
}

// shutdown checks another part of (e): Shutdown returns nil once everything is
// over. That no goroutine is left, the bubble sees.
func (w *world) shutdown(p *process) {
	w.mu.Lock()
	limit := patience + 2*w.longest
	p.closing = true
	w.mu.Unlock()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err := p.locker.Shutdown(ctx)
	p.close()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log("process %d: Shutdown: %v", p.id, err)
	if err != nil {
		w.violate("e", "", begin, time.Now(), "Shutdown of process %d: %v", p.id, err)
	}
	if p.under > 0 {
		w.violate("e", "", begin, time.Now(), "Shutdown of process %d returned %v with %d node calls open", p.id, err, p.under)
	}
}
