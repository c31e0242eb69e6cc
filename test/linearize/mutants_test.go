//go:build linux

package linearize

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	mutate = flag.String("mutants", "", "have these mistakes put into the library found, a regular expression of their names")
	within = flag.Duration("within", 5*time.Minute, "how long a mistake may stay unfound")
)

// A mutant is the library with a mistake in it.
type mutant struct {
	name  string
	edits []edit
}

// An edit replaces a snippet that stands once in a file of the library.
type edit struct{ file, old, new string }

var mutants = []mutant{
	{"a quorum of half", []edit{
		{"internal/quorum/quorum.go", "return nodes/2 + 1", "return max(nodes/2, 1)"},
	}},
	{"a release that compares nothing", []edit{
		{"internal/script/release.lua", "elseif value == ARGV[1] then", "elseif value then"},
		{"internal/script/release_gate.lua", "if value == ARGV[1] then", "if value then"},
	}},
	{"validity counted from the return", []edit{
		{"internal/lease/hold.go", "lease{start: start, ttl: ttl, drift: drift}, start.Moment()", "lease{start: h.now(), ttl: ttl, drift: drift}, start.Moment()"},
	}},
	{"validity of an extension counted from the return", []edit{
		{"internal/lease/extend.go", "		if next.left(now) > 0 {\n", "		next.start = now\n		if next.left(now) > 0 {\n"},
	}},
	{"a context that goes by a timer alone, and ends late", []edit{
		{"internal/lease/contexts.go", "if over := c.hold.Ended(); over != nil {", "if over := c.hold.Ended(); over != nil && c.outer != nil {"},
	}},
	{"validity that ends a fifth of a second late", []edit{
		{"internal/lease/hold.go", "	left := h.lease.left(now)\n", "	left := h.lease.left(now)\n	if left <= 0 {\n		left = max(h.lease.left(now)+max(200*time.Millisecond-now.Since(h.lease.start)+h.lease.ttl-h.lease.drift, 0), 0)\n	}\n"},
	}},
	{"a lock that runs out before its Until", []edit{
		{"internal/lease/hold.go", "	left := h.lease.left(now)\n", "	left := h.lease.left(now) - 20*time.Millisecond\n"},
	}},
	{"a lock that does not tell its token", []edit{
		{"fence.go", "	return k.hold.Token()\n", "	return 0\n"},
	}},
	{"an extension that compares nothing", []edit{
		{"internal/script/extend.lua", "then return -2 end", "then missing = false end"},
		{"internal/script/extend.lua", "if value ~= ARGV[1] then missing = true end", "if not value then missing = true end"},
	}},
	{"an extension that counts nodes where the lock is gone", []edit{
		{"internal/round/extend.go", "			tally.Gone++", "			tally.Held++"},
	}},
	{"an Unlock that is never too late", []edit{
		{"internal/lease/release.go", "		f.Detail = h.lossDetail()\n		return res, f", "		f.Detail = h.lossDetail()\n		return res, nil"},
	}},
	{"an Unlock that takes no answer for a loss", []edit{
		{"internal/lease/release.go", "h.failed(fault.Unlock, 1, res, nil, fault.NoQuorum)", "h.failed(fault.Unlock, 1, res, nil, fault.LockLost)"},
	}},
	{"a Break of whoever has it", []edit{
		{"internal/inspect/break.go", "case s.There && value.Mark(s.Value) == mark:", "case s.There && mark != \"\":"},
	}},
	{"an Inspect that believes one node", []edit{
		{"internal/inspect/verdict.go", "	majority, missing := quorum.Size(len(sights)), 0", "	majority, missing := quorum.Size(1), 0"},
	}},
	{"an Inspect that takes silence for free", []edit{
		{"internal/inspect/verdict.go", "			missing++", "			missing += 0"},
	}},
}

// shared are the names of mistakes of test/simulation that are to be found here, too.
var shared = []string{
	"drift and elapsed time ignored",
	"arming inside the extend script",
	"tokens that are not written back",
	"counters that go by the proposal alone",
	"a native acquire that takes a refusal for a grant",
}

const sharedFile = "../simulation/mutants_test.go"

// all returns the mistakes of this package, and the shared ones, which are read where they stand.
func all(t *testing.T) []mutant {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), sharedFile, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	found := slices.Clone(mutants)
	ast.Inspect(file, func(n ast.Node) bool {
		c, ok := n.(*ast.CompositeLit)
		if !ok || c.Type != nil || len(c.Elts) != 2 {
			return true
		}
		edits, ok := c.Elts[1].(*ast.CompositeLit)
		if !ok || !slices.Contains(shared, literal(c.Elts[0])) {
			return true
		}
		m := mutant{name: literal(c.Elts[0])}
		for _, e := range edits.Elts {
			if e, ok := e.(*ast.CompositeLit); ok && len(e.Elts) == 3 {
				m.edits = append(m.edits, edit{literal(e.Elts[0]), literal(e.Elts[1]), literal(e.Elts[2])})
			}
		}
		found = append(found, m)
		return false
	})
	require.Len(t, found, len(mutants)+len(shared), "%s does not have all of %q", sharedFile, shared)
	return found
}

// literal returns the string that an expression is, or nothing.
func literal(e ast.Expr) string {
	if b, ok := e.(*ast.BasicLit); ok {
		if text, err := strconv.Unquote(b.Value); err == nil {
			return text
		}
	}
	return ""
}

func TestEveryPlantedMistakeIsFound(t *testing.T) {
	if *mutate == "" {
		t.Skip("takes minutes; run it with -mutants .")
	}
	wanted, err := regexp.Compile(*mutate)
	require.NoError(t, err)
	for _, m := range all(t) {
		if wanted.MatchString(m.name) {
			t.Run(m.name, m.run)
		}
	}
}

// A mistake whose snippet has changed is none any more, and they are planted too seldom to tell.
func TestTheSnippetsOfPlantedMistakesStandInTheLibrary(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	for _, m := range all(t) {
		m.overlay(t, root, t.TempDir())
	}
}

var (
	refusedLine = regexp.MustCompile(`(\d) nodes, ` + envSeed + `=(\d+): (.*?);`)
	modelName   = regexp.MustCompile(`: ([a-z ]+): illegal`)
)

// run builds this package's test with the mistake in the library, and demands that it finds it.
func (m *mutant) run(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	binary := filepath.Join(dir, "linearize.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", m.overlay(t, root, dir), "-o", binary, ".") //nolint:gosec // go
	out, err := build.CombinedOutput()
	require.NoErrorf(t, err, "%s", out)

	begun := time.Now()
	c := exec.CommandContext(t.Context(), binary, "-test.run", "^TestHistories", "-test.v") //nolint:gosec // which was just built
	c.Env = append(os.Environ(), envLength+"="+within.String(), "TMPDIR="+dir)
	out, err = c.CombinedOutput()
	require.Errorf(t, err, "it was not found within %v", *within)
	found := refusedLine.FindAllStringSubmatch(string(out), -1)
	require.NotEmptyf(t, found, "%s", out)
	var models []string
	for _, f := range found {
		if name := modelName.FindStringSubmatch(f[3]); name != nil {
			models = append(models, name[1])
		}
	}
	slices.Sort(models)
	models = slices.Compact(models)
	took := time.Since(begun).Round(time.Second)
	fmt.Printf("| %s | %v | %s | %s |\n", m.name, took, found[0][1], strings.Join(models, ", "))
	t.Logf("found after %v, on %s nodes, seed %s, by: %s", took, found[0][1], found[0][2], strings.Join(models, ", "))
	t.Logf("%s", shrunkOf(string(out)))
}

// shrunkOf returns the first shrunk history that the test has printed.
func shrunkOf(out string) string {
	_, after, _ := strings.Cut(out, "; shrunk:\n")
	var text []string
	for line := range strings.Lines(after) {
		if !strings.Contains(line, " ms  ") {
			break
		}
		text = append(text, strings.TrimSpace(line))
	}
	return strings.Join(text, "\n")
}

// overlay writes the files that are different, and which they replace.
func (m *mutant) overlay(t *testing.T, root, dir string) string {
	t.Helper()
	replace := make(map[string]string)
	for _, e := range m.edits {
		path := filepath.Join(root, e.file)
		from := path
		if edited, ok := replace[path]; ok {
			from = edited
		}
		source, err := os.ReadFile(from) //nolint:gosec // one of the list above, or its copy
		require.NoError(t, err)
		require.Equalf(t, 1, strings.Count(string(source), e.old), "%s does not have this snippet, once: %s", e.file, e.old)
		replace[path] = filepath.Join(dir, strings.ReplaceAll(e.file, "/", "_"))
		require.NoError(t, os.WriteFile(replace[path], []byte(strings.Replace(string(source), e.old, e.new, 1)), 0o600)) //nolint:gosec // in the test's own directory
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	path := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(path, list, 0o600))
	return path
}
