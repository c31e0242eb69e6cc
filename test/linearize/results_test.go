//go:build linux

package linearize

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// envResults names the directory in which a run leaves its figures. A test compares what the
// pages say with those in results.
const envResults = "REDLOCK_LINEARIZE_RESULTS"

// A result is what a run leaves.
type result struct {
	Date      string         `json:"date"`
	Commit    string         `json:"commit,omitempty"` // of what was run; none where there is no repository
	Seed      uint64         `json:"seed"`             // the first one
	Length    string         `json:"length"`
	Histories int            `json:"histories,omitempty"`
	Refused   int            `json:"refused"`
	Counts    map[string]int `json:"counts,omitempty"`
	Faults    map[string]int `json:"faults,omitempty"`
	Guards    []guardResult  `json:"guards,omitempty"`
}

type guardResult struct {
	Guard    string `json:"guard"`
	Sections int    `json:"sections"`
	Overlaps int    `json:"overlaps"`
	Added    int    `json:"added"`
	Lost     int    `json:"lost"`
	Stops    int    `json:"stops"`
}

// writeResult writes the figures of a run, if that is asked for.
func writeResult(t *testing.T, name string, r *result) {
	t.Helper()
	dir := os.Getenv(envResults)
	if dir == "" || t.Failed() {
		return
	}
	r.Date, r.Commit = time.Now().UTC().Format("2 January 2006"), commit(t)
	text, err := json.MarshalIndent(r, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o600)) //nolint:gosec // where the caller says
}

// commit names the commit that is tested, and tells if files differ from it.
func commit(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "describe", "--always", "--exclude", "*", "--abbrev=12", "--dirty=, and changes").Output()
	if err != nil {
		t.Logf("the result names no commit: %v", err)
		return ""
	}
	return strings.TrimSpace(string(out))
}
