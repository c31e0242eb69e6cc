//go:build linux

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/faultproxy"
)

// The commands obey no signal, have a child that does not either, and one that has left the
// process group. The second run waits for the lock that the first one loses.
func TestACommandIsDeadBeforeAnotherOneRunsWhenItsNodesFreezeOrAreCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	proxies := make([]*faultproxy.Proxy, 3)
	through := make([]string, 3)
	for i, s := range w.servers {
		proxies[i] = faultproxy.New(t, s.Addr())
		through[i] = "redis://" + proxies[i].Addr()
	}
	for i := range rounds(2, 50) {
		key, file := fmt.Sprint("k", i), fmt.Sprint("beats", i)
		first := append([]string{"run", "--ttl", "1s", "--node", through[0], "--node", through[1], "--node", through[2], key, "--"},
			stubbornArgs(t, w, file, "first")...)
		second := append([]string{"run", "--ttl", "1s", key, "--"}, stubbornArgs(t, w, file, "second")...)
		a := w.start(first...)
		w.requireBeat(file, "first")
		b := w.start(second...)
		eventually(t, func() bool { return w.waiters(key) > 0 }, "nobody waits")
		if i%2 == 0 {
			for _, p := range proxies {
				p.BlackHole(true)
			}
		} else {
			for _, s := range w.servers {
				s.Freeze()
			}
		}
		assert.Equal(t, 74, a.wait(), a.err.String())
		for _, s := range w.servers {
			s.Thaw()
		}
		w.requireBeat(file, "second")
		begins, ends := w.beats(file)
		assert.Less(t, ends["first"], begins["second"], "overlap in round %d", i)
		assert.Regexp(t, `^redlock: the lock could not be extended.*: TERM to the command\n$`, a.err.String())
		for _, p := range proxies {
			p.BlackHole(false)
		}
		b.signal(syscall.SIGKILL)
		w.requireDead(file)
	}
}

// trapping is a command that tells of the signals it gets, and ends soon after TERM.
const trapping = `trap 'echo TERM; exit 7' TERM; echo runs; while :; do sleep 0.05; done`

func (w *world) freeze() {
	for _, s := range w.servers {
		s.Freeze()
	}
}

func TestACommandWhoseLockIsLostGetsTermInTimeToTidyUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a := w.start("run", "--ttl", "3s", "--grace", "1s", "k", "--", "sh", "-c", trapping)
	eventually(t, func() bool { return strings.Contains(a.out.String(), "runs") }, "it does not run")
	w.freeze()
	assert.Equal(t, 74, a.wait())
	assert.Equal(t, "runs\nTERM\n", a.out.String())
}

func TestOnLostKillAsksNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a := w.start("run", "--ttl", "1s", "--on-lost", "kill", "k", "--", "sh", "-c", trapping)
	eventually(t, func() bool { return strings.Contains(a.out.String(), "runs") }, "it does not run")
	w.freeze()
	assert.Equal(t, 74, a.wait())
	assert.Equal(t, "runs\n", a.out.String())
	assert.Regexp(t, `: KILL to the command\n$`, a.err.String())
}

func TestOnLostIgnoreLetsTheCommandGoOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a := w.start("run", "--ttl", "1s", "--on-lost", "ignore", "k", "--", "sh", "-c", "sleep 2.5; exit 5")
	w.requireHeld("k")
	w.freeze()
	assert.Equal(t, 5, a.wait())
	assert.Regexp(t, `the command goes on without the lock\n`, a.err.String())
}

func TestACommandWhoseLockWasRemovedByHandIsEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a := w.start("run", "--ttl", "3s", "--grace", "1s", "k", "--", "sh", "-c", trapping)
	eventually(t, func() bool { return strings.Contains(a.out.String(), "runs") }, "it does not run")
	for _, c := range w.clients {
		require.NoError(t, c.Del(t.Context(), "k").Err())
	}
	assert.Equal(t, 74, a.wait())
	assert.Equal(t, "runs\nTERM\n", a.out.String())
	assert.Regexp(t, `(?m)^redlock: .*lock lost.*: TERM to the command$`, a.err.String())
}

func TestACommandIsEndedAtTheLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	a := w.start("run", "--ttl", "3s", "--limit", "3s", "--grace", "1s", "k", "--", "sh", "-c", trapping)
	start := time.Now()
	assert.Equal(t, 74, a.wait())
	assert.Greater(t, time.Since(start), 2500*time.Millisecond)
	assert.Equal(t, "runs\nTERM\n", a.out.String())
	assert.Contains(t, a.err.String(), "limit")
	w.requireFree()
}

func TestALockThatIsExtendedOutlastsItsTTLByFar(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a := w.start("run", "--ttl", "1s", "k", "--", self(t), asHelper, "await", w.file(goFile))
	w.requireHeld("k")
	for start := time.Now(); time.Since(start) < 3500*time.Millisecond; {
		b := w.run("run", "--try", "k", "--", "echo", "overlap")
		require.Equal(t, 75, b.code(), b.err.String())
	}
	w.letGo()
	assert.Equal(t, 0, a.wait(), a.err.String())
	assert.Empty(t, a.err.String())
	w.requireFree()
}

// As sudo makes one, where the tool is not allowed to signal it.
func TestACommandThatCannotBeKilledIsToldOfAndLeftAlone(t *testing.T) {
	setpriv, err := exec.LookPath("setpriv")
	if os.Getenv("REDLOCK_LONG") == "" || err != nil || os.Getuid() != 0 {
		t.Skip("it takes long, and root with setpriv: make check runs it, as REDLOCK_LONG=1 does")
	}
	t.Parallel()
	w := newWorld(t, 1)
	nap := unique()
	cmd := w.command("run", "--ttl", "1s", "--limit", "1s", "k", "--",
		"sh", "-c", "exec "+setpriv+" --reuid 65534 --clear-groups sleep "+nap+" >/dev/null 2>&1")
	cmd.Args = append([]string{setpriv, "--bounding-set", "-kill", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = setpriv
	a := w.startCmd(cmd)
	keeper := a.keeper()
	eventually(t, func() bool { return running(t, nap) && len(children(keeper)) == 1 }, "it does not run")
	command := children(keeper)[0]
	assert.Equal(t, 74, a.wait())
	assert.Regexp(t, "^redlock: .*: TERM to the command\nredlock: the command, or what it has started, could not be killed and goes on\n$", a.err.String())
	eventually(t, func() bool { return syscall.Kill(keeper, 0) != nil }, "the process that holds the lock does not end")
	assert.True(t, running(t, nap))
	require.NoError(t, syscall.Kill(command, syscall.SIGKILL))
}
