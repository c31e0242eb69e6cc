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
)

// A Sleeper is woken by its alarm. Wake must not block: others wait for it.
type Sleeper interface{ Wake() }

// An Alarm is when one sleeper is to be woken. The zero value is not set.
type Alarm struct {
	sleeper Sleeper
	at      time.Time
	place   int // in the queue, from 1; 0 if it is not there
}

// A Clock wakes sleepers, one after the other, on a goroutine that ends when
// nobody is due. The zero value is ready for use. It is safe for concurrent use,
// from Wake too.
type Clock struct {
	mu      sync.Mutex
	queue   queue
	timer   *time.Timer
	fires   time.Time // when the timer fires; zero if it does not
	ringing bool      // there is the goroutine; it sets the timer when it ends
}

// Set has s woken once when d has passed, and not when a was set to before.
func (c *Clock) Set(a *Alarm, s Sleeper, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.sleeper, a.at = s, time.Now().Add(d)
	if a.place == 0 {
		heap.Push(&c.queue, a)
	} else {
		heap.Fix(&c.queue, a.place-1)
	}
	c.arm()
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
	first := c.queue[0].at
	switch {
	case c.timer == nil:
		c.timer = time.AfterFunc(time.Until(first), c.ring)
	case c.fires.IsZero() || first.Before(c.fires):
		c.timer.Reset(time.Until(first))
	default:
		return
	}
	c.fires = first
}

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
	for len(c.queue) > 0 && !c.queue[0].at.After(time.Now()) {
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
func (q *queue) Less(i, j int) bool { return (*q)[i].at.Before((*q)[j].at) }
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
