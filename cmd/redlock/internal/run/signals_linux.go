package run

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const lastSignal = 64

// An action of the kernel for a signal, whatever is in it: all zeros is the default.
type sigaction [64]byte

// sendByDefault sends a signal to us, or with 0 to our process group, and has it do to us what
// it does by default, until restore is called: a group that nobody could have go on does not
// stop.
func sendByDefault(pid int, s syscall.Signal) (restore func()) {
	restore = byDefault(s)
	_ = syscall.Kill(pid, s)
	return restore
}

// byDefault has a signal do what it does by default until restore is called. Package signal
// cannot: for a signal that was caught once, Go keeps a handler that does nothing.
func byDefault(s syscall.Signal) (restore func()) {
	var plain, old sigaction
	set := func(to, from *sigaction) {
		const size = 8                                                                                                                           // of a set of signals
		_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(from)), size, 0, 0) //nolint:gosec // as the kernel wants it
	}
	set(&plain, &old)
	return func() { set(&old, nil) }
}

// DieOf ends this process as a signal has ended the command, so that a shell sees what it
// would have seen without us. It returns where that cannot be, as in the first process of
// a container.
func DieOf(s int) {
	n := syscall.Signal(s)
	if os.Getpid() == 1 {
		return
	}
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // if there is a core, it is the command's
	byDefault(n)
	_ = syscall.Kill(os.Getpid(), n)
	time.Sleep(time.Second) // another thread may be the one that takes it
}
