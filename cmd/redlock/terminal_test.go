//go:build linux

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A session is a terminal with a shell in it. What is typed ends with a carriage return.
type session struct {
	t   *testing.T
	tty *os.File
	out buffer
	tap func(text string) // is told what is printed, if it is not nil
	cmd *exec.Cmd
}

// prompt is what the shell prints when it waits for a command.
const prompt = "ready> "

// open opens a terminal with an interactive shell, or another program.
func (w *world) open(program ...string) *session {
	w.t.Helper()
	if len(program) == 0 {
		program = []string{"bash", "--norc", "--noprofile", "-i", "-b"}
	}
	s := &session{t: w.t, cmd: exec.CommandContext(w.t.Context(), program[0], program[1:]...)} //nolint:gosec // the test's own
	s.cmd.Env = append(os.Environ(), "PS1="+prompt, "TERM=xterm", "HISTFILE=", asTool+"=1", "redlock="+self(w.t))
	s.cmd.Env = append(s.cmd.Env, w.env...)
	s.cmd.Dir = w.dir
	tty, err := pty.StartWithSize(s.cmd, &pty.Winsize{Rows: 24, Cols: 200})
	require.NoError(w.t, err)
	// By another descriptor, which can be closed while it is read from.
	fd, err := unix.FcntlInt(tty.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	require.NoError(w.t, err)
	require.NoError(w.t, tty.Close())
	require.NoError(w.t, unix.SetNonblock(fd, true))
	tty = os.NewFile(uintptr(fd), "tty")
	s.tty = tty
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p := make([]byte, 4096); ; {
			n, err := tty.Read(p)
			if s.tap != nil {
				s.tap(string(p[:n]))
			}
			_, _ = s.out.Write(p[:n])
			if err != nil {
				return
			}
		}
	}()
	w.t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		_ = tty.Close() // what is left in the session is hung up
		<-done
	})
	return s
}

// typed types something.
func (s *session) typed(text string) {
	s.t.Helper()
	_, err := s.tty.WriteString(text)
	require.NoError(s.t, err)
}

// line types a line, once the shell is ready, and forgets what was printed before.
func (s *session) line(text string) {
	s.t.Helper()
	s.expect(prompt)
	s.typed(text + "\r")
	s.expect(text)
}

// expect waits until something is printed, and forgets what was printed up to there. It
// returns what came before.
func (s *session) expect(text string) (before string) {
	s.t.Helper()
	for deadline := time.Now().Add(soon); ; time.Sleep(5 * time.Millisecond) {
		s.out.mu.Lock()
		i := strings.Index(s.out.b.String(), text)
		if i >= 0 {
			before = string(s.out.b.Next(i + len(text))[:i])
		}
		seen := s.out.b.String()
		s.out.mu.Unlock()
		if i >= 0 {
			return before
		}
		if time.Now().After(deadline) {
			require.Fail(s.t, "not printed: "+text, "%q", seen)
		}
	}
}

// resize gives the terminal another size.
func (s *session) resize(columns uint16) {
	s.t.Helper()
	conn, err := s.tty.SyscallConn()
	require.NoError(s.t, err)
	require.NoError(s.t, conn.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns})
	}))
	require.NoError(s.t, err)
}

// requireInFront waits until a command that has a text in it has the terminal, and waits there.
// While it gets the terminal, it is told to go on, which undoes what is typed then.
func (s *session) requireInFront(text string) {
	s.t.Helper()
	eventually(s.t, func() bool {
		var group int
		conn, err := s.tty.SyscallConn()
		require.NoError(s.t, err)
		require.NoError(s.t, conn.Control(func(fd uintptr) { group, err = unix.IoctlGetInt(int(fd), unix.TIOCGPGRP) }))
		require.NoError(s.t, err)
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", group)) // empty once it has ended
		state, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", group))
		return strings.HasPrefix(string(line), "sh\x00-c\x00") && strings.Contains(string(line), text) && strings.Contains(string(state), ") S ")
	}, "%q is not in front", text)
}

const (
	ctrlC = "\x03"
	ctrlZ = "\x1a"
)

// inFront is a command that tells whether it may read from the terminal.
const inFront = `set -- $(cat /proc/self/stat); echo "group $5 front $8"; [ $5 = $8 ] && echo in front || echo behind`

func TestTheTerminalIsTheCommandsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	s := w.open()
	s.line(`$redlock run k -- sh -c '` + inFront + `'`)
	s.expect("in front\r\n")
	s.line(`$redlock run k -- sh -c 'stty -echo; echo pass''word:; read p; stty echo; echo got $p'`)
	s.expect("password:\r\n")
	s.typed("secret\r")
	s.expect("got secret\r\n")
	s.line(`stty -a | grep -o ' echo '`) // ours again
	s.expect(" echo \r\n")
	w.requireFree()
}

func TestACommandInAPipelineReadsFromTheTerminalToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.open()
	// The other one has the terminal until the command wants it.
	s.line(`$redlock run k -- sh -c 'echo wh''o:; read name </dev/tty; echo by $name; sleep 0.2' | sed 's/^/| /'`)
	s.expect("| who:\r\n")
	s.typed("me\r")
	s.expect("| by me\r\n")
	// It is the other one that wants it.
	s.line(`$redlock run k -- $redlock helper await go | sh -c 'head -n 1; echo mo''re:; read x </dev/tty; echo then $x'`)
	s.expect("more:\r\n")
	s.typed("less\r")
	s.expect("then less\r\n")
	w.letGo()
	s.line("x=$($redlock run k -- sh -c 'echo wh''o: >/dev/tty; read x; echo $x'); echo sub''stituted $x")
	s.expect("who:\r\n")
	s.typed("this\r")
	s.expect("substituted this\r\n")
	w.requireFree()
}

func TestEditorsAndPagersWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	require.NoError(t, os.WriteFile(w.file("text"), []byte(strings.Repeat("a line\n", 100)), 0o600))
	s := w.open()
	if _, err := exec.LookPath("less"); err == nil {
		s.line("$redlock run k -- less text; echo less: $?")
		s.expect("text")
		s.typed("q")
		s.expect("less: 0\r\n")
	}
	if _, err := exec.LookPath("vim"); err == nil {
		s.line("$redlock run k -- vim -u NONE text; echo vim: $?")
		s.expect("a line")
		s.typed("ggccedited\x1b:wq\r")
		s.expect("vim: 0\r\n")
		assert.True(t, strings.HasPrefix(w.read("text"), "edited\n"))
	}
	w.requireFree()
}

func TestAnInterruptThatIsTypedReachesTheCommandOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.open()
	for _, pipe := range []string{"", " | (trap '' INT; cat)"} {
		s.line(`$redlock run k -- sh -c 'trap "echo on''ce" INT; echo ru''ns; sleep 0.5; sleep 0.5; echo do''ne'` + pipe)
		s.expect("runs\r\n")
		s.typed(ctrlC)
		s.expect("once\r\n")
		s.expect("done\r\n")
		assert.NotContains(t, s.out.String(), "once")
	}
	// What it has not caught ends it, as its shell sees, and the script that it is in.
	s.line(`$redlock run k -- sh -c 'echo ru''ns; exec sleep 60'`)
	s.expect("runs\r\n")
	s.typed(ctrlC)
	s.line("echo sta''tus $?")
	s.expect("status 130\r\n")
	for _, command := range []string{"exec sleep 60", "read x"} {
		w.script("for i in 1 2; do $redlock run k -- sh -c 'echo runs; " + command + "'; echo after; done")
		for _, shell := range []string{"sh", "bash"} {
			s.line(shell + " script")
			s.expect("runs\r\n")
			if command == "read x" { // it has the terminal, and the script does not hear what is typed there
				s.requireInFront(command)
			}
			s.typed(ctrlC)
			s.line("echo sta''tus $?")
			s.expect("status 130\r\n")
		}
	}
	w.requireFree()
}

// script writes a script, in which the command is not in front before it asks for that.
func (w *world) script(text string) {
	w.t.Helper()
	require.NoError(w.t, os.WriteFile(w.file("script"), []byte(text+"\n"), 0o600))
}

func TestAScriptHasTheTerminalAgainAfterACommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.open()
	w.script(`$redlock run k -- sh -c 'echo who:; read x; echo by $x'; echo and:; read y; echo and $y`)
	s.line("sh script")
	s.expect("who:\r\n")
	s.typed("me\r")
	s.expect("by me\r\nand:\r\n")
	s.typed("you\r")
	s.expect("and you\r\n")
	// A job that ends behind leaves the terminal to the shell.
	s.line(`$redlock run k -- sh -c 'read x; $0 helper await go' $redlock`)
	s.requireInFront("read x")
	s.typed("\r")
	s.expect("runs\r\n")
	s.typed(ctrlZ)
	s.expect("Stopped")
	s.line("bg")
	w.letGo()
	s.expect("Done")
	s.typed("sh -c 'echo wh''at:; read z; echo th''is $z'\r")
	s.expect("what:\r\n")
	s.typed("one\r")
	s.expect("this one\r\n")
}

func TestAStoppedJobGoesOnAndHasNotLostItsLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	s := w.open()
	for _, script := range []bool{false, true} {
		command := `$redlock run --ttl 1s k -- sh -c 'echo ru''ns; read x; echo got $x'`
		if script {
			w.script(command + "\ntrue")
			command = "sh script"
		}
		s.line(command)
		s.expect("runs\r\n")
		s.requireInFront("read x")
		s.typed(ctrlZ)
		s.expect("Stopped")
		s.line(`$redlock run --wait 2500ms k -- echo over''lap; echo status $?`)
		s.expect("status 75\r\n")
		s.line("fg")
		s.expect("\r\n")
		s.expect("\r\n")
		s.typed("it\r")
		s.expect("got it\r\n")
		s.line("echo ok")
	}
	// In the background it may not read, and in front it may.
	s.line(`$redlock run --ttl 1s k -- sh -c 'read x; echo got $x' &`)
	s.expect("Stopped")
	s.typed("fg\r") // the prompt may have been there before
	s.expect("fg\r\n")
	s.expect("read x")
	s.typed("more\r")
	s.expect("got more\r\n")
	// A job that goes on behind.
	s.line(`$redlock run --ttl 1s k -- $redlock helper await go`)
	s.expect("runs\r\n")
	s.typed(ctrlZ)
	s.expect("Stopped")
	w.letGo()
	s.line("bg; wait")
	s.expect("done\r\n")
	w.requireFree()
}

func TestAShellUnderALockUnderALockControlsItsJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.open()
	s.line(`$redlock run outer -- $redlock run inner -- bash --norc --noprofile -i -b`)
	s.line("echo in''side; $redlock helper await go")
	s.expect("inside\r\n")
	s.expect("runs\r\n")
	s.typed(ctrlZ)
	s.expect("Stopped")
	w.letGo()
	s.line("fg")
	s.expect("done\r\n")
	s.line("suspend")
	s.expect("Stopped")
	s.line("echo out''side")
	s.expect("outside\r\n")
	w.requireHeld("inner")
	s.line("fg")
	s.typed("\r")
	s.line("exit 5")
	s.line("echo sta''tus $?")
	s.expect("status 5\r\n")
	w.requireFree()
}

func TestACommandEndsWithItsTerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.open()
	nap := unique()
	s.line(`$redlock run k -- sh -c 'echo ru''ns; exec sleep ` + nap + `'`)
	s.expect("runs\r\n")
	require.NoError(t, s.tty.Close())
	eventually(t, func() bool { return !running(t, nap) }, "it goes on")
	w.requireFree()
}

// There is no shell that could have it go on.
func TestAStopThatNobodyCouldEndStopsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	s := w.open(self(t), "run", "k", "--", "sh", "-c", "echo runs; read x; echo got $x; "+inFront)
	s.expect("runs\r\n")
	s.typed(ctrlZ)
	s.typed("it\r")
	s.expect("got it\r\n")
	s.expect("in front\r\n")
	w.requireFree()
}

func TestAJobIsStoppedWhileItWaitsForTheLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	a := w.start("run", "k", "--", "sleep", "1")
	w.requireHeld("k")
	s := w.open()
	s.line(`$redlock run k -- echo ra''n`)
	eventually(t, func() bool { return w.waiters("k") == 1 }, "it does not wait")
	s.typed(ctrlZ)
	s.expect("Stopped")
	a.wait()
	s.line("sleep 0.5; echo sl''ept")
	s.expect("slept\r\n")
	assert.NotContains(t, s.out.String(), "ran")
	s.line("fg")
	s.expect("ran\r\n")
	w.requireFree()
}

func TestTheTerminalIsAsItWasAfterACommandWasKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	s := w.open("sh", "-c", `$redlock run --ttl 1s --on-lost kill k -- sh -c 'stty raw -echo; echo ru""ns; exec sleep 60'; stty -a; echo bye; sleep 1`)
	s.expect("runs")
	w.freeze()
	s.expect(" icanon ")
	s.expect(" echo ")
	s.expect("bye")
}
