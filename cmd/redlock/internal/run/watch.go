package run

import "time"

// An action is what is to be done to the command.
type action int

const (
	nothing action = iota
	ask            // it to end: TERM
	kill
)

// glance is how often the clocks are looked at, at least.
const glance = time.Second

// forever is for how long a lock lasts that does not matter.
const forever time.Duration = 1<<63 - 1

// A watch decides when a command is to end so that it is dead before its lock is over.
type watch struct {
	abrupt bool          // kill it without asking first
	grace  time.Duration // from asking to killing
	margin time.Duration // from killing to the end of the lock

	asked bool
	since time.Time // when it was asked
}

// next returns what is due at now, and in what time to call again at the latest. The lock
// lasts for left; the command is to end before that if end says so. What is due stays due
// until the command has ended.
func (w *watch) next(now time.Time, left time.Duration, end bool) (action, time.Duration) {
	rest := left - w.margin // until it must be killed
	if w.asked {
		rest = min(rest, w.grace-now.Sub(w.since))
	}
	switch {
	case rest <= 0, end && w.abrupt:
		return kill, 0
	case w.abrupt || w.asked:
		return nothing, rest
	case end, rest <= w.grace:
		w.asked, w.since = true, now
		return ask, min(w.grace, rest)
	default:
		return nothing, rest - w.grace
	}
}

// until returns how long it is until t, by the monotonic or by the wall clock, whichever says
// less. The monotonic clock stands still while a machine is suspended.
func until(t, now time.Time) time.Duration {
	return min(t.Sub(now), t.Round(0).Sub(now.Round(0)))
}
