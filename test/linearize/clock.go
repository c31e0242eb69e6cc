//go:build linux

package linearize

import (
	"time"

	"golang.org/x/sys/unix"
)

// monotonic returns CLOCK_MONOTONIC in nanoseconds. All processes of a machine read the
// same, and no one can set it. Go's time.Now has the same clock, but tells only how far it
// has gone since the process began.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // every Linux has it
	}
	return ts.Nano()
}

// onClock returns t, which has a reading of this process' monotonic clock, on the clock of
// all. It is early by less than a millisecond, and never late: a process that was stopped
// between two readings reads again.
func onClock(t time.Time) int64 {
	for {
		before := monotonic()
		left := time.Until(t)
		if monotonic()-before < int64(time.Millisecond) {
			return before + int64(left)
		}
	}
}
