package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
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

// plots says of aResult what it does.
func plots() []report.Plot {
	return []report.Plot{{
		Column: "time", Title: "Time of a lock", Log: true,
		Finding: func(f report.Figures) string {
			ours, theirs := f.Of("3", "ours"), f.Of("3", "theirs")
			if ours >= theirs {
				return ""
			}
			return "Ours takes " + f.Text(ours) + " & theirs " + f.Text(theirs)
		},
	}}
}

// draw returns the picture of a result.
func draw(t *testing.T, r *report.Result, p report.Plot) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, r.Save(dir))
	require.NoError(t, report.Render(dir, dir, nil, map[string][]report.Plot{r.Case: {p}}))
	files, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	svg, err := os.ReadFile(files[0])
	require.NoError(t, err)
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return string(svg)
		}
		require.NoError(t, err)
	}
}

func TestRenderWritesTheCasesInOrderAndTheirPlots(t *testing.T) {
	dir := t.TempDir()
	first, second := aResult(), aResult()
	first.Case, first.Title = "z", "Comes first"
	second.Title = "Comes second"
	require.NoError(t, first.Save(dir))
	require.NoError(t, second.Save(dir))
	require.NoError(t, report.Render(dir, dir, []string{"z", "lock"}, map[string][]report.Plot{"z": plots()}))
	text, err := os.ReadFile(filepath.Join(dir, report.Tables)) //nolint:gosec // made by the test
	require.NoError(t, err)
	assert.Regexp(t, `(?s)## Comes first.*!\[Ours takes 2 ms & theirs 6 ms\]\(z-time.svg\).*## Comes second`, string(text))
	svg, err := os.ReadFile(filepath.Join(dir, "z-time.svg")) //nolint:gosec // made by the test
	require.NoError(t, err)
	assert.Contains(t, string(svg), "<svg")
	assert.Contains(t, string(svg), "theirs")
}

func TestTheTitleOfAPictureIsWhatItsFiguresSay(t *testing.T) {
	r := aResult()
	assert.Contains(t, draw(t, r, plots()[0]), `<title id="t">Ours takes 2 ms &amp; theirs 6 ms</title>`)
	for range 4 {
		r.Row("3", "ours", "").Add("time", 1.25)
	}
	assert.Contains(t, draw(t, r, plots()[0]), `<title id="t">Time of a lock</title>`, "which no other figures bear out")
}

func TestAPictureHasARowForEachLibraryTheBestOneFirst(t *testing.T) {
	r := aResult()
	order := regexp.MustCompile(`(?s)>ours<.*>2\.00 ms<.*>theirs<.*>6\.00 ms<.*>5 × lock: two`)
	p := plots()[0]
	svg := draw(t, r, p)
	assert.Regexp(t, order, svg)
	assert.Contains(t, svg, "less is better")
	assert.Contains(t, svg, ">make bench CASES=lock<")
	p.More = true
	svg = draw(t, r, p)
	assert.Regexp(t, `(?s)>theirs<.*>ours<`, svg)
	assert.Contains(t, svg, "more is better")
	p.Curve = true
	assert.Regexp(t, `(?s)>theirs<.*>6\.00 ms<.*>ours<.*>2\.00 ms<`, draw(t, r, p))
}

func TestOnlyThisLibraryIsInColour(t *testing.T) {
	r := &report.Result{Case: "lock", Title: "Lock", Columns: []report.Column{{Name: "n"}}}
	for i, name := range []string{"redlock", "redlock, fenced", "redlocked", "redsync"} {
		r.Row("", name, "").Add("n", float64(i+1))
	}
	svg := draw(t, r, report.Plot{Column: "n"})
	assert.Equal(t, 2, strings.Count(svg, `class="mark us"`))
	assert.Equal(t, 2, strings.Count(svg, `class="mark"`))
	assert.Contains(t, svg, `fill="#ffffff"`, "a card of its own, for dark pages")
}

func TestAPictureOfAColumnThatIsNotThereIsAnError(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, aResult().Save(dir))
	err := report.Render(dir, dir, nil, map[string][]report.Plot{"lock": {{Column: "colour"}}})
	assert.EqualError(t, err, `lock has no column "colour" to draw`)
}
