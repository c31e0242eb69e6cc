package report

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Tables is the file that Render writes the tables to.
const Tables = "TABLES.md"

// Render writes to dir the tables and the plots, by case, of all results in from,
// in this order of their cases; others come last.
func Render(dir, from string, order []string, plots map[string][]Plot) error {
	all, err := Load(from)
	if err != nil {
		return err
	}
	place := func(r *Result) int {
		if i := slices.Index(order, r.Case); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(all, func(a, b *Result) int { return place(a) - place(b) })
	sections := make([]string, 0, len(all))
	for _, r := range all {
		sections = append(sections, r.Markdown(plots[r.Case]))
		for _, p := range plots[r.Case] {
			if err := p.draw(dir, r); err != nil {
				return err
			}
		}
	}
	text := "# Results\n\nWritten by `make bench`. [README.md](../README.md) says what is measured and how.\n\n" + strings.Join(sections, "\n")
	return os.WriteFile(filepath.Join(dir, Tables), []byte(text), 0o600)
}
