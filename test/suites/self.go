package suites

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// envSelf tells a test that it is run by itself, to be counted.
const envSelf = "REDLOCK_SUITE_SELF"

// checkSelf checks what body asks of a package that has its tests in functions. The test runs in a
// process of its own, so that all its cases are seen.
func checkSelf(t *testing.T, name, version string, body func(t *testing.T)) {
	t.Helper()
	if os.Getenv(envSelf) != "" {
		body(t)
		return
	}
	suite{
		name: name, version: version, tests: []string{t.Name()},
		command: func(t *testing.T, run string) *exec.Cmd {
			t.Helper()
			cmd := goTool(t, ".", "tool", "test2json", os.Args[0], "-test.v=test2json", "-test.timeout=5m", "-test.run="+run)
			cmd.Env = append(cmd.Env, envSelf+"=1")
			return cmd
		},
	}.check(t)
}

// versionOf returns the version of a module that the tests are built with.
func versionOf(t *testing.T, module string) string {
	t.Helper()
	return strings.TrimSpace(output(t, goTool(t, ".", "list", "-m", "-f", "{{.Version}}", module)))
}
