package readme_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

// A run is what make linearize RESULTS=test/linearize/results leaves in a file.
type run struct {
	Commit    string // that was run; the older files have none
	Histories int
	Refused   int
	Counts    map[string]int
	Faults    map[string]int
	Guards    []struct {
		Guard                                  string
		Sections, Overlaps, Added, Lost, Stops int
	}
}

func runOf(t *testing.T, name string) (r run) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(rig.Root(t), "test/linearize/results", name+".json")) //nolint:gosec // of this module
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &r))
	return r
}

// sumOf returns the sum of several runs.
func sumOf(t *testing.T, names ...string) run {
	t.Helper()
	sum := run{Counts: map[string]int{}, Faults: map[string]int{}}
	for _, name := range names {
		r := runOf(t, name)
		sum.Histories, sum.Refused = sum.Histories+r.Histories, sum.Refused+r.Refused
		for count, n := range r.Counts {
			sum.Counts[count] += n
		}
		sum.Faults[name] = r.faults()
	}
	return sum
}

func (r *run) faults() (n int) {
	for _, each := range r.Faults {
		n += each
	}
	return n
}

// thousands returns a number with commas, as the pages have it.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func TestTheReportHasTheFiguresOfTheRuns(t *testing.T) {
	first, stopped := runOf(t, "histories-101"), runOf(t, "workloads")
	mended := sumOf(t, "histories-201", "histories-2036596763", "histories-301")
	last := sumOf(t, "histories-501", "histories") // by the stricter models
	for _, name := range []string{"histories-501", "histories", "workloads"} {
		r := runOf(t, name)
		assert.Regexp(t, "^[0-9a-f]{12}$", r.Commit, "what %s ran has no name", name)
	}
	report, page := rig.Page(t, "docs/REPORT.md"), rig.Page(t, "test/linearize/README.md")
	row := func(of string, figure func(*run) int) {
		t.Helper()
		assert.Contains(t, report, fmt.Sprintf("\n| %s | %s | %s | %s |\n", of,
			thousands(figure(&first)), thousands(figure(&mended)), thousands(figure(&last))))
	}
	row("histories of 20 s, half of them on three nodes, half on five", func(r *run) int { return r.Histories })
	row("locks granted", func(r *run) int { return r.Counts["granted"] })
	row("operations judged", func(r *run) int { return r.Counts["operations checked"] })
	row("faults", (*run).faults)
	row("two holders at a time; tokens out of order; looks that were wrong", func(r *run) int { return r.Refused })
	assert.Contains(t, page, fmt.Sprintf("| faults | %s: %d of servers, %d of processes, %d of connections |",
		thousands(first.faults()), first.Faults["servers"], first.Faults["processes"], first.Faults["connections"]))

	names := map[string]string{
		"none": "nothing", "Lock.Context": "a look at `Lock.Context` half a second before", "Lock.Valid": "a look at `Lock.Valid` half a second before",
		"Fence": "the set, which compares its token when it is read and when it is written (`Fence`)",
	}
	shown := 0
	for _, g := range stopped.Guards {
		lost := strconv.Itoa(g.Lost)
		if g.Guard == "Fence" {
			require.Zero(t, g.Lost)
			lost = "**0**"
		}
		if name, ok := names[g.Guard]; ok {
			shown++
			assert.Contains(t, report, fmt.Sprintf("\n| %s | %d | %s |\n", name, g.Added, lost))
			requireSaid(t, "docs/REPORT.md", fmt.Sprintf("stopped for 0.3 to 3 s, %d times in each run", g.Stops))
		}
		assert.Contains(t, page, fmt.Sprintf(" | %d | %d |", g.Sections, g.Overlaps), g.Guard)
	}
	assert.Equal(t, len(names), shown)
}

// A mistake that was planted has a row, with how long it took to find it.
func TestTheReportHasTheFiguresOfThePlantedMistakes(t *testing.T) {
	rows := regexp.MustCompile(`(?m)^\| [^|]+ \| (?:(\d+) min )?(\d+) s \| [35] \| [a-z ]+ \|$`).
		FindAllStringSubmatch(rig.Section(t, "test/linearize/README.md", "Planted mistakes"), -1)
	require.Len(t, rows, 20)
	var all []time.Duration
	for _, m := range rows {
		minutes, _ := strconv.Atoi(m[1])
		seconds, err := strconv.Atoi(m[2])
		require.NoError(t, err)
		all = append(all, time.Duration(minutes)*time.Minute+time.Duration(seconds)*time.Second)
	}
	assert.Equal(t, 21*time.Second, slices.Min(all))
	assert.Equal(t, time.Minute+32*time.Second, slices.Max(all))
	requireSaid(t, "docs/REPORT.md", "**Twenty mistakes were planted**")
	requireSaid(t, "docs/REPORT.md", "All were found, in 21 s to 1 min 32 s, by the models as they are.")
}

// A line of the file is what a run of TestARollingUpdateOfTheNodesCostsNoLock leaves with
// REDLOCK_ROLLING_RESULTS.
func TestThePageOnKubernetesHasTheFiguresOfTheRollingUpdates(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(rig.Root(t), "test/real/faults/testdata/rolling.jsonl"))
	require.NoError(t, err)
	var runs, turns, failed, longest int
	for line := range strings.Lines(string(text)) {
		var r struct {
			Turns, Failed int
			Longest       int `json:"longest_ms"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		runs, turns, failed, longest = runs+1, turns+r.Turns, failed+r.Failed, max(longest, r.Longest)
	}
	require.Equal(t, 6, runs)
	require.Zero(t, failed)
	requireSaid(t, "docs/kubernetes.md", fmt.Sprintf(
		"over six runs, none of %s calls failed, a lock held all the time was kept, and the longest wait was %.1f s.",
		thousands(turns), float64(longest)/1000))
}
