//go:build !linux

package servers

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// attributes returns nil: only Linux can tie a process to its parent.
func attributes() *syscall.SysProcAttr { return nil }

func suspend(p *os.Process) error { return kill("-STOP", p.Pid) }

func resume(p *os.Process) error { return kill("-CONT", p.Pid) }

// kill runs the POSIX tool instead of the system call, which syscall does not
// have on every platform: this way the package builds on all of them.
func kill(flag string, pid int) error {
	out, err := exec.Command("kill", flag, strconv.Itoa(pid)).CombinedOutput() //nolint:gosec,noctx // short, and of our own process
	if err != nil {
		return fmt.Errorf("kill %s %d: %w: %s", flag, pid, err, out)
	}
	return nil
}

// stopped reports whether the process is stopped.
func stopped(pid int) (bool, error) {
	out, err := exec.Command("ps", "-o", "state=", "-p", strconv.Itoa(pid)).Output() //nolint:gosec,noctx // short, and of our own process
	if err != nil {
		return false, fmt.Errorf("ps %d: %w", pid, err)
	}
	return strings.HasPrefix(strings.TrimSpace(string(out)), "T"), nil
}
