package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Table returns the rows of a result as a Markdown table, its columns aligned.
func (r *Result) Table() string {
	setup := slices.ContainsFunc(r.Rows, func(row *Row) bool { return row.Setup != "" })
	head := []string{}
	if setup {
		head = append(head, r.Setup)
	}
	head = append(head, "Library")
	left := len(head)
	for _, c := range r.Columns {
		name := c.Name
		if c.Unit != "" && c.Unit != "s" {
			name += ", " + c.Unit
		}
		head = append(head, name)
	}
	lines := [][]string{head}
	for _, row := range r.Rows {
		var cells []string
		if setup {
			cells = append(cells, row.Setup)
		}
		cells = append(cells, row.Library)
		for _, c := range r.Columns {
			cells = append(cells, c.format(r.Value(row, c)))
		}
		lines = append(lines, cells)
	}
	return markdown(lines, left)
}

// markdown lays out lines of cells; the first line is the head, and all but the
// first columns are aligned to the right.
func markdown(lines [][]string, left int) string {
	widths := make([]int, len(lines[0]))
	for _, cells := range lines {
		for i, cell := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell), 3)
		}
	}
	var b strings.Builder
	for n, cells := range lines {
		for i, cell := range cells {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i < left {
				cell += pad
			} else {
				cell = pad + cell
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
		if n > 0 {
			continue
		}
		for i := range cells {
			rule := strings.Repeat("-", widths[i]+1)
			if i < left {
				b.WriteString("|" + rule + "-")
			} else {
				b.WriteString("|" + rule + ":")
			}
		}
		b.WriteString("|\n")
	}
	return b.String()
}

// Remarks returns, one a line, what belongs under the table: the notes, the
// settings of the libraries, and every error with how often it happened.
func (r *Result) Remarks() []string {
	lines := slices.Clone(r.Notes)
	settings := make(map[string]string)
	var order []string
	for _, row := range r.Rows {
		if _, known := settings[row.Library]; !known && row.Settings != "" {
			order = append(order, row.Library)
			settings[row.Library] = row.Settings
		}
	}
	for _, name := range order {
		lines = append(lines, name+": `"+settings[name]+"`.")
	}
	for _, row := range r.Rows {
		for _, text := range slices.Sorted(maps.Keys(row.Errors)) {
			where := row.Library
			if row.Setup != "" {
				where += ", " + row.Setup
			}
			lines = append(lines, fmt.Sprintf("Errors of %s: %d × `%s`.", where, row.Errors[text], strings.ReplaceAll(text, "\n", "; ")))
		}
	}
	return lines
}

// Markdown returns the result as a section, with its plots.
func (r *Result) Markdown(plots []Plot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n", r.Title)
	for _, p := range plots {
		fmt.Fprintf(&b, "![%s](%s)\n\n", p.title(r), p.file(r))
	}
	b.WriteString(r.Table())
	b.WriteString("\n")
	for _, line := range r.Remarks() {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	fmt.Fprintf(&b, "- Median of %d rounds of %s for each library, interleaved; %s. Load of the machine when it began: %s.\n",
		r.Rounds, r.For, r.Date.Format("2 January 2006"), r.Machine.Load)
	fmt.Fprintf(&b, "- %s.\n\n`make bench CASES=%s`\n", r.Machine, r.Case)
	return b.String()
}
