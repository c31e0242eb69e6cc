package interop

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience is for what must come; a busy machine is slow.
const patience = 60 * time.Second

const (
	envRequireNode = "REDLOCK_REQUIRE_NODE"
	nodeModules    = "node_modules"
)

// A library is one that has workers.
type library struct {
	name string
	node bool // its worker is node/name.mjs; else name is one of goLibraries
}

var (
	ours       = library{name: "redlock"}
	fenced     = library{name: "redlock, fenced"}
	neighbours = []library{
		{name: "bull-redlock", node: true},
		{name: "redlock4", node: true},
		{name: "redlock5", node: true},
		{name: "redsync"},
	}
)

// command returns the program of a worker of the library.
func (l library) command(ctx context.Context, addrs []string) *exec.Cmd {
	if l.node {
		program := filepath.Join("node", l.name+".mjs")
		return exec.CommandContext(ctx, "node", append([]string{program}, addrs...)...) //nolint:gosec // of this directory
	}
	cmd := exec.CommandContext(ctx, os.Args[0], addrs...) //nolint:gosec // itself
	cmd.Env = append(os.Environ(), envWorker+"="+l.name, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// require ends tb unless what the library needs is installed.
func (l library) require(tb testing.TB) {
	tb.Helper()
	if !l.node {
		return
	}
	_, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(nodeModules)
	}
	switch {
	case err == nil:
	case os.Getenv(envRequireNode) == "1":
		tb.Fatalf("needs Node and its modules: %v, and %s=1 forbids to skip", err, envRequireNode)
	default:
		tb.Skip("needs Node and its modules: install Node and run make interop")
	}
}

// A worker is a process that does what worker_test.go describes.
type worker struct {
	library library
	in, out *os.File // its standard input and output
	lines   *bufio.Reader
}

// start runs a worker until t ends. It is connected, and the nodes know its
// scripts. It fails t if it ends with an error; that it raced is one.
func (l library) start(t *testing.T, addrs []string) *worker {
	t.Helper()
	childIn, in := pipe(t)
	out, childOut := pipe(t)
	var stderr bytes.Buffer
	ctx, kill := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := l.command(ctx, addrs)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = childIn, childOut, &stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		defer kill()
		assert.NoError(t, in.Close())
		defer time.AfterFunc(patience, kill).Stop()
		assert.NoError(t, cmd.Wait(), "worker of %s: %s", l.name, &stderr)
	})
	require.NoError(t, childIn.Close())
	require.NoError(t, childOut.Close())
	w := &worker{library: l, in: in, out: out, lines: bufio.NewReader(out)}
	require.Equal(t, "ok", w.ask(t, "lock warm-up %d", patience.Milliseconds()))
	require.Equal(t, "ok", w.ask(t, "extend %d", patience.Milliseconds()))
	require.Equal(t, "ok", w.ask(t, "unlock"))
	return w
}

// pipe returns the ends of a pipe, which are closed when t ends if not before.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

func (w *worker) say(line string) error {
	_, err := w.in.WriteString(line + "\n")
	return err
}

// hear returns the next line of the worker. It does not wait for ever.
func (w *worker) hear() (string, error) {
	if err := w.out.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	line, err := w.lines.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("worker of %s: %w", w.library.name, err)
	}
	return strings.TrimSuffix(line, "\n"), nil
}

// ask has the worker carry out a command and returns its answer.
func (w *worker) ask(t require.TestingT, format string, args ...any) string {
	require.NoError(t, w.say(fmt.Sprintf(format, args...)))
	answer, err := w.hear()
	require.NoError(t, err)
	return answer
}
