package locking_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

func TestUsersBuildGetsFewModules(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")
	cmd.Dir = rig.Root(t)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())

	// What the library imports, and what that needs itself.
	allowed := map[string]bool{
		"github.com/b0401464/redlock":     true,
		"github.com/redis/go-redis/v9":    true,
		"golang.org/x/sync":               true,
		"go.opentelemetry.io/otel":        true,
		"go.opentelemetry.io/otel/trace":  true,
		"go.opentelemetry.io/otel/metric": true,
		"go.opentelemetry.io/otel/log":    true, // otel: its global providers
		"github.com/cespare/xxhash/v2":    true, // go-redis, otel
		"go.uber.org/atomic":              true, // go-redis
		"golang.org/x/sys":                true, // go-redis, otel
		"github.com/go-logr/logr":         true, // otel
		"github.com/go-logr/stdr":         true, // otel
		"go.opentelemetry.io/auto/sdk":    true, // otel/trace: a stub without dependencies
	}
	seen := map[string]bool{}
	for path := range strings.FieldsSeq(string(out)) {
		seen[path] = true
		assert.True(t, allowed[path], "%s would come into every user's build", path)
	}
	require.True(t, seen["github.com/redis/go-redis/v9"])
	require.True(t, seen["golang.org/x/sync"])
}
