package benchmarks

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/benchmarks/internal/library"
	"github.com/b0401464/redlock/test/benchmarks/internal/report"
)

// Columns that are drawn.
const (
	colLockP999  = "Lock p99.9"
	colFrozen    = "1 of 5 frozen"
	colLockTrips = "Lock / round trip"
	colTaken     = "locks/s"
)

// oneFar is the distance at which two of the three nodes are near.
const oneFar = "1, 1, 80 ms"

// plots returns the pictures of the cases that have some. No title has a figure of
// its own: each is made of the results, and says only what they do.
func plots() map[string][]report.Plot {
	late := []report.Plot{
		{Column: colLockP99, Title: "99th percentile of Lock", Log: true, Finding: lateReplies("99 of 100")},
		{Column: colLockP999, Title: "99.9th percentile of Lock", Log: true, Finding: lateReplies("999 of 1,000")},
	}
	return map[string][]report.Plot{
		"speed-one": {{
			Column: colEach, Title: "Time of a Lock and an Unlock", Name: nodes, Finding: oneCaller,
		}},
		"speed-callers": {{
			Column: colRate, Title: "Locks taken and released per second, by all callers together", More: true,
			Setups: []string{"3, 64", "1, 64"}, Name: nodes, Finding: batches("3, 64", "64 callers, 3 nodes"),
		}},
		"faults-delayed": late,
		"faults-frozen": {{
			Column: colFrozen, Title: "Time of a Lock, median", Log: true, Setups: []string{"Lock"}, Finding: oneFrozen,
		}},
		"distance": {{
			Column: colLockTrips, Title: "Lock, in round trips to the second nearest node", Log: true,
			Setups: []string{oneFar}, Name: away, Finding: nearestDecide,
		}},
		"curve-nodes": {{
			Column: colEach, Title: "Time of a Lock and an Unlock", Curve: true, Finding: moreNodes,
		}},
		"curve-callers": {
			{
				Column: colRate, Title: "Locks taken and released per second, by all callers together", Curve: true, Log: true, More: true,
				Finding: batches("4096", "4,096 callers"),
			},
			{Column: colLockP99, Title: "99th percentile of Lock", Curve: true, Log: true, Finding: batchesAreQuick},
		},
		"curve-held": {{
			Column: colTaken, Title: "Locks taken per second", Curve: true, Log: true, More: true, Finding: heldAtOnce,
		}},
		"waiting-goroutines": waits("16 goroutines of one process"),
		"waiting-processes":  waits("16 processes"),
	}
}

func waits(who string) []report.Plot {
	return []report.Plot{
		{Column: colP99, Title: "99th percentile of the wait, of those that end", Log: true, Name: nodes, Finding: mostWaits(who)},
		{Column: colMax, Title: "Longest wait", Log: true, Name: nodes, Finding: longestWait(who)},
	}
}

// nodes names a setup that begins with a number of nodes.
func nodes(setup string) string {
	if setup[0] == '1' {
		return "1 node"
	}
	return setup[:1] + " nodes"
}

// away names a setup of distances.
func away(setup string) string { return "The nodes are " + setup + " away" }

// bounds returns our worst figure and the best one of the others, where less is better.
func bounds(f report.Figures) (ours, others float64) {
	us, them := f.Ours(), f.Others()
	if len(us) == 0 || len(them) == 0 {
		return math.NaN(), math.NaN()
	}
	return us[len(us)-1].Value, them[0].Value
}

func longestWait(who string) func(report.Figures) string {
	return func(f report.Figures) string {
		ours, others := bounds(f)
		switch {
		case ours < 1 && others >= 1:
			return who + ", one lock: the longest wait is " + f.Text(ours) + ", not seconds"
		case ours < others:
			return who + ", one lock: the longest wait is " + f.Text(ours) + ", not " + f.Text(others) + " or more"
		}
		return ""
	}
}

// mostWaits tells of the longest wait where those that end soon are not all.
func mostWaits(who string) func(report.Figures) string {
	return func(f report.Figures) string {
		ours, others := bounds(f)
		title := who + ", one lock: 99 of 100 waits end within " + f.Text(ours)
		longest := f.In(colMax)
		switch {
		case ours < others:
			return title + ", not " + f.Text(others) + " or more"
		case others < ours:
			quickest := f.Others()[0]
			its := longest.Of(quickest.Setup, quickest.Library)
			if us := longest.Ours(); its > us[len(us)-1].Value {
				return title + "; with " + quickest.Library + " within " + f.Text(others) + ", but the longest takes " + f.Text(its)
			}
		}
		return ""
	}
}

func oneCaller(f report.Figures) string {
	return "Lock and Unlock on 5 nodes take " + f.Text(f.Of("5", library.Ours)) + ", redsync's " + f.Text(f.Of("5", "redsync")) +
		"; on 1 node " + f.Text(f.Of("1", library.Ours)) + " and " + f.Text(f.Of("1", "redsync"))
}

// batches tells what WithAutoPipeline is good for.
func batches(setup, who string) func(report.Figures) string {
	return func(f report.Figures) string {
		with, without := f.Of(setup, library.RedlockPipelined().Name), f.Of(setup, library.Ours)
		if !(with > without) {
			return ""
		}
		return who + ": " + f.Text(with) + " locks a second with WithAutoPipeline, " + f.Text(without) + " without"
	}
}

func batchesAreQuick(f report.Figures) string {
	const most = "4096"
	with, without := f.Of(most, library.RedlockPipelined().Name), f.Of(most, library.Ours)
	if !(with < without) {
		return ""
	}
	return "4,096 callers: 99 of 100 Locks take at most " + f.Text(with) + " with WithAutoPipeline, " + f.Text(without) + " without"
}

func lateReplies(share string) func(report.Figures) string {
	return func(f report.Figures) string {
		return "1 of 100 replies is 50 ms late: " + share + " Locks take at most " + f.Text(f.Of("", library.Ours)) +
			", redsync's " + f.Text(f.Of("", "redsync"))
	}
}

func oneFrozen(f report.Figures) string {
	return "1 of 5 nodes is frozen: Lock takes " + f.Text(f.Of("Lock", library.Ours)) + ", redsync's " + f.Text(f.Of("Lock", "redsync"))
}

func nearestDecide(f report.Figures) string {
	return "1 of 3 nodes is far: Lock takes " + f.Text(f.Of(oneFar, library.Ours)) + " round trips to the near ones, redsync's " +
		f.Text(f.Of(oneFar, "redsync"))
}

func moreNodes(f report.Figures) string {
	return "From 1 to 7 nodes, Lock and Unlock take " + f.Text(f.Of("1", library.Ours)) + " to " + f.Text(f.Of("7", library.Ours)) +
		", redsync's " + f.Text(f.Of("1", "redsync")) + " to " + f.Text(f.Of("7", "redsync"))
}

func heldAtOnce(f report.Figures) string {
	const most = "100000"
	return "100,000 locks at once: 64 callers take " + f.Text(f.Of(most, library.RedlockPipelined().Name)) + " a second, redsync's " +
		f.Text(f.Of(most, library.RedsyncPipelined().Name))
}

func TestThePicturesAndTablesAreThoseOfTheResults(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, report.Render(dir, *results, order(), plots()))
	drawn, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	for _, path := range drawn {
		name := filepath.Base(path)
		want, err := os.ReadFile(path) //nolint:gosec // made by the test
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(*results, name)) //nolint:gosec // of the results
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, got), "%s: make bench CASES=none draws it again", name)
	}
	tables, err := os.ReadFile(filepath.Join(dir, report.Tables)) //nolint:gosec // made by the test
	require.NoError(t, err)
	for name, all := range plots() {
		for _, p := range all {
			assert.NotContains(t, string(tables), "!["+p.Title+"]", "%s: the results do not say so any more", name)
		}
	}
	stored, err := filepath.Glob(filepath.Join(*results, "*.svg"))
	require.NoError(t, err)
	assert.Len(t, drawn, len(stored)+1, "pictures that no case draws, and the tables")
}
