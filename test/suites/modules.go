package suites

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

// library is the module that is tested.
const library = "github.com/b0401464/redlock"

// goTool returns a command of the Go tool that is run in dir.
func goTool(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...) //nolint:gosec // the tests' own arguments
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	return cmd
}

// output returns what a command prints.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			stderr = exit.Stderr
		}
		t.Fatalf("%v: %v\n%s%s", cmd, err, head(string(out)), head(string(stderr)))
	}
	return string(out)
}

// copyModule copies a module of another project into a directory of its own, where it is to
// be tested upon this library, and returns that. The files of the directories of ours are
// put beside the others, or in the place of those with the same name.
func copyModule(t *testing.T, path, version string, ours ...string) (dir string) {
	t.Helper()
	var module struct{ Dir string }
	require.NoError(t, json.Unmarshal([]byte(output(t, goTool(t, t.TempDir(), "mod", "download", "-json", path+"@"+version))), &module))
	dir = t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(module.Dir)))
	// With the sums of both, nothing has to be looked up.
	sums := readFile(t, filepath.Join(dir, "go.sum")) + readFile(t, filepath.Join(rig.Root(t), "go.sum"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), []byte(sums), 0o600))
	output(t, goTool(t, dir, "mod", "edit", "-go=1.26.0", "-require="+library+"@v0.0.0", "-replace="+library+"="+rig.Root(t)))

	for _, from := range ours {
		files, err := filepath.Glob(filepath.Join(from, "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files, from)
		for _, file := range files {
			require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.Base(file)), []byte(readFile(t, file)), 0o600))
		}
	}
	return dir
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path) //nolint:gosec // of the tests
	require.NoError(t, err)
	return string(text)
}

// goTest returns a command that tests the package in dir.
func goTest(t *testing.T, dir, run string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := goTool(t, dir, "test", "-json", "-mod=mod", "-vet=off", "-count=1", "-timeout=10m", "-run="+run, ".")
	cmd.Env = append(cmd.Env, env...)
	return cmd
}
