package readme_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

// make check finds the tests that take long by their first line, or runs their package with
// -race. One that says so elsewhere would be skipped everywhere.
func TestEachTestThatTakesLongSaysSoInItsFirstLine(t *testing.T) {
	says := regexp.MustCompile(`\brig\.Long\(`)
	first := regexp.MustCompile(`(?m)^func Test[A-Za-z0-9]*\(t \*testing\.T\) \{\n\trig\.Long\(t\)$`)
	test, all := filepath.Join(rig.Root(t), "test"), 0
	require.NoError(t, filepath.WalkDir(test, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "long_test.go") {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // a file of this module
		if err != nil {
			return err
		}
		n := len(says.FindAll(text, -1))
		all += n
		assert.Len(t, first.FindAll(text, -1), n, path)
		if n > 0 {
			rel, err := filepath.Rel(test, path)
			assert.NoError(t, err)
			top, _, _ := strings.Cut(rel, string(filepath.Separator))
			assert.Contains(t, []string{"virtual", "real", "model", "versions"}, top, "make check runs those of these only: %s", path)
		}
		return nil
	}))
	assert.Positive(t, all, "are they read?")
}
