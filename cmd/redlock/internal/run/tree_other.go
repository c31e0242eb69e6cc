//go:build unix && !linux

package run

import (
	"os"
	"syscall"
)

// Elsewhere there is the process group alone, and nothing dies with its parent.

func adopt() {}

func dieWithParent(*syscall.SysProcAttr) {}

func self() (string, error) { return os.Executable() }

type process struct{ pid int }

func descendants() []process { return nil }

// signalAll sends a signal to the process group of the command. Once that was reaped, its
// number is that of the group as long as others are left there.
func signalAll(group int, _ bool, s syscall.Signal, _ map[int]bool) {
	_ = syscall.Kill(-group, s) // fails if nobody is left
}

func anyAlive(group int, _ map[int]bool) bool { return syscall.Kill(-group, 0) != syscall.ESRCH }
