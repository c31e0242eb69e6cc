package rig

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Root returns the directory of the module.
func Root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod")) //nolint:gosec // above this directory
		if err == nil && strings.HasPrefix(string(text), "module github.com/b0401464/redlock\n") {
			return dir
		}
		require.NotEqual(t, filepath.Dir(dir), dir, "this is not the module's")
		dir = filepath.Dir(dir)
	}
}

// Page returns the text of a page of the documentation, by its path from the root.
func Page(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(t), path)) //nolint:gosec // a file of this module
	require.NoError(t, err)
	require.Zero(t, strings.Count(string(text), "\n```")%2, "%s: a code block is not closed", path)
	return string(text)
}

// Section returns what stands below a heading of the second level of a page.
func Section(t *testing.T, path, title string) string {
	t.Helper()
	_, after, found := strings.Cut(Page(t, path), "\n## "+title+"\n")
	require.True(t, found, "%s has no section %q", path, title)
	body, _, _ := strings.Cut(after, "\n## ")
	return body
}

// Fence matches a code block, its language and its code.
var Fence = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")

// Blocks returns the code blocks of a language on a page.
func Blocks(t *testing.T, path, language string) []string {
	t.Helper()
	var found []string
	for _, m := range Fence.FindAllStringSubmatch(Page(t, path), -1) {
		if m[1] == language {
			found = append(found, m[2])
		}
	}
	return found
}

// RequireShown checks that each block of Go in the README.md of the package that is tested
// stands in its example_test.go as it is, and that there is one.
func RequireShown(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	examples, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	shown := 0
	for _, block := range Fence.FindAllStringSubmatch(string(text), -1) {
		if block[1] == "go" {
			shown++
			require.True(t, strings.Contains(string(examples), "\n"+block[2]), "example_test.go does not have these lines:\n%s", block[2])
		}
	}
	require.Positive(t, shown)
}
