package readme_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

// docComments returns what pkg.go.dev shows of the packages for users, by what it is about.
func docComments(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, name := range inRoot(t, "*.go", "leader/*.go", "redlocktest/*.go", "adapters/*/*.go") {
		if isTest(name) {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		require.NoError(t, err)
		in := strings.TrimPrefix(name, rig.Root(t)+"/") + ": "
		if file.Doc != nil {
			all[in+"package"] = file.Doc.Text()
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Doc != nil && d.Name.IsExported() {
					all[in+d.Name.Name] = d.Doc.Text()
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if spec, ok := spec.(*ast.TypeSpec); ok && d.Doc != nil && spec.Name.IsExported() {
						all[in+spec.Name.Name] = d.Doc.Text()
					}
					if spec, ok := spec.(*ast.ValueSpec); ok && spec.Doc != nil && spec.Names[0].IsExported() {
						all[in+spec.Names[0].Name] = spec.Doc.Text()
					}
				}
			}
		}
	}
	require.Greater(t, len(all), 80, "are they read?")
	return all
}

// More belongs on a page: pkg.go.dev shows what a call does, docs says how.
func TestDocCommentsHaveAtMost120Words(t *testing.T) {
	for name, text := range docComments(t) {
		if !strings.HasSuffix(name, ": package") {
			assert.LessOrEqual(t, len(strings.Fields(text)), 120, name)
		}
	}
}

// Words that make a reader stop.
var stops = regexp.MustCompile(`(?i)\b(?:whoever|somebody|is to be|are to be|has to be|have to be|if need be)\b`)

func TestUsersReadPlainEnglish(t *testing.T) {
	for name, text := range docComments(t) {
		assert.Empty(t, stops.FindAllString(strings.ReplaceAll(text, `"somebody else"`, ""), -1), name)
	}
	for _, page := range guides(t) {
		switch page {
		case "docs/ARCHITECTURE.md", "docs/TESTING.md": // for those who change the code
		default:
			assert.Empty(t, stops.FindAllString(rig.Page(t, page), -1), page)
		}
	}
}
