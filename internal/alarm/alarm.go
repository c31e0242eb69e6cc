// Package alarm wakes many sleepers with one timer.
//
// A timer that runs a function starts a goroutine for each time it fires.
// Thousands of locks that were taken together have their timers fire together,
// and all of them do when the process was held up: that would be a goroutine
// for each lock. And whoever sets a timer has the runtime look after it, which may
// wake a thread, though most are stopped long before they fire.
package alarm

import (
	"container/heap"
	"sync"
	"time"

	"github.com/b0401464/redlock/internal/clock"
)

// A Sleeper is woken by its alarm. Wake must not block: others wait for it.
type Sleeper interface{ Wake() }

// An Alarm is when one sleeper is to be woken. The zero value is not set.
type Alarm struct {
	sleeper Sleeper
	at      clock.Moment
	place   int // in the queue, from 1; 0 if it is not there
}

// A Clock wakes sleepers, one after the other, on a goroutine that ends when
// nobody is due. The zero value is ready for use. It is safe for concurrent use,
// from Wake too.
type Clock struct {
	// By is the clock that alarms go by. Timers do not: while an alarm is set it is looked at
	// once a second, however many there are, so that those wake in time that are due because
	// its two clocks have parted. If By is nil, alarms go by the monotonic clock, as timers do.
	By *clock.Clock

	mu      sync.Mutex
	queue   queue
	timer   *time.Timer
	fires   time.Time // when the timer fires; zero if it does not
	ringing bool      // there is the goroutine; it sets the timer when it ends
}

// look is how often By is looked at. The timers of a suspended machine stand still; one
// second after it wakes up, all that were due meanwhile have been woken.
const look = time.Second

// Set has s woken once when d has passed, and not when a was set to before.
func (c *Clock) Set(a *Alarm, s Sleeper, d time.Duration) { c.set(a, s, c.now().After(d)) }

// SetAt has s woken once at a moment of By, and not when a was set to before. However long
// its caller has stood still since it has looked at By, the moment is the same.
func (c *Clock) SetAt(a *Alarm, s Sleeper, at clock.Moment) { c.set(a, s, at) }

func (c *Clock) set(a *Alarm, s Sleeper, at clock.Moment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.sleeper, a.at = s, at
	if a.place == 0 {
		heap.Push(&c.queue, a)
	} else {
		heap.Fix(&c.queue, a.place-1)
	}
	c.arm()
}

func (c *Clock) now() clock.Time {
	if c.By == nil {
		return clock.Monotonic()
	}
	return c.By.Now()
}

// soon is for how long a timer may run with nothing to do. What runs keeps all that
// belongs to it from being collected.
const soon = time.Second

// Stop takes a back. It reports whether a was set: if not, its sleeper has been woken,
// or may be about to be.
func (c *Clock) Stop(a *Alarm) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.place == 0 {
		return false
	}
	heap.Remove(&c.queue, a.place-1)
	if len(c.queue) == 0 && !c.fires.IsZero() && time.Until(c.fires) > soon {
		c.timer.Stop()
		c.fires = time.Time{}
	}
	return true
}

// arm has the timer fire in time for the first in the queue. Where it fires too
// early, as after Stop, it is armed anew then: most alarms are taken back, and
// moving the timer costs more than that, and wakes a thread.
func (c *Clock) arm() {
	if c.ringing || len(c.queue) == 0 {
		return
	}
	for now := c.now(); ; {
		d := c.queue[0].at.Since(now.Moment())
		if c.By != nil {
			d = min(d, look)
		}
		if !c.fires.IsZero() && !now.Add(d).Before(c.fires) {
			return
		}
		if c.timer == nil {
			c.timer = time.AfterFunc(d, c.ring)
		} else {
			c.timer.Reset(d)
		}
		c.fires = now.Add(d)
		before := now
		if now = c.now(); now.Since(before) < late {
			return
		}
		c.fires = c.fires.Add(now.Since(before)) // the process stood still before the timer was set
	}
}

// late is for how long a process may stand still while it sets a timer: that fires so much
// later.
const late = 10 * time.Millisecond

// ring wakes who is due.
func (c *Clock) ring() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ringing {
		return // the timer was moved when it had fired already
	}
	c.ringing, c.fires = true, time.Time{}
	defer func() { // also if a sleeper calls runtime.Goexit
		c.ringing = false
		c.arm()
	}()
	for len(c.queue) > 0 && c.queue[0].at <= c.now().Moment() {
		c.wake(heap.Pop(&c.queue).(*Alarm).sleeper)
	}
}

// wake wakes s without the mutex.
func (c *Clock) wake(s Sleeper) {
	c.mu.Unlock()
	defer c.mu.Lock()
	s.Wake()
}

// A queue is a heap of alarms, the earliest first.
type queue []*Alarm

func (q *queue) Len() int           { return len(*q) }
func (q *queue) Less(i, j int) bool { return (*q)[i].at < (*q)[j].at }
func (q *queue) Swap(i, j int) {
	a := *q
	a[i], a[j] = a[j], a[i]
	a[i].place, a[j].place = i+1, j+1
}

// Push is for container/heap.
func (q *queue) Push(x any) {
	a := x.(*Alarm) //nolint:forcetypeassert // the only type there is
	*q = append(*q, a)
	a.place = len(*q)
}

// Pop is for container/heap.
func (q *queue) Pop() any {
	last := len(*q) - 1
	a := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	a.place = 0
	return a
}
