package run

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// adopt makes processes whose parent has died children of ours, if they are descendants, so
// that those can be found which have left the process group.
func adopt() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } // since Linux 3.4

// dieWithParent has the kernel kill the command when the thread that has started it ends.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }

// self returns the program that runs, also where its file was replaced.
func self() (string, error) { return "/proc/self/exe", nil }

// A process is a descendant of ours.
type process struct{ pid, group int }

// signalAll sends a signal to the process group of the command and to all other descendants,
// but for those in spare. Once the command was reaped, its number may be that of another group:
// then they are looked up one by one.
func signalAll(group int, reaped bool, s syscall.Signal, spare map[int]bool) {
	if !reaped {
		_ = syscall.Kill(-group, s) // fails if it ends just now
	}
	for _, p := range descendants() {
		if (reaped || p.group != group) && !spare[p.pid] {
			_ = syscall.Kill(p.pid, s) // likewise
		}
	}
}

// anyAlive reports whether there are descendants but for those in spare.
func anyAlive(_ int, spare map[int]bool) bool {
	return slices.ContainsFunc(descendants(), func(p process) bool { return !spare[p.pid] })
}

// descendants returns the processes that descend from this one and have not ended.
func descendants() []process {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }() // was read
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	type entry struct {
		process

		ended bool
	}
	children := make(map[int][]entry)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if state, parent, group, ok := stat(pid); ok {
			children[parent] = append(children[parent], entry{process{pid, group}, state == 'Z' || state == 'X'})
		}
	}
	var found []process
	for queue := []int{os.Getpid()}; len(queue) > 0; queue = queue[1:] {
		for _, c := range children[queue[0]] {
			queue = append(queue, c.pid)
			if !c.ended {
				found = append(found, c.process)
			}
		}
	}
	return found
}

// stat returns the state, the parent and the group of a process.
func stat(pid int) (state byte, parent, group int, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, 0, false // it has ended
	}
	// They follow the name, which is in parentheses and may hold some.
	_, err = fmt.Sscanf(string(text[bytes.LastIndexByte(text, ')')+1:]), " %c %d %d", &state, &parent, &group)
	return state, parent, group, err == nil
}
