package versions_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

// A process is a worker that runs; see its package.
type process struct {
	version string
	in, out *os.File // its standard input and output
	lines   *bufio.Reader
}

// start runs a worker on the nodes until t ends.
func start(t *testing.T, version, program string, on *rig.Real) *process {
	t.Helper()
	childIn, in, err := os.Pipe()
	require.NoError(t, err)
	out, childOut, err := os.Pipe()
	require.NoError(t, err)
	var addrs []string
	for _, s := range on.Servers {
		addrs = append(addrs, s.Addr())
	}
	var stderr bytes.Buffer
	ctx, kill := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, program, addrs...) //nolint:gosec // built by this test
	cmd.Stdin, cmd.Stdout, cmd.Stderr = childIn, childOut, &stderr
	require.NoError(t, cmd.Start())
	require.NoError(t, childIn.Close())
	require.NoError(t, childOut.Close())
	t.Cleanup(func() {
		defer kill()
		_ = in.Close()
		defer time.AfterFunc(rig.Patience, kill).Stop()
		assert.NoError(t, cmd.Wait(), "the %s process: %s", version, &stderr)
		_ = out.Close()
	})
	return &process{version: version, in: in, out: out, lines: bufio.NewReader(out)}
}

// do has the worker carry out a command. It reports whether that was granted, and with what
// token.
func (p *process) do(format string, args ...any) (ok bool, token int64, err error) {
	if err := p.say(format, args...); err != nil {
		return false, 0, err
	}
	return p.hear()
}

func (p *process) say(format string, args ...any) error {
	_, err := fmt.Fprintf(p.in, format+"\n", args...)
	return err
}

func (p *process) hear() (ok bool, token int64, err error) {
	if err := p.out.SetReadDeadline(time.Now().Add(rig.Patience)); err != nil {
		return false, 0, err
	}
	line, err := p.lines.ReadString('\n')
	switch {
	case err != nil:
		return false, 0, fmt.Errorf("the %s process: %w", p.version, err)
	case line == "no\n":
		return false, 0, nil
	}
	_, err = fmt.Sscanf(line, "ok %d\n", &token)
	return true, token, err
}

// must has the worker carry out a command that is to succeed.
func (p *process) must(t *testing.T, format string, args ...any) (token int64) {
	t.Helper()
	ok, token, err := p.do(format, args...)
	require.NoError(t, err)
	require.True(t, ok, "the %s process: %s", p.version, fmt.Sprintf(format, args...))
	return token
}

// refused has the worker carry out a command that is to find another holder.
func (p *process) refused(t *testing.T, format string, args ...any) {
	t.Helper()
	ok, _, err := p.do(format, args...)
	require.NoError(t, err)
	require.False(t, ok, "the %s process: %s", p.version, fmt.Sprintf(format, args...))
}
