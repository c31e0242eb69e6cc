// Package clock tells how much time has passed by the monotonic and the wall clock
// together.
//
// A lock lives on the clocks of the nodes, which go on while this machine is
// suspended. The monotonic clock of Linux stands still then, and the wall
// clock can be set at any time. From one look at them to the next, whichever says that
// more time has passed is the one to believe, because it ends a lock early and never
// late. These steps add up, so that a wall clock that was set back does not hide that the
// machine was suspended later. Only if it is set back between the same two looks between which
// the machine stood still, nobody can tell for how long that was.
package clock

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A Moment is what a Clock says: the time that has passed by it. Moments of one Clock can
// be compared.
type Moment time.Duration

// A Time is one reading of a Clock.
type Time struct {
	at     time.Time // carries the monotonic reading, and the wall clock for users
	moment Moment
}

// A Clock adds up the larger one of the steps of both clocks at each look. The zero value
// reads the system's clocks. It is safe for concurrent use.
type Clock struct {
	// Jump, in tests, is how far the wall clock has been moved against the
	// monotonic one.
	Jump func() time.Duration
	// Stood, in tests, is for how long the monotonic clock has stood still so far, as on a
	// machine that was suspended. The wall clock has gone on.
	Stood func() time.Duration

	mu    sync.Mutex   // held to change what follows
	ahead atomic.Int64 // by which the wall clock is ahead of the monotonic one since origin
	added atomic.Int64 // what moments are ahead of the monotonic clock: never less than before
}

// origin is when all clocks begin.
var (
	origin     = time.Now()
	originWall = origin.UnixNano()
)

// apart is how far the wall clock can seem to have been set back because both clocks are
// read one after the other, the wall clock first. A step back by less is not noticed, and
// so much may be missing once the machine is suspended; each lock sets aside 2 ms for drift.
const apart = time.Millisecond

// Now looks at both clocks.
func (c *Clock) Now() Time {
	now, mono, ahead := c.read()
	if last := c.ahead.Load(); ahead > last || ahead < last-int64(apart) {
		now, mono = c.parted()
	}
	return Time{now, Moment(mono + c.added.Load())}
}

// read reads both clocks: the monotonic one and by how much the wall clock is ahead of it.
func (c *Clock) read() (now time.Time, mono, ahead int64) {
	now = time.Now()
	mono = int64(now.Sub(origin))
	ahead = now.UnixNano() - originWall - mono
	if c.Jump != nil {
		ahead += int64(c.Jump())
	}
	if c.Stood != nil {
		stood := int64(c.Stood())
		mono, ahead = mono-stood, ahead+stood
	}
	return now, mono, ahead
}

// parted looks again at clocks that seem to have parted, as others may have taken note of
// that meanwhile, and between the two readings of a look this thread may have stood still.
func (c *Clock) parted() (now time.Time, mono int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, mono, ahead := c.read()
	switch last := c.ahead.Load(); {
	case ahead > last:
		c.added.Add(ahead - last) // first: who sees the other one sees this, too
		c.ahead.Store(ahead)
	case ahead < last-int64(apart):
		c.ahead.Store(ahead)
	}
	return now, mono
}

// Wall returns what the wall clock says.
func (c *Clock) Wall() time.Time {
	wall := time.Now().Round(0)
	if c.Jump != nil {
		wall = wall.Add(c.Jump())
	}
	return wall
}

// Monotonic looks at the monotonic clock alone: for what is to last as long as timers do.
// Its moments are not those of a Clock.
func Monotonic() Time {
	now := time.Now()
	return Time{now, Moment(now.Sub(origin))}
}

// Since returns the time from start to t.
func (t Time) Since(start Time) time.Duration { return t.moment.Since(start.moment) }

// Moment returns the moment of t.
func (t Time) Moment() Moment { return t.moment }

// After returns the moment d after t.
func (t Time) After(d time.Duration) Moment {
	if m := t.moment + Moment(d); m >= t.moment || d < 0 {
		return m
	}
	return math.MaxInt64
}

// Add returns the moment d after t by the monotonic clock.
func (t Time) Add(d time.Duration) time.Time { return t.at.Add(d) }

// Since returns the time from start to m.
func (m Moment) Since(start Moment) time.Duration { return time.Duration(m - start) }
