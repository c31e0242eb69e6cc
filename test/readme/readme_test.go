package readme_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

// inRoot returns the files that match, by patterns from the root of the module.
func inRoot(t *testing.T, patterns ...string) []string {
	t.Helper()
	var all []string
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join(rig.Root(t), pattern))
		require.NoError(t, err)
		all = append(all, files...)
	}
	return all
}

// guides returns the README and the pages in docs, by their paths from the root.
func guides(t *testing.T) []string {
	t.Helper()
	pages := []string{"README.md"}
	for _, name := range inRoot(t, "docs/*.md") {
		pages = append(pages, "docs/"+filepath.Base(name))
	}
	require.Greater(t, len(pages), 20, "are they found?")
	return pages
}

// proofs are the pages that name tests: what is promised to a user, they prove.
var proofs = []string{"docs/comparison.md", "docs/TESTING.md"}

func TestTheReadmeTakesThreeMinutes(t *testing.T) {
	assert.LessOrEqual(t, strings.Count(rig.Page(t, "README.md"), "\n"), 250, "lines")
}

func TestTheIndexNamesEachPage(t *testing.T) {
	index := rig.Page(t, "docs/README.md")
	for _, page := range guides(t) {
		if name := filepath.Base(page); page != "docs/README.md" {
			assert.True(t, strings.Contains(index, "("+name+")") || strings.Contains(index, "(../"+name), "docs/README.md lacks %s", page)
		}
	}
}

// declared returns the names of what Go files declare.
func declared(t *testing.T, files []string, skip func(file string) bool, names func(ast.Decl) []string) []string {
	t.Helper()
	var all []string
	for _, name := range files {
		if skip(name) {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			all = append(all, names(d)...)
		}
	}
	require.NotEmpty(t, all)
	return all
}

func isTest(file string) bool { return strings.HasSuffix(file, "_test.go") }

// functions returns the functions, not the methods, whose name begins with prefix.
func functions(prefix string) func(ast.Decl) []string {
	return func(d ast.Decl) []string {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, prefix) {
			return []string{f.Name.Name}
		}
		return nil
	}
}

func TestThePageOnOptionsListsEachOfThem(t *testing.T) {
	table := rig.Page(t, "docs/options.md")
	for _, name := range declared(t, inRoot(t, "*.go"), isTest, functions("With")) {
		assert.True(t, strings.Contains(table, "\n| `"+name+"("), "the table of options lacks %s", name)
	}
}

func TestThePageOnErrorsListsEachOfThem(t *testing.T) {
	errs := rig.Page(t, "docs/errors.md")
	for _, name := range declared(t, inRoot(t, "errors.go"), isTest, func(d ast.Decl) []string {
		var found []string
		ast.Inspect(d, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Err") {
				found = append(found, v.Names[0].Name)
			}
			return true
		})
		return found
	}) {
		assert.True(t, strings.Contains(errs, "\n| `"+name+"`"), "the table of errors lacks %s", name)
	}
}

// Of the options and errors in the README the user reads more in docs; here they only have to exist.
func TestTheReadmeNamesOnlyOptionsErrorsAndMetricsThatExist(t *testing.T) {
	text := rig.Page(t, "README.md")
	options, _, ok := strings.Cut(text, "\n## From other libraries\n") // theirs have such names, too
	require.True(t, ok)
	others := []string{"WithAll", "WithFailFast", "WithoutCancel"} // no options, or not ours
	known := rig.Page(t, "docs/options.md")
	for name := range found(regexp.MustCompile(`\b(With(?:out)?[A-Z]\w+)`), options) {
		assert.True(t, strings.Contains(known, "`"+name+"(") || slices.Contains(others, name), "there is no option %s", name)
	}
	known = rig.Page(t, "docs/errors.md")
	for name := range found(regexp.MustCompile(`\b(Err[A-Z]\w+)`), options) {
		assert.True(t, strings.Contains(known, "| `"+name+"`"), "there is no error %s", name)
	}
	known = rig.Page(t, "docs/telemetry.md")
	for name := range found(regexp.MustCompile("`(redlock\\.[a-z]+\\.[a-z]+)`"), text) {
		assert.True(t, strings.Contains(known, "`"+name+"`"), "there is no metric %s", name)
	}
}

func TestOnlyPagesOfProofsNameTestsAndThoseExist(t *testing.T) {
	test := regexp.MustCompile(`\bTest[A-Z]\w*`)
	exist := declared(t, inRoot(t, "*_test.go", "examples/*/*_test.go", "test/*/*/*_test.go", "test/*/*_test.go"), func(string) bool { return false }, functions("Test"))
	for _, page := range append(guides(t), "cmd/redlock/README.md", "docs/observability/README.md", "adapters/gocron/README.md", "adapters/asynq/README.md", "adapters/certmagic/README.md") {
		named := test.FindAllString(rig.Fence.ReplaceAllString(rig.Page(t, page), ""), -1)
		if !slices.Contains(proofs, page) {
			assert.Empty(t, named, "%s is for users", page)
			continue
		}
		assert.Greater(t, len(named), 5, "are they read?")
		for _, name := range named {
			begins := func(test string) bool { return strings.HasPrefix(test, name) } // as -run takes it
			assert.True(t, slices.ContainsFunc(exist, begins), "%s: there is no %s", page, name)
		}
	}
}
