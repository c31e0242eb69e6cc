package waitqueue

import (
	"math"
	"time"

	"github.com/b0401464/redlock/internal/quorum"
)

// Forever is the count of retries without an end.
const Forever = -1

// minDelay is what a retry costs at least: about as long as its attempt.
const minDelay = time.Millisecond

// A Schedule says how long a call may wait, and when it asks again if it polls.
type Schedule struct {
	Retries       int // after the first attempt, or Forever
	Delay, Jitter time.Duration
	MaxWait       time.Duration // in place of Retries, if it is not 0
	Began         time.Time

	attempts int           // the first one, and those that the schedule has brought
	due      time.Time     // when it has the next one, if that is drawn
	drawn    bool          // since the last one
	paused   time.Duration // the sum of its pauses
}

// Attempts returns how many attempts the schedule has brought, the first one included.
func (s *Schedule) Attempts() int { return s.attempts }

// pause returns how far retries are apart.
func (s *Schedule) pause() time.Duration { return max(s.Delay, minDelay) }

// Left returns how much is left of the time that the call may wait.
func (s *Schedule) Left(now time.Time) time.Duration {
	patience := s.MaxWait
	switch {
	case patience > 0:
	case s.Retries == Forever:
		return math.MaxInt64
	default:
		patience = quorum.Patience(s.Retries, s.pause())
	}
	if patience == math.MaxInt64 {
		return patience
	}
	return max(patience-now.Sub(s.Began), 0)
}

// Count counts an attempt that begins now. One that comes before the schedule has one is a
// part of the one before: it repeats that after a tie, or looks only how the line goes on.
func (s *Schedule) Count(now time.Time) {
	if s.attempts == 0 || s.drawn && !now.Before(s.due) {
		s.attempts++
		s.drawn = false
	}
}

// draw draws when the schedule has the next attempt, after one that it had.
func (s *Schedule) draw(now time.Time, random func() float64) {
	if s.drawn {
		return
	}
	s.drawn = true
	pause := max(quorum.Delay(s.Delay, s.Jitter, random()), minDelay)
	if retries := s.retriesLeft(); retries != Forever {
		// What attempts, and others before this one, have taken is not made up for.
		passed := (now.Sub(s.Began) - s.paused) / s.pause()
		pause = quorum.RetryPause(s.Left(now), retries-int(passed), s.Jitter, random())
		s.paused += pause
	}
	s.due = after(now, pause)
}

// after returns the moment after d, or one that is far enough if d is too long for that.
func after(now time.Time, d time.Duration) time.Time { return now.Add(min(d, farAway)) }

const farAway = 100 * 365 * 24 * time.Hour

// retriesLeft returns how many retries the schedule has left, or Forever.
func (s *Schedule) retriesLeft() int {
	if s.Retries == Forever || s.MaxWait > 0 {
		return Forever
	}
	return max(s.Retries-max(s.attempts-1, 0), 0)
}
