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

func TestThePagesLinkToWhatExists(t *testing.T) {
	links, labels, sources := regexp.MustCompile(`\]\(([^)\s]+)\)`), regexp.MustCompile(`\]\[([^]]+)\]`), regexp.MustCompile(`(?m)^\[([^]]+)\]: https://\S+$`)
	for _, name := range inRoot(t, "docs/*.md") {
		page, err := os.ReadFile(name) //nolint:gosec // a file of this module
		require.NoError(t, err)
		text := rig.Fence.ReplaceAllString(string(page), "")
		for _, m := range links.FindAllStringSubmatch(text, -1) {
			if file, _, _ := strings.Cut(m[1], "#"); file != "" && !strings.Contains(file, "://") {
				assert.FileExists(t, filepath.Join(filepath.Dir(name), file), filepath.Base(name))
			}
		}
		used, known := found(labels, text), found(sources, text)
		assert.Equal(t, used, known, filepath.Base(name))
	}
}

// found returns what an expression finds, each once.
func found(expr *regexp.Regexp, text string) map[string]bool {
	all := make(map[string]bool)
	for _, m := range expr.FindAllStringSubmatch(text, -1) {
		all[m[1]] = true
	}
	return all
}
