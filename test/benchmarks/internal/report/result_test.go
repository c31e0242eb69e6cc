package report_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/benchmarks/internal/report"
)

func aResult() *report.Result {
	r := &report.Result{
		Case: "lock", Title: "Lock", Setup: "Nodes", Rounds: 3, For: "1s",
		Notes: []string{"A note."},
		Columns: []report.Column{
			{Name: "time", Unit: "s"},
			{Name: "beside ours", Over: "time", Base: "ours"},
			{Name: "worst", Worst: true},
			{Name: "memory", Unit: "bytes"},
		},
		Plots: []report.Plot{{Title: "Time of a lock", Column: "time", LogY: true}},
	}
	for _, round := range []float64{1, 10, 2} {
		ours := r.Row("3", "ours", "WithX(1)")
		ours.Add("time", round*1e-3)
		ours.Add("worst", round)
		ours.Add("memory", 1234567)
		theirs := r.Row("3", "theirs", "")
		theirs.Add("time", round*3e-3)
	}
	r.Row("3", "theirs", "").Fail(map[string]int{"lock: two\nlines": 2})
	r.Row("3", "theirs", "").Fail(map[string]int{"lock: two\nlines": 3})
	return r
}

func TestATableShowsMediansWorstFiguresAndRatios(t *testing.T) {
	r := aResult()
	assert.Equal(t, ""+
		"| Nodes | Library |    time | beside ours | worst | memory, bytes |\n"+
		"|-------|---------|--------:|------------:|------:|--------------:|\n"+
		"| 3     | ours    | 2.00 ms |       1.00× |    10 |     1,234,567 |\n"+
		"| 3     | theirs  | 6.00 ms |       3.00× |     – |             – |\n", r.Table())
	assert.Equal(t, []string{
		"A note.",
		"ours: `WithX(1)`.",
		"Errors of theirs, 3: 5 × `lock: two; lines`.",
	}, r.Remarks())
}

func TestATableWithoutSetupsHasNoColumnForThem(t *testing.T) {
	r := &report.Result{Columns: []report.Column{{Name: "n"}}}
	r.Row("", "ours", "").Add("n", 0.125)
	assert.Equal(t, "| Library |    n |\n|---------|-----:|\n| ours    | 0.12 |\n", r.Table())
}

func TestARatioCanBeTurnedOver(t *testing.T) {
	r := aResult()
	c := report.Column{Name: "x", Over: "time", Base: "ours", Inverse: true}
	assert.InDelta(t, 1.0/3, r.Value(r.Row("3", "theirs", ""), c), 1e-9)
	c.Base = "nobody"
	assert.True(t, math.IsNaN(r.Value(r.Row("3", "theirs", ""), c)))
}

func TestAResultComesBackFromItsFileAsItWas(t *testing.T) {
	dir := t.TempDir()
	r := aResult()
	r.Row("3", "ours", "").Rounds["odd"] = report.Series{math.Inf(1), 0.1}
	require.NoError(t, r.Save(dir))
	all, err := report.Load(dir)
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.Equal(t, r, all[0])
}

func TestRenderWritesTheCasesInOrderAndTheirPlots(t *testing.T) {
	dir := t.TempDir()
	first, second := aResult(), aResult()
	first.Case, first.Title = "z", "Comes first"
	second.Title = "Comes second"
	require.NoError(t, first.Save(dir))
	require.NoError(t, second.Save(dir))
	require.NoError(t, report.Render(dir, []string{"z", "lock"}))
	text, err := os.ReadFile(filepath.Join(dir, report.Tables)) //nolint:gosec // made by the test
	require.NoError(t, err)
	assert.Regexp(t, `(?s)## Comes first.*!\[Time of a lock\]\(z-time.svg\).*## Comes second`, string(text))
	svg, err := os.ReadFile(filepath.Join(dir, "z-time.svg")) //nolint:gosec // made by the test
	require.NoError(t, err)
	assert.Contains(t, string(svg), "<svg")
	assert.Contains(t, string(svg), "theirs")
}
