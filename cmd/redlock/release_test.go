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

// Of each system that is released for, one processor: make binaries builds for all of them.
func TestTheReleaseIsBuiltForOtherSystems(t *testing.T) {
	if os.Getenv("REDLOCK_LONG") == "" {
		t.Skip("it takes long: make check runs it, as REDLOCK_LONG=1 does")
	}
	t.Parallel()
	for _, system := range []string{"darwin/arm64", "windows/amd64"} {
		goos, arch, _ := strings.Cut(system, "/")
		cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", filepath.Join(t.TempDir(), goos), ".") //nolint:gosec // the test's own
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS="+goos, "GOARCH="+arch)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", system, out)
	}
	recipe, err := os.ReadFile(".goreleaser.yaml")
	require.NoError(t, err)
	assert.Contains(t, string(recipe), "goos: [linux, darwin, windows]\n    goarch: [amd64, arm64]\n")
	makefile, err := os.ReadFile("../../Makefile")
	require.NoError(t, err)
	assert.Contains(t, string(makefile), "SYSTEMS = linux darwin windows\nARCHS   = amd64 arm64\n", "as in the recipe")
}
