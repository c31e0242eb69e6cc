//go:build linux

package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/b0401464/redlock/test/faultproxy"
)

// passedOn are signals that end a process which knows nothing of them, and two that do not.
var passedOn = []syscall.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
	syscall.SIGABRT, syscall.SIGIO, syscall.SIGXCPU, syscall.SIGVTALRM, syscall.SIGWINCH, syscall.SIGCONT,
}

func TestSignalsArePassedOnToTheCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	runs := map[syscall.Signal]*tool{}
	for _, s := range passedOn {
		name := strings.TrimPrefix(unix.SignalName(s), "SIG")
		runs[s] = w.start("run", name, "--", "sh", "-c", "trap 'echo got; exit 9' "+name+"; echo runs; while :; do sleep 0.1; done")
	}
	for s, a := range runs {
		eventually(t, func() bool { return strings.Contains(a.out.String(), "runs") }, "it does not run")
		a.signal(s)
	}
	for s, a := range runs {
		assert.Equal(t, 9, a.wait(), s)
		assert.Equal(t, "runs\ngot\n", a.out.String(), s)
	}
	w.requireFree()
}

// Some send a signal to all processes of a service. What it means is the command's business.
func TestSignalsToTheProcessThatHoldsTheLockDoNotEndTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	a := w.start("run", "k", "--", self(t), asHelper, "await", w.file(goFile))
	eventually(t, func() bool { return strings.Contains(a.out.String(), "runs") }, "it does not run")
	for _, s := range append(passedOn, syscall.SIGTSTP) {
		require.NoError(t, syscall.Kill(a.keeper(), s))
	}
	w.letGo()
	assert.Equal(t, 0, a.wait(), a.err.String())
	w.requireFree()
}

func TestSignalsReachWhatTheCommandHasStarted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	nap := unique()
	a := w.start("run", "k", "--", "sh", "-c", "sleep "+nap+"; true")
	eventually(t, func() bool { return running(t, nap) }, "it does not run")
	a.signal(syscall.SIGTERM)
	assert.Equal(t, 143, a.wait())
	eventually(t, func() bool { return !running(t, nap) }, "it goes on")
}

func TestACommandThatASignalHasEndedIsReportedAsSuch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	runs := map[syscall.Signal]*tool{}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGQUIT, syscall.SIGSEGV, syscall.SIGUSR1, syscall.SIGPIPE} {
		runs[s] = w.start("run", s.String(), "--", "sh", "-c", fmt.Sprintf("ulimit -c 0; kill -%d $$", s))
	}
	for s, a := range runs {
		a.wait()
		assert.True(t, a.status.Signaled(), "%v: %v", s, a.status)
		assert.Equal(t, s, a.status.Signal())
		assert.Empty(t, a.err.String())
	}
	w.requireFree()
}

func TestASignalEndsTheWaitForTheLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a := w.start("run", "k", "--", "sleep", "60")
	w.requireHeld("k")
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1} {
		b := w.start("run", "k", "--", "touch", w.file("ran"))
		eventually(t, func() bool { return w.waiters("k") == 1 }, "it does not wait")
		b.signal(syscall.SIGWINCH) // which ends nothing
		b.signal(s)
		b.wait()
		assert.True(t, b.status.Signaled(), "%v: %v", s, b.status)
		assert.Equal(t, s, b.status.Signal())
		assert.Empty(t, b.err.String())
		eventually(t, func() bool { return w.waiters("k") == 0 }, "it still stands in line")
	}
	a.signal(syscall.SIGTERM)
	a.wait()
	w.requireFree()
	assert.NoFileExists(t, w.file("ran"))
}

// The nodes are far away, so that the signal comes in the middle of the attempt.
func TestASignalDuringTheAttemptNeverStartsTheCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	p := faultproxy.New(t, w.servers[0].Addr())
	p.Latency(300 * time.Millisecond)
	w.env = []string{"REDLOCK_NODES=redis://" + p.Addr()}
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		n := p.Requests()
		a := w.start("run", "k", "--", "touch", w.file("ran"))
		eventually(t, func() bool { return p.Requests() > n }, "it asks nobody")
		a.signal(s)
		a.wait()
		assert.Equal(t, s, a.status.Signal())
	}
	w.requireFree()
	assert.NoFileExists(t, w.file("ran"))
}

// Wherever it comes, the command has it or has not started, and nothing is left.
func TestASignalAtAnyMomentEndsARun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	nap := unique()
	for range rounds(20, 300) {
		a := w.start("run", "k", "--", "sleep", nap)
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond) //nolint:gosec // not for anything
		a.signal(syscall.SIGTERM)
		a.wait()
		// Before it has caught any, a signal ends it as any program.
		assert.True(t, a.status.Signaled())
		assert.Equal(t, syscall.SIGTERM, a.status.Signal())
		assert.Empty(t, a.err.String())
	}
	w.requireFree()
	eventually(t, func() bool { return !running(t, nap) }, "a command is left")
}

func TestASecondInterruptEndsTheWaitWithoutTidyingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.start("run", "k", "--", "sleep", "60")
	w.requireHeld("k")
	a := w.start("run", "k", "--", "true")
	eventually(t, func() bool { return w.waiters("k") == 1 }, "it does not wait")
	keeper := a.keeper()
	require.NoError(t, syscall.Kill(keeper, syscall.SIGSTOP)) // so that it cannot tidy up
	a.signal(syscall.SIGINT)
	time.Sleep(50 * time.Millisecond) // it may not have heard it by then, but not have ended either
	assert.False(t, a.ended())
	eventually(t, func() bool {
		_ = a.cmd.Process.Signal(syscall.SIGINT) // fails once it has ended
		return a.ended()
	}, "it does not end")
	a.wait()
	assert.Equal(t, syscall.SIGINT, a.status.Signal())
	require.NoError(t, syscall.Kill(keeper, syscall.SIGCONT))
	eventually(t, func() bool { return syscall.Kill(keeper, 0) != nil }, "the keeper does not end")
}

func TestEveryInterruptReachesTheCommandAndNoneEndsTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	a := w.start("run", "k", "--", "sh", "-c", `n=0; trap 'n=$((n+1)); echo int $n; [ $n = 3 ] && exit 0' INT; echo runs; while :; do sleep 0.02; done`)
	for _, want := range []string{"runs\n", "int 1\n", "int 2\n"} {
		eventually(t, func() bool { return strings.Contains(a.out.String(), want) }, "no %q", want)
		a.signal(syscall.SIGINT)
	}
	assert.Equal(t, 0, a.wait())
	w.requireFree()
}

func TestIgnoredSignalsStayIgnored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	cmd := w.command("run", "k", "--", "sh", "-c", "echo runs; sleep 0.5; kill -HUP $$; echo lives")
	cmd.Args = append([]string{"nohup", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/usr/bin/nohup"
	a := w.startCmd(cmd)
	eventually(t, func() bool { return strings.Contains(a.out.String(), "runs") }, "it does not run")
	a.signal(syscall.SIGHUP)
	assert.Equal(t, 0, a.wait(), a.err.String())
	assert.Equal(t, "runs\nlives\n", a.out.String())
}

func TestACommandEndsWithItsToolThoughThatIsKilledAndTheResourceIsFree(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a := w.start(append([]string{"run", "--ttl", "3s", "k", "--"}, stubbornArgs(t, w, "beats", "a")...)...)
	w.requireBeat("beats", "a")
	a.signal(syscall.SIGKILL)
	w.requireDead("beats")
	b := w.run("run", "--wait", "20s", "k", "--", "true")
	assert.Equal(t, 0, b.code(), b.err.String())
}

func TestACommandEndsThoughTheProcessThatHoldsTheLockIsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a := w.start(append([]string{"run", "--ttl", "2s", "k", "--"}, stubbornArgs(t, w, "beats", "a")...)...)
	w.requireBeat("beats", "a")
	require.NoError(t, syscall.Kill(a.keeper(), syscall.SIGKILL))
	assert.Equal(t, 74, a.wait())
	assert.Equal(t, "redlock: the process that held the lock has ended (signal: killed): the command was killed\n", a.err.String())
	w.requireDead("beats")
	b := w.run("run", "--wait", "20s", "k", "--", "true")
	assert.Equal(t, 0, b.code(), b.err.String())
}

func TestACommandThatHasEndedIsReportedThoughTheProcessThatHoldsTheLockIsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	p := faultproxy.New(t, w.servers[0].Addr())
	w.env = []string{"REDLOCK_NODES=redis://" + p.Addr()}
	nap := unique()
	a := w.start("run", "k", "--", "sh", "-c", "sleep "+nap+" >/dev/null 2>&1 & echo $!; $0 helper await "+w.file(goFile)+"; exit 5", self(t))
	eventually(t, func() bool { return strings.Contains(a.out.String(), "runs") }, "it does not run")
	p.Latency(time.Minute)
	n := p.Requests()
	keeper := a.keeper()
	w.letGo()
	eventually(t, func() bool { return p.Requests() > n }, "it is not released")
	_ = syscall.Kill(keeper, syscall.SIGKILL) // fails if the machine is so slow that it has ended
	assert.Equal(t, 5, a.wait(), a.err.String())
	assert.True(t, running(t, nap), "what it has left behind is left alone")
	left, _, _ := strings.Cut(a.out.String(), "\n")
	require.NoError(t, exec.CommandContext(t.Context(), "kill", left).Run()) //nolint:gosec // a number
}

// The kernel sees to the command itself then, but not to what that has started.
func TestACommandEndsThoughBothProcessesOfItsToolAreKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for range rounds(1, 20) {
		a := w.start("run", "--ttl", "1s", "k", "--", self(t), asHelper, "beat", w.file("beats"), "a")
		w.requireBeat("beats", "a")
		keeper := a.keeper()
		for _, pid := range []int{a.cmd.Process.Pid, keeper} {
			require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP)) // so that neither sees the other one die
		}
		require.NoError(t, syscall.Kill(keeper, syscall.SIGKILL))
		a.signal(syscall.SIGKILL)
		w.requireDead("beats")
		require.NoError(t, os.Remove(w.file("beats")))
	}
}

func TestACommandIsDeadBeforeItsLockIsOverThoughTheProcessThatHoldsItIsStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a := w.start(append([]string{"run", "--ttl", "1s", "k", "--"}, stubbornArgs(t, w, "beats", "first")...)...)
	w.requireBeat("beats", "first")
	keeper := a.keeper()
	require.NoError(t, syscall.Kill(keeper, syscall.SIGSTOP))
	for range 40 { // more than the two can have under way
		for s := syscall.Signal(36); s < 60; s++ {
			_ = a.cmd.Process.Signal(s) // fails if the machine is so slow that it has ended
		}
		time.Sleep(2 * time.Millisecond) // two of a kind at the same time are one
	}
	b := w.start(append([]string{"run", "--ttl", "1s", "k", "--"}, stubbornArgs(t, w, "beats", "second")...)...)
	w.requireBeat("beats", "second")
	begins, ends := w.beats("beats")
	assert.Less(t, ends["first"], begins["second"])
	require.NoError(t, syscall.Kill(keeper, syscall.SIGCONT))
	assert.Equal(t, 74, a.wait())
	b.signal(syscall.SIGKILL)
	w.requireDead("beats")
}

func TestALockIsHeldWhileItsToolIsStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a := w.start("run", "--ttl", "1s", "k", "--", "sleep", "3")
	w.requireHeld("k")
	a.signal(syscall.SIGSTOP)
	b := w.run("run", "--wait", "2500ms", "k", "--", "echo", "overlap")
	assert.Equal(t, 75, b.code())
	a.signal(syscall.SIGCONT)
	assert.Equal(t, 0, a.wait(), a.err.String())
	assert.Empty(t, a.err.String())
}

// All are stopped, as a container is that is paused: what nobody can do anything about while
// it lasts is made good when it ends.
func TestACommandIsKilledWhenAllGoOnAfterTheEndOfItsLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a := w.start(append([]string{"run", "--ttl", "1s", "k", "--"}, stubbornArgs(t, w, "beats", "a")...)...)
	w.requireBeat("beats", "a")
	keeper := a.keeper()
	command := children(keeper)
	require.NotEmpty(t, command)
	all := []int{keeper, a.cmd.Process.Pid, -command[0]}
	for _, pid := range all {
		require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	}
	b := w.run("run", "--wait", "20s", "k", "--", "true")
	assert.Equal(t, 0, b.code(), b.err.String())
	for _, pid := range all {
		require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	}
	assert.Equal(t, 74, a.wait())
	w.requireDead("beats")
}

func TestARunGoesOnThoughNobodyReadsWhatItSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	r, stderr, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, r.Close())
	defer func() { _ = stderr.Close() }()
	cmd := w.command("run", "--ttl", "1s", "--on-lost", "ignore", "k", "--", "sh", "-c", "sleep 2; exit 5")
	cmd.Stdout, cmd.Stderr = os.Stdout, stderr
	a := w.startCmd(cmd)
	w.requireHeld("k")
	w.freeze()
	assert.Equal(t, 5, a.wait())
}
