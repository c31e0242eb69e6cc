package servers

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
)

// attributes makes the kernel kill the process when the thread that started it
// ends, and gives it a session of its own, as services have: Linux may share the
// processors among sessions first (autogroup), and servers in that of the tests
// would share with their clients.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
}

func suspend(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

func resume(p *os.Process) error { return p.Signal(syscall.SIGCONT) }

// stopped reports whether the main thread of the process, the one that runs
// commands, is stopped. Asking with wait4 could reap the process, which is the
// business of the goroutine in launch.
func stopped(pid int) (bool, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false, err
	}
	// The state follows the name, which is in parentheses and may hold some.
	_, after, ok := bytes.Cut(stat[max(0, bytes.LastIndexByte(stat, ')')):], []byte(") "))
	if !ok || len(after) == 0 {
		return false, fmt.Errorf("unexpected /proc/%d/stat: %q", pid, stat)
	}
	return after[0] == 'T', nil
}
