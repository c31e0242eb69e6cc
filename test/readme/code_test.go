package readme_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

func isProgram(block string) bool { return strings.HasPrefix(block, "package main\n") }

// flat returns code without its indentation, each line between line breaks.
func flat(code string) string {
	var b strings.Builder
	b.WriteByte('\n')
	for line := range strings.Lines(code) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

func TestThePagesShowCodeOfTheExamplesAsItIs(t *testing.T) {
	files := inRoot(t, "example_test.go", "examples/recipes/*.go")
	var examples strings.Builder
	for _, name := range files {
		code, err := os.ReadFile(name) //nolint:gosec // a file of this module
		require.NoError(t, err)
		examples.WriteString(flat(string(code)))
	}
	shown := 0
	for _, page := range guides(t) {
		for _, block := range rig.Blocks(t, page, "go") {
			if !isProgram(block) {
				shown++
				assert.True(t, strings.Contains(examples.String(), flat(block)), "%s: %v do not have these lines:\n%s", page, files, block)
			}
		}
	}
	assert.Greater(t, shown, 10, "are they read?")
}

func TestThePagesShowProgramsThatCompile(t *testing.T) {
	t.Parallel()
	programs := make(map[string]int)
	for _, page := range guides(t) {
		for i, block := range rig.Blocks(t, page, "go") {
			if isProgram(block) {
				programs[page]++
				build(t, fmt.Sprintf("page%d", i), block)
			}
		}
	}
	assert.Equal(t, map[string]int{"README.md": 1, "docs/kubernetes.md": 1}, programs)
}

// build builds a program as if it were a package of this module.
func build(t *testing.T, name, program string) {
	t.Helper()
	root, dir := rig.Root(t), t.TempDir()
	source, list := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(source, []byte(program), 0o600))
	overlay, err := json.Marshal(map[string]any{
		"Replace": map[string]string{filepath.Join(root, name, "main.go"): source},
	})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(list, overlay, 0o600))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", list, "-o", filepath.Join(dir, "program"), "./"+name) //nolint:gosec // names of this test
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	assert.NoError(t, err, "%s\n%s", out, program)
}
