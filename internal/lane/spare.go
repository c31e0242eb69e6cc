package lane

import "time"

// turns is how many turns of the scheduler an answer takes at most, about: those of a dial,
// too.
const turns = 10

// A Spare is for how long a node is waited for besides, as this process does not get the
// processor, or was stopped: what the node has said may be here. It is no longer than the node
// timeout.
type Spare struct{ total time.Duration }

// Add takes note of how late a goroutine has had its turn; what is known adds nothing. It returns
// for how much longer to wait.
func (s *Spare) Add(late, timeout time.Duration) (more time.Duration) {
	if late < notable(timeout) {
		return 0
	}
	more = max(min(turns*late, timeout)-s.total, 0)
	s.total += more
	return more
}

// spares has a place be given up later, once, if goroutines have had their turns so late. It
// reports whether that is so.
func (p *Place) spares(late time.Duration, now time.Time) bool {
	var s Spare
	more := s.Add(late, p.timeout)
	if more == 0 || !p.until.IsZero() {
		return false
	}
	p.until = now.Add(more)
	return true
}

// notable returns how late something has to be that it says anything.
func notable(timeout time.Duration) time.Duration { return timeout / 100 }

// A lag is how late a goroutine has begun to send a command, and when that was.
type lag struct {
	late time.Duration
	at   time.Time
}

// Begun is told how late the goroutine has begun that sends the command.
func (p *Place) Begun(late time.Duration) {
	if late < notable(p.timeout) { // as nearly always
		return
	}
	t, now := p.series.table, time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if late >= t.lag.late || now.Sub(t.lag.at) > p.timeout {
		t.lag = lag{late, now}
	}
}

// Lag returns how late goroutines have begun lately, or a timer that was so late.
func (t *Table) Lag(timer, timeout time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lately(timer, timeout, time.Now())
}

func (t *Table) lately(timer, timeout time.Duration, now time.Time) time.Duration {
	if now.Sub(t.lag.at) > 2*timeout {
		return timer
	}
	return max(timer, t.lag.late)
}
