//go:build linux

package main_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatCannotWorkIsSaidInOneLineAndLocksNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	require.NoError(t, os.WriteFile(w.file("text"), []byte("no program\n"), 0o600))
	require.NoError(t, os.WriteFile(w.file("broken"), []byte("#!/no/such/interpreter\n"), 0o700)) //nolint:gosec // a program
	require.NoError(t, os.WriteFile(w.file("binary"), []byte{0x7f, 'E', 'L', 'F', 0}, 0o700))     //nolint:gosec // likewise
	require.NoError(t, os.WriteFile(w.file("empty"), []byte("# none\n"), 0o600))
	cases := []struct {
		name string
		args string
		code int
		says string
	}{
		{"nothing", "", 64, `a command is missing, as in: redlock run KEY -- COMMAND`},
		{"no such subcommand", "rnu k -- true", 64, `unknown command "rnu" for "redlock"`},
		{"no such topic", "help rnu", 64, `no help on "rnu"`},
		{"no shell", "completion", 64, `a shell is missing, as in: redlock completion bash`},
		{"no such shell", "completion bahs", 64, `unknown command "bahs" for "redlock completion"`},
		{"what it says to itself", "keep 3", 64, `unknown command "keep" for "redlock"`},
		{"no key", "run -- true", 64, `a key is missing, as in: redlock run KEY -- COMMAND`},
		{"no command", "run k", 64, `a command is missing, as in: redlock run KEY -- COMMAND`},
		{"no command behind the dash", "run k --", 64, `a command is missing, as in: redlock run KEY -- COMMAND`},
		{"no dash", "run k true", 64, `only one key stands before --; use --key for more, and -- before the command`},
		{"an empty key", "run --key= k -- true", 64, `an empty key`},
		{"an unknown flag", "run --foo k -- true", 64, `unknown flag: --foo`},
		{"no duration", "run --ttl 30 k -- true", 64, `invalid argument "30" for "--ttl" flag: time: missing unit in duration "30"`},
		{"too short a TTL", "run --ttl 10ms k -- true", 64, `--ttl 10ms: want at least 1s`},
		{"two ways to wait", "run --try --wait 1s k -- true", 64, `--try and --wait exclude each other`},
		{"a negative wait", "run --wait -1s k -- true", 64, `--wait -1s: want 0 or more`},
		{"a limit within the TTL", "run --limit 5s k -- true", 64, `--limit 5s: want at least the TTL, 30s`},
		{"a grace beyond it", "run --grace 20s k -- true", 64, `--grace 20s: want at most a third of the TTL, 10s`},
		{"a quarantine within the TTL", "run --quarantine 20s k -- true", 64, `--quarantine 20s: want at least the TTL, 30s`},
		{"none", "run --quarantine 0 k -- true", 64, `--quarantine 0s: want at least the TTL, 30s`},
		{"one of a Cluster", "run --quarantine 1h --node redis://foo?cluster=1 k -- true", 64, `client 1 spreads keys among servers, and --quarantine is for single ones`},
		{"the key of it", "run --quarantine 1h redlock:up -- true", 64, `resource "redlock:up" is a key that --quarantine keeps`},
		{"a TTL of nothing", "doctor --ttl 0", 64, `--ttl 0s: want at least 1ms`},
		{"a TTL that is all drift", "doctor --ttl 2ms", 64, `ttl 2ms: want more than its drift of 2ms`},
		{"a quarantine within the TTL, of the doctor", "doctor --quarantine 20s", 64, `--quarantine 20s: want at least the TTL, 30s`},
		{"a long owner", "run --owner " + strings.Repeat("x", 129) + " k -- true", 64, `--owner "x{128}": want at most 128 bytes, and what can be printed`},
		{"an owner that cannot be printed", "run --owner \x1b k -- true", 64, `--owner "\\x1b": want .*`},
		{"no such action", "run --on-lost pray k -- true", 64, `--on-lost "pray": want term, kill or ignore`},
		{"no such kind", "run -E lots=3 k -- true", 64, `invalid argument "lots=3" for "-E, --exit-code" flag: no kind "lots": want contended, no-quorum, lost, usage`},
		{"no exit code", "run -E 600 k -- true", 64, `invalid argument "600" for "-E, --exit-code" flag: "600" is no exit code: want 0 to 255`},
		{"two commands", "run -c true k -- true", 64, `-c and a command behind -- exclude each other`},
		{"a key that a token cannot have", "run --token a}b -- true", 64, `resource "a}b" cannot have a fencing token: .*`},

		{"no such command", "run k -- no-such-command", 127, `no-such-command: executable file not found in \$PATH`},
		{"no such file", "run k -- ./no-such-file", 127, `\./no-such-file: .*no such file or directory`},
		{"not executable", "run k -- DIR/text", 126, `DIR/text: .*permission denied`},
		{"a directory", "run k -- DIR", 126, `DIR: .*`},
		{"an interpreter that is missing", "run k -- DIR/broken", 127, `DIR/broken: no such file or directory`},
		{"a binary that is none", "run k -- DIR/binary", 126, `DIR/binary: exec format error`},

		{"no URL", "run --node foo k -- true", 64, `--node: node 1: not a URL as .*`},
		{"another scheme", "run --node http://foo k -- true", 64, `--node: node 1: invalid URL scheme: http`},
		{"a parameter that is none", "run --node redis://foo?bar=1 k -- true", 64, `--node: node 1: unexpected option: bar`},
		{"no port", "run --node redis://foo:70000 k -- true", 64, `--node: node 1: not a URL as .*`},
		{"a pool of no size", "run --node redis://foo?pool_size=-1 k -- true", 64, `--node: node 1: pool_size: want 0 to 1048576`},
		{"one beyond measure", "run --node redis://foo?cluster=1&max_idle_conns=9999999999 k -- true", 64, `--node: node 1: max_idle_conns: .*`},
		{"a group without a name", "run --node redis://foo?master_name= k -- true", 64, `--node: node 1: an empty master_name`},
		{"a node twice", "run --node redis://foo --node redis://foo k -- true", 64, `clients 1 and 2 are the same node \(foo:6379\): it would vote twice`},
		{"no nodes file", "run --nodes-file DIR/none k -- true", 64, `--nodes-file: open DIR/none: no such file or directory`},
		{"a nodes file without a name", "run --nodes-file= k -- true", 64, `--nodes-file: an empty name`},
		{"an empty nodes file", "run --nodes-file DIR/empty k -- true", 64, `--nodes-file: DIR/empty names no nodes`},
		{"no certificates", "run --tls-ca DIR/text k -- true", 64, `REDLOCK_NODES: DIR/text has no certificate in PEM form`},
		{
			"a majority that is down", "run --try --node redis://127.0.0.1:1 k -- true", 69,
			`lock "k": too few nodes answered: 0 of 1 nodes agreed, 1 needed; node 1 \(127.0.0.1:1\): acquire: dial tcp 127.0.0.1:1: connect: connection refused`,
		},
		{"likewise, though it waits", "run --node redis://127.0.0.1:1 k -- true", 69, `lock "k": too few nodes answered.*`},
	}
	runs := make([]*tool, len(cases))
	for i, c := range cases {
		runs[i] = w.start(strings.Fields(strings.ReplaceAll(c.args, "DIR", w.dir))...)
		if i >= 8 { // so many at a time
			runs[i-8].wait()
		}
	}
	for i, c := range cases {
		a := runs[i]
		assert.Equal(t, c.code, a.wait(), c.name)
		assert.Regexp(t, `^redlock: `+strings.ReplaceAll(c.says, "DIR", w.dir)+"\n$", a.err.String(), c.name)
		if c.args != "" {
			assert.Empty(t, a.out.String(), c.name)
		}
	}
	w.requireFree()
	w.env = nil
	a := w.run("run", "k", "--", "true")
	assert.Equal(t, 64, a.code())
	assert.Equal(t, "redlock: no nodes: use --node, --nodes-file or REDLOCK_NODES\n", a.err.String())
}

func TestWhatItSaysIsNotForTheTerminalToObey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	a := w.run("run", "k", "--", "./a\nb\x1b[31m\u202e'")
	assert.Equal(t, 127, a.code())
	assert.Equal(t, `redlock: ./a\nb\x1b[31m\u202e': no such file or directory`+"\n", a.err.String())
	assert.Equal(t, `nobody has "a\nb\x1b[31m": nothing to break`+"\n", w.run("break", "-y", "a\nb\x1b[31m", "00000000").out.String())
}

func TestExitCodesOfItsOwnCanBeSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	codes := "contended=11,no-quorum=12,lost=13,usage=14"
	assert.Equal(t, 14, w.run("run", "-E", codes, "--nonsense", "k", "--", "true").code())
	assert.Equal(t, 14, w.run("run", "--ttl", "30", "-E", codes, "k", "--", "true").code(), "behind what is wrong")
	assert.Equal(t, 64, w.run("run", "--nonsense", "k", "--", "true", "-E", codes).code(), "of the command")
	assert.Equal(t, 14, w.run("run", "-E", codes, "--ttl", "0s", "k", "--", "true").code())
	assert.Equal(t, 12, w.run("run", "-E", codes, "--try", "--node", "redis://127.0.0.1:1", "k", "--", "true").code())
	a := w.start("run", "-E", codes, "--ttl", "1s", "k", "--", "sleep", "60")
	w.requireHeld("k")
	assert.Equal(t, 11, w.run("run", "-E", codes, "--try", "k", "--", "true").code())
	assert.Equal(t, 3, w.run("run", "-E", "3", "--try", "k", "--", "true").code(), "as of flock")
	w.freeze()
	assert.Equal(t, 13, a.wait())
}

func TestARunExitsAsItsCommandDid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for _, code := range []string{"0", "1", "42", "64", "75", "255"} {
		a := w.run("run", "k", "--", "sh", "-c", "exit "+code)
		assert.Equal(t, code, strings.TrimSpace(code), a.code())
		assert.Empty(t, a.err.String())
		assert.Empty(t, w.keys(), "it is released before the run has ended")
	}
}

func TestTheCommandHasWhatTheToolHas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	cmd := w.command("run", "k", "--", "sh", "-c", `cat; echo err >&2; echo extra >&3; echo $0 "$@"`, "a b", "--flag", "c")
	cmd.Stdin = strings.NewReader("input\n")
	extra, err := os.Create(w.file("extra"))
	require.NoError(t, err)
	defer func() { _ = extra.Close() }()
	cmd.ExtraFiles = []*os.File{extra}
	a := w.startCmd(cmd)
	assert.Equal(t, 0, a.wait())
	assert.Equal(t, "input\na b --flag c\n", a.out.String())
	assert.Equal(t, "err\n", a.err.String())
	assert.Equal(t, "extra\n", w.read("extra"))

	a = w.run("run", "k\xff", "--", "sh", "-c", `printf %s "$1$REDLOCK_RESOURCE"`, "", "\xfe")
	assert.Equal(t, "\xfek\xff", a.out.String(), "whatever the bytes")

	a = w.run("run", "k", "--", "sh", "-c", "ls -l /proc/self/fd | grep -c socket")
	assert.Equal(t, "0\n", a.out.String(), "and nothing else")
}

func TestAShellRunsOnlyIfItIsAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	assert.Equal(t, "$HOME; exit\n", w.run("run", "k", "--", "echo", "$HOME; exit").out.String())
	a := w.run("run", "k", "-c", "echo a | tr a b; exit 4")
	assert.Equal(t, 4, a.code(), a.err.String())
	assert.Equal(t, "b\n", a.out.String())
}

func TestTheEnvironmentTellsOfTheLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	show := `echo "$REDLOCK_RESOURCE ${REDLOCK_TOKEN-none}"`
	assert.Equal(t, "k none\n", w.run("run", "k", "--", "sh", "-c", show).out.String())
	tokens := strings.Fields(w.run("run", "--token", "k", "--", "sh", "-c", `echo $REDLOCK_TOKEN; "$0" run inner -- sh -c 'echo ${REDLOCK_TOKEN-none} $REDLOCK_RESOURCE'`, self(t)).out.String())
	require.Len(t, tokens, 3)
	assert.Regexp(t, `^[1-9]\d*$`, tokens[0])
	assert.Equal(t, []string{"none", "inner"}, tokens[1:], "not that of another lock")
	next := strings.TrimSpace(w.run("run", "--token", "k", "--", "sh", "-c", "echo $REDLOCK_TOKEN").out.String())
	assert.Less(t, tokens[0], next)
}

func TestWhatACommandLeavesBehindIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	nap := unique()
	a := w.run("run", "k", "--", "sh", "-c", "sleep "+nap+" >/dev/null 2>&1 & echo $!")
	assert.Equal(t, 0, a.code())
	assert.True(t, running(t, nap))
	assert.Empty(t, w.keys())
	require.NoError(t, exec.CommandContext(t.Context(), "kill", strings.TrimSpace(a.out.String())).Run()) //nolint:gosec // a number
}

func TestShellsCanCompleteTheCommandLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		a := w.run("completion", shell)
		assert.Equal(t, 0, a.code())
		assert.Contains(t, a.out.String(), "redlock")
	}
	assert.Contains(t, w.run("__complete", "run", "--on-lost", "").out.String(), "term\nkill\nignore\n:4\n")
	assert.Contains(t, w.run("__complete", "run", "--o").out.String(), "--on-lost")
	assert.Equal(t, ":4\n", w.run("__complete", "run", "").out.String(), "a key is no file")
	assert.Equal(t, ":0\n", w.run("__complete", "run", "k", "--", "").out.String(), "a command is one")
}
