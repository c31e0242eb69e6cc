package readme_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

// What goreleaser publishes beside the programs, and what the changelog begins with, are of
// the same version.
func TestTheNewestSectionOfTheChangelogHasReleaseNotes(t *testing.T) {
	m := regexp.MustCompile(`(?m)^## \[(\d+\.\d+\.\d+)\] - (?:unreleased|\d{4}-\d\d-\d\d)$`).FindStringSubmatch(rig.Page(t, "CHANGELOG.md"))
	require.Len(t, m, 2, "no version has a section")
	name := "docs/releases/v" + m[1] + ".md"
	notes := rig.Page(t, name)
	assert.True(t, strings.HasPrefix(notes, "# redlock v"+m[1]+"\n"))
	assert.Contains(t, notes, "redlock@v"+m[1]+"\n")
	assert.Contains(t, rig.Page(t, "cmd/redlock/.goreleaser.yaml"), "--release-notes "+name+"\n")
}
