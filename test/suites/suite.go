package suites

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A suite is tests of others, and what is known of them by name.
type suite struct {
	name, version string

	tests   []string                                 // all of them
	differs map[string]difference                    // must fail
	leftOut map[string]string                        // are not run, with the reason
	timed   map[string]string                        // may fail twice with these words, where a machine is busy for a moment
	command func(t *testing.T, run string) *exec.Cmd // runs the tests that match, and prints JSON
}

// A difference is why a test fails, and what all its cases then say.
type difference struct{ reason, says string }

// check runs the suite and requires that exactly those tests fail that
// differ. It prints one line in the end.
func (s suite) check(t *testing.T) {
	t.Helper()
	differs := make(map[string]string)
	for name, d := range s.differs {
		differs[name] = d.reason
	}
	for _, known := range []map[string]string{differs, s.leftOut, s.timed} {
		for name := range known {
			require.Contains(t, s.tests, name, "is it theirs?")
		}
	}
	var names []string
	for _, name := range s.tests {
		if s.leftOut[name] == "" {
			names = append(names, name)
		}
	}
	all := run(t, s.command(t, oneOf(names)))
	var cases, passed int
	var again []string
	for _, name := range names {
		want := pass
		if differs[name] != "" {
			want = fail
		}
		got := all.cases(name)
		for try := 0; try < 2 && all.ends[name] == fail && s.late(name, all.output[name]); try++ {
			again = append(again, name)
			one := run(t, s.command(t, oneOf([]string{name})))
			all.ends[name], all.output[name], got = one.ends[name], one.output[name], one.cases(name)
		}
		cases += len(got)
		require.NotEmpty(t, got, "%s has not ended:\n%s", name, head(all.output[""]))
		for c, end := range got {
			assert.Equal(t, want, end, "%s:\n%s", c, head(all.output[c]))
			assert.Contains(t, all.output[c], s.differs[name].says)
		}
		if all.ends[name] == pass {
			passed++
		}
	}
	line := fmt.Sprintf("%s, %s: %d of %d tests run, in %d cases; %d passed", s.name, s.version, len(names), len(s.tests), cases, passed)
	if len(again) > 0 {
		line += "; run again: " + strings.Join(again, ", ")
	}
	t.Log(line + told("differ", differs) + told("left out", s.leftOut))
}

// late reports whether a test has failed as it does where a machine is busy.
func (s suite) late(name, output string) bool {
	words := s.timed[name]
	return words != "" && strings.Contains(output, words)
}

// told tells of tests, those with the same reason together.
func told(what string, reasons map[string]string) string {
	by := make(map[string][]string)
	for name, reason := range reasons {
		by[reason] = append(by[reason], name)
	}
	var text strings.Builder
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		slices.Sort(by[reason])
		fmt.Fprintf(&text, "; %s: %s (%s)", what, strings.Join(by[reason], ", "), reason)
	}
	return text.String()
}

func oneOf(names []string) string { return "^(" + strings.Join(names, "|") + ")$" }

// testsIn returns the names of the tests in files, and of the examples that are run.
func testsIn(t *testing.T, pattern string) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	require.NoError(t, err)
	var files []*ast.File
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		require.NoError(t, err)
		files = append(files, file)
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") && f.Name.Name != "TestMain" {
				names = append(names, f.Name.Name)
			}
		}
	}
	for _, e := range doc.Examples(files...) {
		if e.Output != "" || e.EmptyOutput {
			names = append(names, "Example"+e.Name)
		}
	}
	require.NotEmpty(t, names, pattern)
	return names
}
