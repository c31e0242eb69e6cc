package readme_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

// indexed is what go doc and the index of a package on pkg.go.dev have room for: each adds up
// the parameters of a function, with two characters behind each field, and writes "..." in
// place of the first that does not fit and all after it. Results are treated likewise.
const indexed = 80

// cutOff reports whether an index cuts off the fields, or those of a function among them.
func cutOff(fields *ast.FieldList) bool {
	if fields == nil {
		return false
	}
	used := 0
	for _, f := range fields.List {
		if inner, ok := f.Type.(*ast.FuncType); ok && (cutOff(inner.Params) || cutOff(inner.Results)) {
			return true
		}
		used += len(types.ExprString(f.Type)) + len(", ")
		for i, name := range f.Names { // "a, b int" is one field
			used += len(name.Name) + len(" ")
			if i > 0 {
				used += len(",")
			}
		}
	}
	return used > indexed
}

// longer are functions whose shape leaves no room, whatever their parameters are called: the
// context, the resource, the TTL and the options, which all functions of the package have,
// take 77 of the 80 characters, and with a Locker besides, 94. Do fits since its function has
// a name and its resource is "key".
var longer = []string{".: With", ".: WithAll", "leader: Run"}

// ofExported reports whether a method with the receiver is shown; a function is.
func ofExported(receiver *ast.FieldList) bool {
	return receiver == nil || ast.IsExported(strings.TrimPrefix(types.ExprString(receiver.List[0].Type), "*"))
}

func TestTheIndexOfAPackageShowsWholeSignatures(t *testing.T) {
	var cut []string
	read := 0
	for _, name := range inRoot(t, "*.go", "leader/*.go", "redlocktest/*.go", "adapters/*/*.go") {
		if isTest(name) {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		dir, err := filepath.Rel(rig.Root(t), filepath.Dir(name))
		require.NoError(t, err)
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || !ofExported(f.Recv) {
				continue
			}
			read++
			if cutOff(f.Type.Params) || cutOff(f.Type.Results) {
				cut = append(cut, dir+": "+f.Name.Name)
			}
		}
	}
	require.Greater(t, read, 80, "are they read?")
	assert.ElementsMatch(t, longer, cut)
}
