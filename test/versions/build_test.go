package versions_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

// first stands for the last release until there is one: the first commit that has all that
// docs/versions.md calls the wire format, which are locks, the line and the counter.
const first = "2824de9cb0bfc13bcbc4a8d20c9dfe0dc1899203"

const worker = "test/versions/worker"

// build returns the programs of the workers of the last release and of this version, and what
// the former is called.
func build(t *testing.T) (before, now, release string) {
	t.Helper()
	release = lastRelease(t)
	dir := t.TempDir()
	before, now = filepath.Join(dir, "before.exe"), filepath.Join(dir, "now.exe")

	old := filepath.Join(dir, "source")
	text, err := git(t, "archive", release)
	require.NoError(t, err)
	unpack(t, text, old)
	source, err := os.ReadFile("worker/main.go")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(old, worker), 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(old, worker, "main.go"), source, 0o600)) //nolint:gosec // of the test's own directory

	goBuild(t, old, before)
	goBuild(t, rig.Root(t), now)
	return before, now, release
}

func goBuild(t *testing.T, dir, program string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", program, "./"+worker) //nolint:gosec // of the module
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "go build in %s: %s", dir, out)
}

// lastRelease returns the tag of the last release before what is checked out, or first if there
// is none. It skips t where the history is not at hand.
func lastRelease(t *testing.T) string {
	t.Helper()
	prefix, err := git(t, "rev-parse", "--show-prefix")
	if err != nil || strings.TrimSpace(string(prefix)) != "" {
		t.Skipf("needs the history: this is no clone of the repository (%v)", err)
	}
	if tag, err := git(t, "describe", "--tags", "--abbrev=0", "--match=v[0-9]*", "HEAD^"); err == nil {
		return strings.TrimSpace(string(tag))
	}
	if _, err := git(t, "cat-file", "-e", first+"^{commit}"); err != nil {
		t.Skipf("needs the history: git fetch --unshallow --tags (%v)", err)
	}
	return first
}

// git returns what a command of git says at the root of the module.
func git(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", rig.Root(t)}, args...)...) //nolint:gosec // of this file
	out, err := cmd.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(failed.Stderr))
	}
	return out, err
}

// unpack writes the files of an archive below dir.
func unpack(t *testing.T, text []byte, dir string) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(text)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		if h.Typeflag != tar.TypeReg {
			continue
		}
		require.True(t, filepath.IsLocal(h.Name), h.Name)
		name := filepath.Join(dir, h.Name) //nolint:gosec // it is local
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o750))
		file, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(name, file, 0o600))
	}
}
