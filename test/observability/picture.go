package observability

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A Series is what a target of a panel has shown over time.
type Series struct {
	Name   string
	Points []Point
}

// A Point is a value at a time since the beginning.
type Point struct {
	At    time.Duration
	Value float64
}

// A Band is a time in which something was wrong.
type Band struct {
	Label    string
	From, To time.Duration
}

// A Plot is a panel with its series.
type Plot struct {
	Panel  Panel
	Series []Series
}

// Measures of the picture, in its own pixels.
const (
	plotWidth  = 412.0
	plotHeight = 112.0
	leftEdge   = 64.0 // of the plot in its cell
	cellWidth  = 500.0
	cellHead   = 40.0
	entryLine  = 15.0 // height of a line in a legend
	pageHead   = 46.0
	gap        = 1500 * time.Millisecond // between points that are not joined
)

const style = `
text { font: 11px system-ui, 'DejaVu Sans', sans-serif; fill: #1f2937 }
.page { font-size: 15px; font-weight: bold }
.title { font-weight: bold }
.quiet { fill: #6b7280; font-size: 10px }
.grid { stroke: #e5e7eb }
.band { fill: #f59e0b; opacity: .16 }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
`

var colours = []string{"#2563eb", "#dc2626", "#059669", "#9333ea", "#d97706", "#0891b2", "#be185d", "#4b5563", "#65a30d", "#7c2d12"}

type drawing struct {
	bytes.Buffer
	span  time.Duration
	bands []Band
}

// Draw returns plots as SVG, two side by side, each with the bands in its background.
func Draw(title string, plots []Plot, bands []Band, span time.Duration) []byte {
	var cells []string
	var heights []float64
	for pair := range slices.Chunk(plots, 2) {
		entries := 0
		for _, p := range pair {
			entries = max(entries, (len(shown(p.Series))+1)/2)
		}
		heights = append(heights, cellHead+plotHeight+20+entryLine*float64(entries)+16)
	}
	y := pageHead
	for i, p := range plots {
		d := &drawing{span: span, bands: bands}
		d.cell(p, i == 0)
		cells = append(cells, fmt.Sprintf(`<g transform="translate(%g %g)">`, cellWidth*float64(i%2), y)+"\n"+d.String()+"</g>\n")
		if i%2 == 1 || i == len(plots)-1 {
			y += heights[i/2]
		}
	}
	page := &drawing{}
	page.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="100%%" role="img" aria-labelledby="t">`, 2*cellWidth, y)
	page.add(`<title id="t">%s</title><style>%s</style>`, escape(title), style)
	page.add(`<rect width="%g" height="%g" rx="8" fill="#ffffff" stroke="#d1d5db"/>`, 2*cellWidth, y)
	page.text(16, 28, "page", "start", title)
	page.add("%s", strings.Join(cells, ""))
	page.add("</svg>")
	return page.Bytes()
}

// cell draws one panel with its axes and its legend. The first one says what the bands are.
func (d *drawing) cell(p Plot, labelled bool) {
	series := shown(p.Series)
	top, ticks := scale(series, p.Panel.Unit)
	d.text(16, 14, "title", "start", p.Panel.Title)
	for _, b := range d.bands {
		d.add(`<rect class="band" x="%.1f" y="%g" width="%.1f" height="%g"><title>%s</title></rect>`,
			d.x(b.From), cellHead-10, d.x(b.To)-d.x(b.From), plotHeight+10, escape(b.Label))
		if labelled {
			d.text((d.x(b.From)+d.x(b.To))/2, cellHead-14, "quiet", "middle", b.Label)
		}
	}
	for _, v := range ticks {
		y := cellHead + plotHeight*(1-v/top)
		d.add(`<line class="grid" x1="%g" y1="%.1f" x2="%g" y2="%.1f"/>`, leftEdge, y, leftEdge+plotWidth, y)
		d.text(leftEdge-6, y+4, "quiet", "end", amount(v, p.Panel.Unit))
	}
	for at := time.Duration(0); at <= d.span; at += 20 * time.Second {
		d.text(d.x(at), cellHead+plotHeight+14, "quiet", "middle", fmt.Sprintf("%d s", int(at.Seconds())))
	}
	for i, s := range series {
		colour := colours[i%len(colours)]
		d.add(`<path class="line" stroke="%s" d="%s"><title>%s</title></path>`, colour, d.path(s.Points, top), escape(s.Name))
		x, y := leftEdge+plotWidth/2*float64(i%2), cellHead+plotHeight+32+entryLine*float64(i/2)
		d.add(`<rect x="%g" y="%g" width="12" height="3" fill="%s"/>`, x, y-5, colour)
		d.text(x+17, y, "", "start", s.Name)
	}
}

// path joins points. Where there is no value for a while there is no line.
func (d *drawing) path(points []Point, top float64) string {
	var b strings.Builder
	last := time.Duration(math.MinInt64 / 2)
	for _, p := range points {
		if math.IsNaN(p.Value) {
			continue
		}
		command := "L"
		if p.At-last > gap {
			command = "M"
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", command, d.x(p.At), cellHead+plotHeight*(1-p.Value/top))
		if command == "M" {
			b.WriteString("h1") // so that a single point is seen
		}
		last = p.At
	}
	return b.String()
}

func (d *drawing) x(at time.Duration) float64 {
	return leftEdge + plotWidth*float64(at)/float64(d.span)
}

// shown returns the series that have values, in the order of their names.
func shown(all []Series) []Series {
	some := slices.DeleteFunc(slices.Clone(all), func(s Series) bool {
		return !slices.ContainsFunc(s.Points, func(p Point) bool { return !math.IsNaN(p.Value) })
	})
	slices.SortFunc(some, func(a, b Series) int { return strings.Compare(a.Name, b.Name) })
	return some
}

// scale returns the top of an axis that has room for all values, and its ticks.
func scale(series []Series, unit string) (top float64, ticks []float64) {
	largest := 0.0
	for _, s := range series {
		for _, p := range s.Points {
			if !math.IsNaN(p.Value) {
				largest = max(largest, p.Value)
			}
		}
	}
	if largest == 0 {
		largest = 1
	}
	step := math.Pow(10, math.Floor(math.Log10(largest/2)))
	for _, factor := range []float64{5, 2} {
		if largest/(step*factor) >= 2 {
			step *= factor
			break
		}
	}
	if unit == "short" {
		step = max(step, 1)
	}
	top = step * math.Ceil(largest/step)
	for v := 0.0; v <= top+step/2; v += step {
		ticks = append(ticks, v)
	}
	return top, ticks
}

// amount writes a value with its unit.
func amount(v float64, unit string) string {
	switch {
	case unit == "ops":
		return fmt.Sprintf("%.3g/s", v)
	case unit == "s" && v > 0 && v < 1:
		return fmt.Sprintf("%.3g ms", v*1000)
	case unit == "s":
		return fmt.Sprintf("%.3g s", v)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}

func (d *drawing) text(x, y float64, class, anchor, s string) {
	d.add(`<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, class, x, y, anchor, escape(s))
}

func (d *drawing) add(format string, args ...any) {
	_, _ = fmt.Fprintf(d, format+"\n", args...) // a Buffer never fails
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder never fails
	return b.String()
}
