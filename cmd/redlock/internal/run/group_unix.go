//go:build unix

package run

import (
	"syscall"
)

// signalAll sends a signal to a process group and, where they can be found, to the other
// descendants of ours but for those in spare.
func signalAll(group int, s syscall.Signal, spare map[int]bool) {
	if group > 1 { // 0 and 1 would name other things
		_ = syscall.Kill(-group, s) // fails if nobody is left there
	}
	for _, p := range descendants() {
		if p.group != group && !spare[p.pid] {
			_ = syscall.Kill(p.pid, s) // likewise
		}
	}
}

// left reports whether any of those is alive.
func alive(group int) bool {
	for _, p := range descendants() {
		if p.pid != 0 {
			return true
		}
	}
	return group > 1 && syscall.Kill(-group, 0) != syscall.ESRCH
}

// A process is a descendant of ours.
type process struct{ pid, group int }
