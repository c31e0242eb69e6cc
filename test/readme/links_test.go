package readme_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

// anchors returns the names by which one can link to the headings of a page, as GitHub makes
// them: lower case, without punctuation, with hyphens for spaces.
func anchors(text string) map[string]bool {
	all := make(map[string]bool)
	for title := range found(regexp.MustCompile(`(?m)^#{1,4} (.*)$`), text) {
		all[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			default:
				return -1
			}
		}, title)] = true
	}
	return all
}

// mended returns a page without its code, in which a # may be a comment.
func mended(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path) //nolint:gosec // a file of this module
	require.NoError(t, err)
	return rig.Fence.ReplaceAllString(string(text), "")
}

func TestThePagesLinkToWhatExists(t *testing.T) {
	links, labels, sources := regexp.MustCompile(`\]\(([^)\s]+)\)`), regexp.MustCompile(`\]\[([^]]+)\]`), regexp.MustCompile(`(?m)^\[([^]]+)\]: https://\S+$`)
	followed := 0
	for _, name := range inRoot(t, "*.md", "docs/*.md", "docs/*/*.md", "cmd/*/*.md", "adapters/*/*.md", "examples/*/*.md", "test/*/*.md", "test/*/*/*.md") {
		text, page := mended(t, name), strings.TrimPrefix(name, rig.Root(t)+"/")
		for link := range found(links, text) {
			file, anchor, _ := strings.Cut(link, "#")
			if strings.Contains(link, "://") {
				continue
			}
			followed++
			target := name
			if file != "" {
				target = filepath.Join(filepath.Dir(name), file)
			}
			if _, err := os.Stat(target); !assert.NoError(t, err, page) {
				continue
			}
			if anchor != "" {
				assert.True(t, anchors(mended(t, target))[anchor], "%s: %s has no heading %s, but %v", page, target, anchor,
					slices.Sorted(maps.Keys(anchors(mended(t, target)))))
			}
		}
		if strings.Contains(text, "]: https://") {
			assert.Equal(t, found(labels, text), found(sources, text), page)
		}
	}
	assert.Greater(t, followed, 100, "are they found?")
}

// Doc comments name pages, which a reader of pkg.go.dev looks for in the repository.
func TestThePagesThatDocCommentsNameExist(t *testing.T) {
	page, named := regexp.MustCompile(`(?m)^\s*//.*?\b(docs/[A-Za-z/-]+\.md)`), 0
	for _, name := range inRoot(t, "*.go", "leader/*.go", "redlocktest/*.go", "adapters/*/*.go", "examples/*/*.go", "test/*/*.go", "test/*/*/*.go") {
		code, err := os.ReadFile(name) //nolint:gosec // a file of this module
		require.NoError(t, err)
		for path := range found(page, string(code)) {
			named++
			assert.FileExists(t, filepath.Join(rig.Root(t), path), name)
		}
	}
	assert.Greater(t, named, 5, "are they found?")
}

// found returns what an expression finds, each once.
func found(expr *regexp.Regexp, text string) map[string]bool {
	all := make(map[string]bool)
	for _, m := range expr.FindAllStringSubmatch(text, -1) {
		all[m[1]] = true
	}
	return all
}
