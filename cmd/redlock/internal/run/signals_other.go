//go:build unix && !linux

package run

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const lastSignal = 31

// sendByDefault stops us, and us alone: Go cannot have a signal that it has caught once do
// again what it does by default. If nobody in the session could have us go on, we do not stop.
func sendByDefault(int, syscall.Signal) (restore func()) {
	shell, err := unix.Getsid(os.Getppid())
	if own, _ := unix.Getsid(0); err == nil && shell == own {
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	}
	return func() {}
}

// DieOf ends this process as a signal has ended the command, so that a shell sees what it
// would have seen without us. It returns where that cannot be.
func DieOf(s int) {
	switch n := syscall.Signal(s); n {
	case syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL:
		signal.Reset(n)
		_ = syscall.Kill(os.Getpid(), n)
		time.Sleep(time.Second) // another thread may be the one that takes it
	}
}
