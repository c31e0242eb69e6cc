package chaos

import (
	"sync"
	"time"
)

const (
	beat   = 5 * time.Millisecond
	period = 5 * time.Second // what counts as lately is one to two of them
)

// A metronome finds out how late timers are on this machine.
type metronome struct {
	stop chan struct{}
	done chan struct{}

	mu       sync.Mutex
	due      time.Time // of the next beat; zero if there is none
	begun    time.Time // of the present period
	present  time.Duration
	previous time.Duration
	worst    time.Duration
}

// start begins to measure.
func (m *metronome) start() {
	m.stop, m.done = make(chan struct{}), make(chan struct{})
	go m.run()
}

// end returns when nothing is measured any more.
func (m *metronome) end() {
	close(m.stop)
	<-m.done
}

func (m *metronome) run() {
	defer close(m.done)
	timer := time.NewTimer(m.next(0))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			timer.Reset(m.next(beat))
		case <-m.stop:
			m.next(0)
			m.mu.Lock()
			m.due = time.Time{}
			m.mu.Unlock()
			return
		}
	}
}

// next notes how late the beat is that was due, and returns when the next one
// is.
func (m *metronome) next(d time.Duration) time.Duration {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.begun) > period {
		m.begun, m.previous, m.present = now, m.present, 0
	}
	m.note(now)
	m.due = now.Add(d)
	return d
}

// note notes how late the next beat is already. The caller holds mu.
func (m *metronome) note(now time.Time) {
	if !m.due.IsZero() {
		m.present = max(m.present, now.Sub(m.due))
		m.worst = max(m.worst, m.present)
	}
}

// slack returns how much longer things may take on this machine than on an idle one: some
// twenty steps, each as late as the latest timer.
func (m *metronome) slack() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return 20 * m.worst
}

// lately returns how late timers have been in the last seconds, those that are
// due just now included.
func (m *metronome) lately() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note(time.Now())
	return max(m.present, m.previous)
}
