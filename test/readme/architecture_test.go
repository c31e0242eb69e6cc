package readme_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

func TestEveryPathThatTheArchitectureNamesExists(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(rig.Root(t), "docs", "ARCHITECTURE.md"))
	require.NoError(t, err)
	paths := regexp.MustCompile("`((?:internal|test|docs)(?:/[a-z_/]*[a-z_]+)?(?:\\.[a-z]+)?|[a-z_/]+\\.(?:go|lua|md))`").FindAllStringSubmatch(string(text), -1)
	assert.Greater(t, len(paths), 40, "are they read?")
	for _, path := range paths {
		_, err := os.Stat(filepath.Join(rig.Root(t), path[1])) //nolint:gosec // a path of this module
		assert.NoError(t, err)
	}
}

func TestEveryNumberThatTheArchitectureNamesStandsInItsFile(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(rig.Root(t), "docs", "ARCHITECTURE.md"))
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## Numbers\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	quoted, names := regexp.MustCompile("`([^`]+)`"), 0
	for line := range strings.Lines(section) {
		columns := strings.Split(line, "|")
		if len(columns) != 5 {
			continue
		}
		var source strings.Builder
		for _, path := range quoted.FindAllStringSubmatch(columns[1], -1) {
			file, err := os.ReadFile(filepath.Join(rig.Root(t), path[1]))
			require.NoError(t, err)
			source.Write(file)
		}
		for _, name := range quoted.FindAllStringSubmatch(columns[3], -1) {
			assert.Regexp(t, `(?m)^(\t|const |func )`+name[1]+`\b`, source.String())
			names++
		}
	}
	assert.Greater(t, names, 25, "are they read?")
}
