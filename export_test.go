package redlock

import "time"

// SetWallJump makes l see a wall clock that is ahead of the monotonic one by
// what jump says.
func SetWallJump(l *Locker, jump func() time.Duration) { l.clock.Jump = jump }

// OpenCalls returns how many node calls of l are under way or wait.
func OpenCalls(l *Locker) int { return l.fleet.Open() }

// Lines returns how many resources are held or waited for in this process.
func Lines(l *Locker) int { return l.lines.Len() }
