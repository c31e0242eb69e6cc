//go:build unix

package run

import (
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// A terminal is the one that controls our session. One process group is in front of it: what
// is typed there signals that group, and no other one may read.
type terminal struct {
	fd    int
	own   int         // our process group
	lent  bool        // the command has had it: it gets it back whenever we are in front
	modes *term.State // as we found it
}

// openTerminal returns nil where there is none.
func openTerminal() *terminal {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	t := &terminal{fd: fd, own: unix.Getpgrp()}
	t.modes, _ = term.GetState(fd) // without it, they are not restored
	return t
}

// front returns the process group in front, or 0.
func (t *terminal) front() int {
	group, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	if err != nil {
		return 0 // it was hung up
	}
	return group
}

// ours reports whether we are in front.
func (t *terminal) ours() bool { return t != nil && t.front() == t.own }

// put brings a process group to the front. The caller ignores SIGTTOU, which would stop a
// group that does this from behind.
func (t *terminal) put(group int) { _ = unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, group) }

// give lends the terminal to the command.
func (t *terminal) give(group int) {
	t.put(group)
	t.lent = true
}

// takeBack returns the terminal to us, as it was found if the command could not tidy up. It
// reports whether the command had it, or what it has started and what is gone: a shell that
// has us in the background keeps it.
func (t *terminal) takeBack(group int, tidy bool) (had bool) {
	if t == nil || !t.lent {
		return false
	}
	if front := t.front(); front != group && (front == 0 || unix.Kill(-front, 0) != unix.ESRCH) {
		return false
	}
	t.put(t.own)
	if !tidy && t.modes != nil {
		_ = term.Restore(t.fd, t.modes) // of use, not of need
	}
	return true
}

// alone reports whether we are one job of an interactive shell, by ourselves: then nobody else
// needs the terminal or the signals that are typed there. A script is in our group, and so are
// the other commands of a pipeline.
func (t *terminal) alone() bool {
	if t.own != os.Getpid() {
		return false
	}
	for fd := range 3 {
		var s unix.Stat_t
		if unix.Fstat(fd, &s) == nil && (s.Mode&unix.S_IFMT == unix.S_IFIFO || s.Mode&unix.S_IFMT == unix.S_IFSOCK) {
			return false
		}
	}
	return true
}
