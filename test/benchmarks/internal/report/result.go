// Package report keeps what the cases showed, as JSON, and writes it as
// Markdown and SVG.
package report

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/b0401464/redlock/test/benchmarks/internal/figures"
)

// A Result is what one case showed.
type Result struct {
	Case    string   `json:"case"`
	Title   string   `json:"title"`
	Notes   []string `json:"notes,omitempty"`
	Setup   string   `json:"setup"` // what the rows differ in, besides the library
	Columns []Column `json:"columns"`
	Rows    []*Row   `json:"rows"`

	Date    time.Time `json:"date"`
	Rounds  int       `json:"rounds"`
	For     string    `json:"for"` // how long each library was measured in each round
	Machine Machine   `json:"machine"`
}

// A Column is one kind of figure. Its unit is a word that is printed, or s,
// which is printed as the length of time that it is.
type Column struct {
	Name string `json:"name"`
	Unit string `json:"unit,omitempty"`
	// Worst has the rounds summed up by their highest figure instead of their
	// median.
	Worst bool `json:"worst,omitempty"`
	// Over names another column: the figure is the median, over the rounds, of
	// what that column says of this row, divided by what it says of the row of
	// Base with the same setup; Inverse turns the ratio over.
	Over    string `json:"over,omitempty"`
	Base    string `json:"base,omitempty"`
	Inverse bool   `json:"inverse,omitempty"`
}

// A Row is what one library showed in one setup.
type Row struct {
	Setup    string `json:"setup,omitempty"`
	Library  string `json:"library"`
	Settings string `json:"settings,omitempty"`
	// X is where the row stands on a curve.
	X float64 `json:"x,omitempty"`
	// Rounds has the figures of each round by column.
	Rounds map[string]Series `json:"rounds"`
	Errors map[string]int    `json:"errors,omitempty"`
}

// A Series is the figures of the rounds. Those that are not finite, which JSON
// knows no numbers for, are strings in it.
type Series []float64

// MarshalJSON implements [json.Marshaler].
func (s Series) MarshalJSON() ([]byte, error) {
	all := make([]any, len(s))
	for i, v := range s {
		if all[i] = v; math.IsNaN(v) || math.IsInf(v, 0) {
			all[i] = strconv.FormatFloat(v, 'g', -1, 64)
		}
	}
	return json.Marshal(all)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (s *Series) UnmarshalJSON(b []byte) error {
	var all []json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	*s = make(Series, len(all))
	for i, raw := range all {
		v, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
		if err != nil {
			return err
		}
		(*s)[i] = v
	}
	return nil
}

// Row returns the row of a library in a setup; it makes it when it is new.
func (r *Result) Row(setup, library, settings string) *Row {
	if row := r.find(setup, library); row != nil {
		return row
	}
	row := &Row{Setup: setup, Library: library, Settings: settings, Rounds: make(map[string]Series)}
	r.Rows = append(r.Rows, row)
	return row
}

func (r *Result) find(setup, library string) *Row {
	i := slices.IndexFunc(r.Rows, func(row *Row) bool { return row.Setup == setup && row.Library == library })
	if i < 0 {
		return nil
	}
	return r.Rows[i]
}

// Add adds the figure of one more round.
func (row *Row) Add(column string, value float64) {
	row.Rounds[column] = append(row.Rounds[column], value)
}

// Fail adds errors.
func (row *Row) Fail(errs map[string]int) {
	for text, n := range errs {
		if row.Errors == nil {
			row.Errors = make(map[string]int)
		}
		row.Errors[text] += n
	}
}

// Value returns what all rounds together say; NaN if there is nothing.
func (r *Result) Value(row *Row, c Column) float64 {
	switch {
	case c.Over != "":
		base := r.find(row.Setup, c.Base)
		if base == nil {
			return math.NaN()
		}
		a, b := row.Rounds[c.Over], base.Rounds[c.Over]
		if c.Inverse {
			a, b = b, a
		}
		return figures.MedianRatio(a, b)
	case c.Worst && len(row.Rounds[c.Name]) > 0:
		return slices.Max(row.Rounds[c.Name])
	default:
		return figures.Median(row.Rounds[c.Name])
	}
}

// Save writes the result to its file in dir.
func (r *Result) Save(dir string) error {
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, r.Case+".json"), append(b, '\n'), 0o600)
}

// Load reads all results in dir.
func Load(dir string) ([]*Result, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var all []*Result
	for _, path := range paths {
		b, err := os.ReadFile(path) //nolint:gosec // found by Glob
		if err != nil {
			return nil, err
		}
		r := new(Result)
		if err := json.Unmarshal(b, r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// format returns a figure as it is printed.
func (c Column) format(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case math.IsInf(v, 0):
		return "∞"
	case c.Unit == "s":
		return duration(v)
	case c.Over != "":
		return fmt.Sprintf("%.2f×", v)
	case v == math.Trunc(v) && math.Abs(v) < 1000:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 100:
		return thousands(v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// duration prints seconds with about three digits.
func duration(s float64) string {
	switch {
	case s <= 0:
		return "0"
	case s < 0.9995e-3:
		return digits(s*1e6) + " µs"
	case s < 0.9995:
		return digits(s*1e3) + " ms"
	default:
		return digits(s) + " s"
	}
}

// brief returns a figure in round numbers: without what tells nobody anything in a
// sentence.
func (c Column) brief(v float64) string {
	round := func(v float64) string {
		if v < 9.95 {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
		}
		return thousands(v)
	}
	switch {
	case math.IsNaN(v), math.IsInf(v, 0):
		return c.format(v)
	case c.Unit != "s":
		return round(v)
	case v < 0.9995e-3:
		return round(v*1e6) + " µs"
	case v < 0.9995:
		return round(v*1e3) + " ms"
	default:
		return round(v) + " s"
	}
}

// tick returns a power of ten as it stands at an axis.
func (c Column) tick(v float64) string {
	if c.Unit != "s" && v < 1 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return c.brief(v)
}

func digits(v float64) string {
	switch {
	case v < 9.995:
		return fmt.Sprintf("%.2f", v)
	case v < 99.95:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

// thousands prints a whole number with separators.
func thousands(v float64) string {
	text := fmt.Sprintf("%.0f", v)
	var b strings.Builder
	for i, c := range text {
		if i > 0 && c != '-' && (len(text)-i)%3 == 0 && text[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}
