package report

import (
	"fmt"
	"slices"
	"strings"
)

const (
	curveHeight = 62.0
	curveRoom   = 18.0 // above the highest mark, for its value
)

// A curve is what a plot shows of one library: a mark for each setup that it has
// figures of.
type curve struct {
	library string
	marks   []Mark
}

// curves draws a row for each library, with its figures from setup to setup, the
// one that is best in the last setup first. All have the same scale, and a trace of
// our curve in the others.
func (p Plot) curves(r *Result) []byte {
	f := Figures{p, r}
	marks := append(f.Ours(), f.Others()...)
	from, to := besideNames(marks)+valueWidth/2, cardWidth-margin-valueWidth/2
	s := newScale(marks, p.Log)
	setups := p.setups(r)
	x := func(setup string) float64 {
		return from + (to-from)*float64(slices.Index(setups, setup))/float64(max(len(setups)-1, 1))
	}
	y := func(top, v float64) float64 {
		return top + curveRoom + (curveHeight-curveRoom-10)*(1-s.at(v))
	}
	path := func(top float64, cv curve) string {
		var b strings.Builder
		for i, m := range cv.marks {
			step := "L"
			if i == 0 {
				step = "M"
			}
			fmt.Fprintf(&b, "%s%.1f %.1f", step, x(m.Setup), y(top, m.Value))
		}
		return b.String()
	}

	c := newCard(p, r)
	all := f.curves(setups)
	ours := slices.IndexFunc(all, func(cv curve) bool { return isOurs(cv.library) })
	for _, cv := range all {
		c.add(`<line class="grid" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, margin, c.y+2, cardWidth-margin, c.y+2)
		c.name(from-valueWidth/2-10, c.y+curveHeight/2+8, cv.library)
		if ours >= 0 && !isOurs(cv.library) {
			c.add(`<path class="line beside" d="%s"/>`, path(c.y, all[ours]))
		}
		c.add(`<path class="%s" d="%s"/>`, us("line", cv.library), path(c.y, cv))
		for _, m := range cv.marks {
			at := y(c.y, m.Value)
			c.add(`<circle class="%s" cx="%.1f" cy="%.1f" r="3.5"/>`, us("mark", cv.library), x(m.Setup), at)
			c.text(x(m.Setup), at-7, "small value", "middle", f.column().format(m.Value))
		}
		c.y += curveHeight
	}
	c.y += 18
	c.text(margin, c.y, "quiet", "", r.Setup)
	for _, setup := range setups {
		c.text(x(setup), c.y, "quiet", "middle", p.called(setup))
	}
	return c.finish(p, r)
}

// curves returns the curves, sorted by their last setup.
func (f Figures) curves(setups []string) []curve {
	var all []curve
	for _, setup := range slices.Backward(setups) {
		for _, m := range f.Sorted(setup) {
			i := slices.IndexFunc(all, func(c curve) bool { return c.library == m.Library })
			if i < 0 {
				i = len(all)
				all = append(all, curve{library: m.Library})
			}
			all[i].marks = append([]Mark{m}, all[i].marks...)
		}
	}
	return all
}
