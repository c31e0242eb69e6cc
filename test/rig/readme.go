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

// Readme returns the text of README.md.
func Readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(t), "README.md"))
	require.NoError(t, err)
	return string(text)
}

// Section returns what stands below a heading of the second level.
func Section(t *testing.T, title string) string {
	t.Helper()
	_, after, found := strings.Cut(Readme(t), "\n## "+title+"\n")
	require.True(t, found, "README.md has no section %q", title)
	body, _, _ := strings.Cut(after, "\n## ")
	return body
}

// Fence matches a code block, its language and its code.
var Fence = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")

// Blocks returns README.md's code blocks of a language.
func Blocks(t *testing.T, language string) []string {
	t.Helper()
	text := Readme(t)
	require.Zero(t, strings.Count(text, "\n```")%2, "a code block is not closed")
	var found []string
	for _, m := range Fence.FindAllStringSubmatch(text, -1) {
		if m[1] == language {
			found = append(found, m[2])
		}
	}
	require.NotEmpty(t, found, "no code block of language %q", language)
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
