//go:build linux

package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// built are the systems that the command is released for.
var built = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64"}

func TestTheReleaseIsBuiltForEverySystem(t *testing.T) {
	if os.Getenv("REDLOCK_LONG") == "" {
		t.Skip("it takes long: make check runs it, as REDLOCK_LONG=1 does")
	}
	t.Parallel()
	dir := t.TempDir()
	for _, system := range built {
		goos, arch, _ := strings.Cut(system, "/")
		cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", filepath.Join(dir, goos+arch), ".") //nolint:gosec // the test's own
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS="+goos, "GOARCH="+arch)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", system, out)
	}
	recipe, err := os.ReadFile(".goreleaser.yaml")
	require.NoError(t, err)
	assert.Contains(t, string(recipe), "goos: [linux, darwin, windows]\n    goarch: [amd64, arm64]\n", "the recipe builds the same")
}
