package report

import (
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	rowHeight   = 24.0
	groupHeight = 22.0
)

// groups draws a group of rows for each setup, the best row first.
func (p Plot) groups(r *Result) []byte {
	f := Figures{p, r}
	marks := append(f.Ours(), f.Others()...)
	from, to := besideNames(marks), cardWidth-margin-valueWidth
	s := newScale(marks, p.Log)
	x := func(v float64) float64 { return from + (to-from)*s.at(v) }

	c := newCard(p, r)
	var rows card
	rows.y = c.y
	setups := p.setups(r)
	for _, setup := range setups {
		if len(setups) > 1 || p.Name != nil {
			rows.y += groupHeight
			rows.text(margin, rows.y-5, "quiet", "", p.called(setup))
		} else {
			rows.y += 8
		}
		for _, m := range f.Sorted(setup) {
			rows.mark(m, from, x(m.Value), p.Log, f.column().format(m.Value), complaint(r.find(m.Setup, m.Library)))
		}
	}
	if p.Log { // else the lengths and the values tell all
		for v := s.low; v <= s.high*1.001; v *= 10 {
			c.add(`<line class="grid" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, x(v), c.y+4, x(v), rows.y+2)
			c.text(x(v), rows.y+16, "small", "middle", f.column().tick(v))
		}
		rows.y += 16
	}
	_, _ = c.Write(rows.Bytes())
	c.y = rows.y
	return c.finish(p, r)
}

// mark draws a row: a bar, or a mark where the scale has no zero.
func (c *card) mark(m Mark, from, x float64, log bool, value, note string) {
	y := c.y + rowHeight/2
	c.name(from-10, y+4.5, m.Library)
	end := x + 7
	if log {
		c.add(`<circle class="%s" cx="%.1f" cy="%.1f" r="%g"/>`, us("mark", m.Library), x, y, markRadius)
		end += markRadius
	} else {
		c.add(`<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="14" rx="2"/>`, us("mark", m.Library), from, y-7, math.Max(x-from, 1))
	}
	class := ""
	if isOurs(m.Library) {
		class = "ours"
	}
	c.text(end, y+4.5, class, "", value)
	after := end + 8*float64(utf8.RuneCountInString(value)) + 8
	if note != "" && after+6.3*float64(utf8.RuneCountInString(note)) < cardWidth-margin {
		c.text(after, y+4.5, "small", "", note)
	}
	c.y += rowHeight
}

// complaint tells in a few words what went wrong in a row, "" if nothing did.
func complaint(row *Row) string {
	var all []string
	for _, text := range slices.Sorted(maps.Keys(row.Errors)) {
		times := " × "
		if !strings.Contains(text, ": ") { // what is counted, and no error
			times = " "
		}
		all = append(all, thousands(float64(row.Errors[text]))+times+text)
	}
	return strings.Join(all, ", ")
}
