package report

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A Plot is a picture of one column of a result. It has a row for each library.
type Plot struct {
	Column string
	// Title tells what the figures are.
	Title string
	// Finding returns the title of the picture: what the figures say, in one
	// statement that is made of them. It returns "" where they say something else;
	// then the picture is called by its Title.
	Finding func(f Figures) string
	// Setups are those that are shown, in this order; nil: all of them.
	Setups []string
	// Name returns what a setup is called; nil: its own name.
	Name func(setup string) string
	// Curve has a library's row show all setups side by side. Otherwise each setup
	// is a group of rows.
	Curve bool
	Log   bool
	More  bool // more is better, not less
}

func (p Plot) file(r *Result) string { return r.Case + "-" + slug(p.Column) + ".svg" }

// slug returns a text as a part of a file's name.
func slug(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9')
	})
	return strings.Join(words, "-")
}

// title returns the finding, if there is one.
func (p Plot) title(r *Result) string {
	if p.Finding == nil {
		return p.Title
	}
	return cmp.Or(p.Finding(Figures{p, r}), p.Title)
}

// draw writes the picture to its file in dir.
func (p Plot) draw(dir string, r *Result) error {
	if !slices.ContainsFunc(r.Columns, func(c Column) bool { return c.Name == p.Column }) {
		return fmt.Errorf("%s has no column %q to draw", r.Case, p.Column)
	}
	picture := p.groups
	if p.Curve {
		picture = p.curves
	}
	return os.WriteFile(filepath.Join(dir, p.file(r)), picture(r), 0o600)
}

func (p Plot) setups(r *Result) []string {
	if p.Setups != nil {
		return p.Setups
	}
	var all []string
	for _, row := range r.Rows {
		if !slices.Contains(all, row.Setup) {
			all = append(all, row.Setup)
		}
	}
	return all
}

func (p Plot) called(setup string) string {
	if p.Name != nil {
		return p.Name(setup)
	}
	if n, err := strconv.Atoi(setup); err == nil {
		return thousands(float64(n))
	}
	return setup
}

// isOurs reports whether a row is of this library.
func isOurs(library string) bool {
	return library == "redlock" || strings.HasPrefix(library, "redlock,")
}

// Figures are what a finding is made of: the figures that a plot shows.
type Figures struct {
	plot   Plot
	result *Result
}

// A Mark is one of them.
type Mark struct {
	Setup, Library string
	Value          float64
}

// In returns the figures of another column, in the same setups.
func (f Figures) In(column string) Figures {
	f.plot.Column = column
	return f
}

func (f Figures) column() Column {
	i := slices.IndexFunc(f.result.Columns, func(c Column) bool { return c.Name == f.plot.Column })
	if i < 0 {
		return Column{Name: f.plot.Column}
	}
	return f.result.Columns[i]
}

// Of returns the figure of a library in a setup; NaN if there is none. The setup
// may be one that the plot does not show.
func (f Figures) Of(setup, library string) float64 {
	row := f.result.find(setup, library)
	if row == nil {
		return math.NaN()
	}
	return f.result.Value(row, f.column())
}

// Sorted returns the figures of a setup, the best one first.
func (f Figures) Sorted(setup string) []Mark {
	var marks []Mark
	for _, row := range f.result.Rows {
		v := f.result.Value(row, f.column())
		if row.Setup != setup || math.IsNaN(v) || math.IsInf(v, 0) || f.plot.Log && v <= 0 {
			continue
		}
		marks = append(marks, Mark{setup, row.Library, v})
	}
	slices.SortStableFunc(marks, f.compare)
	return marks
}

func (f Figures) compare(a, b Mark) int {
	if f.plot.More {
		a, b = b, a
	}
	return cmp.Compare(a.Value, b.Value)
}

// Ours returns the figures of this library in all setups that the plot shows,
// the best one first, and Others those of the others.
func (f Figures) Ours() []Mark { return f.pick(isOurs) }

// Others returns the figures that Ours does not.
func (f Figures) Others() []Mark {
	return f.pick(func(library string) bool { return !isOurs(library) })
}

func (f Figures) pick(is func(library string) bool) []Mark {
	var marks []Mark
	for _, setup := range f.plot.setups(f.result) {
		for _, m := range f.Sorted(setup) {
			if is(m.Library) {
				marks = append(marks, m)
			}
		}
	}
	slices.SortStableFunc(marks, f.compare)
	return marks
}

// Text returns a figure as a title says it: in round numbers.
func (f Figures) Text(v float64) string { return f.column().brief(v) }
