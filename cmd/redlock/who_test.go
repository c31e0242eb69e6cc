//go:build linux

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hold starts a run that holds a key until its file is there, and returns its mark.
func (w *world) hold(key string, flags ...string) (a *tool, mark string) {
	w.t.Helper()
	a = w.start(append(append([]string{"run"}, flags...), key, "--", "sh", "-c", "echo $REDLOCK_MARK; exec sleep 60")...)
	eventually(w.t, func() bool { return strings.Contains(a.out.String(), "\n") }, "it does not run")
	return a, strings.TrimSpace(a.out.String())
}

func TestWhoTellsWhoHoldsALockAndWhoWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	assert.Regexp(t, `^"k": free\n`, w.run("who", "k").out.String())
	a, mark := w.hold("k", "--owner", "nightly backup")
	w.start("run", "k", "--owner", "the next one", "--", "true")
	eventually(t, func() bool { return w.waiters("k") == 1 }, "it does not wait")

	b := w.run("who", "k", "other")
	assert.Equal(t, 0, b.code(), b.err.String())
	assert.Regexp(t, `^"k": held by nightly backup since .* ago, mark `+mark+`, free in .*, 1 in line at node [123]\n`, b.out.String())
	assert.Contains(t, b.out.String(), "the next one")
	assert.Contains(t, b.out.String(), "\n\n\"other\": free\n")

	b = w.run("who", "--json", "k", "other")
	lines := strings.Split(strings.TrimSpace(b.out.String()), "\n")
	require.Len(t, lines, 2)
	var state struct {
		Verdict string
		Holder  struct{ Owner, Mark string }
	}
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &state))
	assert.Equal(t, "held", state.Verdict)
	assert.Equal(t, "nightly backup", state.Holder.Owner)
	assert.Equal(t, mark, state.Holder.Mark)

	// A refusal says so, too, and unless it is told otherwise a run says who it is.
	assert.Contains(t, w.run("run", "--try", "k", "--", "true").err.String(), "held by nightly backup since ")
	w.hold("unnamed")
	host, err := os.Hostname()
	require.NoError(t, err)
	assert.Regexp(t, `held by \S+@`+regexp.QuoteMeta(host)+` pid \d+ sh since`, w.run("who", "unnamed").out.String())
	assert.False(t, a.ended())
}

func TestWhoSaysIfTooFewNodesTell(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.servers[0].Kill()
	w.servers[1].Kill()
	a := w.run("who", "k")
	assert.Equal(t, 69, a.code())
	assert.Regexp(t, `^"k": unknown, 2 of 3 nodes did not tell\n`, a.out.String())
	assert.Regexp(t, "^redlock: .*too few nodes answered.*\n$", a.err.String())
}

func TestWhoWatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	// A line for each change.
	b := w.start("who", "--watch", "--every", "20ms", "k")
	eventually(t, func() bool { return strings.Contains(b.out.String(), "free") }, "nothing")
	a, mark := w.hold("k")
	eventually(t, func() bool { return strings.Contains(b.out.String(), mark) }, "no holder")
	// A live picture, on a screen that is left as it was.
	s := w.open()
	s.line("$redlock who --watch --every 20ms k")
	s.expect("\x1b[?1049h")
	s.expect(mark)
	// A stop leaves the terminal to the shell, and another size is shown at once.
	s.typed(ctrlZ)
	s.expect("\x1b[?25h\x1b[?1049l")
	s.expect("Stopped")
	s.line("fg")
	s.expect("\x1b[?1049h")
	s.expect(mark)
	a.signal(syscall.SIGTERM)
	s.expect(": free")
	// In between, some nodes may have told before the change, and others after it.
	changes := regexp.MustCompile(`^\S+ "k": free\n(\S+ "k": .*\n)*\S+ "k": held by .*\n(\S+ "k": .*\n)*\S+ "k": free.*\n$`)
	eventually(t, func() bool { return changes.MatchString(b.out.String()) }, "no line for each change")
	s.typed(ctrlC)
	s.expect("\x1b[?1049l")
	s.line("echo sta''tus $?")
	s.expect("status 130\r\n")
	s.line("$redlock who --watch --every 1h k")
	s.expect(": free")
	s.resize(4)
	s.expect(`"k"…`)
	s.resize(200)
	s.typed(ctrlC)
	s.expect("\x1b[?1049l")
	// Objects are no picture.
	s.line("$redlock who --watch --json k")
	assert.NotContains(t, s.expect("}\r\n"), "\x1b[?1049h")
	s.typed(ctrlC)
	s.line("echo sta''tus $?")
	s.expect("status 130\r\n")
	b.signal(syscall.SIGTERM)
	assert.Equal(t, 143, b.wait())
	assert.True(t, b.status.Signaled())
	assert.Empty(t, b.err.String())
}

func TestBreakTakesALockAwayFromThatHolderAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	a, mark := w.hold("k", "--ttl", "2s", "--owner", "me")
	for _, c := range []struct {
		name string
		args string
		code int
		says string
	}{
		{"no mark", "break --yes k", 64, `want a key and a mark, as in: redlock break KEY 3f9a1c02`},
		{"no key", "break --yes  " + mark, 64, `an empty key`},
		{"no such mark", "break k nonsense", 64, `mark "nonsense": want 8 hexadecimal digits in lower case, as redlock who shows`},
		{"one in upper case", "break --yes k " + strings.Repeat("A", 8), 64, `mark "AAAAAAAA": want 8 hexadecimal digits in lower case, as redlock who shows`},
		{"nobody to ask", "break k " + mark, 64, `there is no terminal to ask at: use --yes`},
		{"another holder", "break --yes k 00000000", 75, `"k": the mark 00000000 is not that of the holder, me, mark ` + mark + `: nothing of its lock was touched`},
	} {
		b := w.run(strings.Split(c.args, " ")...)
		assert.Equal(t, c.code, b.code(), c.name)
		assert.Regexp(t, "^redlock: "+c.says+"\n$", b.err.String(), c.name)
	}
	s := w.open()
	s.line("$redlock break k 00000000")
	s.expect("redlock: \"k\": the mark 00000000 is not that of the holder, me, mark " + mark) // and nothing is asked
	s.line("$redlock break k " + mark)
	s.expect("[y/N] ")
	s.typed("no\r")
	s.expect("redlock: left as it was")
	s.line("$redlock break k " + mark)
	s.expect("[y/N] ")
	s.typed("\x03")
	s.line("echo sta''tus $?")
	s.expect("status 130\r\n")
	w.requireHeld("k")
	s.line("$redlock break k " + mark)
	s.expect("[y/N] ")
	s.typed("y\r")
	s.expect(fmt.Sprintf("\"k\": the lock with the mark %s is gone\r\n", mark))
	assert.Equal(t, 74, a.wait(), "the holder ends when it notices")
	w.requireFree()
	s.line("$redlock break k " + mark)
	s.expect("nobody has \"k\": nothing to break\r\n")
	b := w.run("break", "--yes", "k", mark)
	assert.Equal(t, 0, b.code(), b.err.String())
	assert.Equal(t, "nobody has \"k\": nothing to break\n", b.out.String())
}
