package gocronlock_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

func TestReadmeShowsCodeOfTheExamplesAsItIs(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	examples, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	shown := 0
	for _, block := range rig.Fence.FindAllStringSubmatch(string(text), -1) {
		if block[1] == "go" {
			shown++
			require.True(t, strings.Contains(string(examples), "\n"+block[2]), "example_test.go does not have these lines:\n%s", block[2])
		}
	}
	require.Positive(t, shown)
}
