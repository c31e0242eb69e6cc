// Package clock reads the monotonic and the wall clock together.
//
// A lock lives on the clocks of the nodes, which go on while this machine is
// suspended. The monotonic clock of Linux stands still then, and the wall
// clock can be set at any time; whichever says that more time has passed is
// the one to believe, because it ends a lock early and never late.
package clock

import "time"

// A Time is one reading of both clocks.
type Time struct {
	mono time.Time // carries the monotonic reading, and the wall clock for users
	wall time.Time // without one
}

// A Clock reads the time. The zero value reads the system's clocks.
type Clock struct {
	// Jump, in tests, is how far the wall clock has been moved against the
	// monotonic one.
	Jump func() time.Duration
}

// Now reads both clocks.
func (c *Clock) Now() Time {
	now := time.Now()
	wall := now.Round(0)
	if c.Jump != nil {
		wall = wall.Add(c.Jump())
	}
	return Time{now, wall}
}

// Since returns the time from start to t: the larger of what the two clocks
// say.
func (t Time) Since(start Time) time.Duration {
	return max(t.mono.Sub(start.mono), t.wall.Sub(start.wall))
}

// Wall returns what the wall clock says.
func (t Time) Wall() time.Time { return t.wall }

// Add returns the moment d after t.
func (t Time) Add(d time.Duration) time.Time { return t.mono.Add(d) }
