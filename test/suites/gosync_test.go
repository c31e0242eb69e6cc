package suites

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/servers"
	"github.com/b0401464/redlock/test/suites/gosync"
)

func TestGosOwnMutexTestsPass(t *testing.T) {
	t.Parallel()
	source := filepath.Join(strings.TrimSpace(output(t, goTool(t, ".", "env", "GOROOT"))), "src", "sync", "mutex_test.go")
	tests := testsIn(t, source)
	program := buildWith(t, source, "sync", library+"/test/suites/gosync", tests)
	const atOnce = 3 // Lockers on three nodes
	leftOut := map[string]string{
		"TestSemaphore":   "the runtime's semaphores, not a mutex",
		"TestMutexMisuse": "Unlock of what is not locked ends no program here, and there are no locks for readers",
	}
	unfair := maps.Clone(leftOut)
	unfair["TestMutexFairness"] = "there is no order without a line"
	for _, s := range []struct {
		name           string
		nodes, lockers int
		poll           string
		leftOut        map[string]string
	}{
		{"on one node", 1, 1, "", leftOut},
		{"on three nodes", 3, atOnce, "", leftOut},
		{"on three nodes, without a line", 3, atOnce, "5ms", unfair},
	} {
		t.Run(s.name, func(t *testing.T) {
			var addrs []string
			for _, server := range servers.Start(t, s.nodes) {
				addrs = append(addrs, server.Addr())
			}
			suite{
				name: "sync.Mutex " + s.name, version: runtime.Version(), tests: tests, leftOut: s.leftOut,
				timed: map[string]string{"TestMutexFairness": "can't acquire Mutex in 10 seconds"},
				command: func(t *testing.T, run string) *exec.Cmd {
					t.Helper()
					cmd := goTool(t, ".", "tool", "test2json", program, "-test.v=test2json", "-test.timeout=5m", "-test.run="+run)
					cmd.Env = append(cmd.Env, gosync.EnvNodes+"="+strings.Join(addrs, ","),
						gosync.EnvLockers+"="+strconv.Itoa(s.lockers), gosync.EnvPoll+"="+s.poll)
					return cmd
				},
			}.check(t)
		})
	}
}

// main of the program that runs tests of package theirs.
const mainSource = `package main

import (
	"regexp"
	"testing"

	theirs "theirs" // it is called sync_test, whatever its path
)

func main() {
	testing.Main(regexp.MatchString, []testing.InternalTest{%s}, nil, nil)
}
`

// buildWith compiles a file of tests in which one package is imported in the place of
// another, and returns the program that runs them. The go command knows no such thing, but
// the compiler does: the standard library keeps its own copies of other packages that way.
func buildWith(t *testing.T, source, replaced, by string, tests []string) (program string) {
	t.Helper()
	dir := t.TempDir()
	list := goTool(t, ".", "list", "-export", "-deps", "-f", "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}",
		by, "testing", "internal/testenv")
	packages := output(t, list)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	compile := func(name, config, file string) string {
		archive := filepath.Join(dir, name+".a")
		output(t, goTool(t, ".", "tool", "compile", "-p", name, "-pack", "-importcfg", write(name+".cfg", config), "-o", archive, file))
		return archive
	}
	theirs := compile("theirs", packages+fmt.Sprintf("importmap %s=%s\n", replaced, by), source)

	var table strings.Builder
	for _, name := range tests {
		fmt.Fprintf(&table, "{Name: %q, F: theirs.%s},\n", name, name)
	}
	packages += fmt.Sprintf("packagefile theirs=%s\n", theirs)
	object := compile("main", packages, write("main.go", fmt.Sprintf(mainSource, table.String())))
	program = filepath.Join(dir, "program")
	output(t, goTool(t, ".", "tool", "link", "-importcfg", write("link.cfg", packages), "-o", program, object))
	return program
}
