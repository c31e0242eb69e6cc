package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Measures of the picture, in its own pixels.
const (
	width      = 1000.0
	left       = 268.0 // where the time axis begins
	right      = 970.0 // and where it ends
	head       = 88.0  // above the first row
	rowHeight  = 20.0
	gap        = 12.0 // above each trace
	foot       = 44.0
	indent     = 13.0
	charWidth  = 6.7 // of a note
	leastWidth = 2.5 // of a bar
)

// palette has a colour for each service, in the order in which they appear.
var palette = []string{"#2563eb", "#9333ea"}

const style = `
text { font: 11px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #1f2937 }
.title { font: bold 15px system-ui, 'DejaVu Sans', sans-serif }
.quiet { fill: #6b7280 }
.strong { font-weight: bold }
.inside { fill: #ffffff }
.note { fill: #374151 }
.command { fill: #6b7280 }
.late-note { fill: #b45309; font-weight: bold }
.error-note { fill: #b91c1c; font-weight: bold }
.grid { stroke: #e5e7eb; stroke-width: 1 }
.hold { opacity: .13 }
.soft { opacity: .55 }
.late { fill: #f59e0b }
.background { fill: #9ca3af }
.error { fill: #dc2626 }
`

// A drawing is an SVG that grows.
type drawing struct {
	bytes.Buffer
	picture *picture
	scale   float64 // pixels in a nanosecond
}

// draw returns the picture of spans as SVG. addrs are the nodes, in order.
func draw(spans []sdktrace.ReadOnlySpan, addrs []string) []byte {
	p := newPicture(spans, addrs)
	span := max(p.end.Sub(p.start), time.Millisecond)
	d := &drawing{picture: p, scale: (right - left) / float64(span)}
	bottom := head + rowHeight*float64(len(p.rows))
	for _, r := range p.rows {
		if r.begins() {
			bottom += gap
		}
	}
	height := bottom + foot
	d.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="100%%" role="img" aria-labelledby="t">`, width, height)
	d.add(`<title id="t">%s</title><style>%s</style>`, escape(d.title()), style)
	d.add(`<rect width="%g" height="%g" rx="8" fill="#ffffff" stroke="#d1d5db"/>`, width, height)
	d.text(16, 28, "title", "", d.title())
	if p.has(late) {
		d.text(width-16, 28, "quiet", "end", "one node is slow: the majority of the others decides")
	}
	d.axis(span, bottom)
	d.holds(bottom)
	y := head
	for _, r := range p.rows {
		if r.begins() {
			y += gap
		}
		d.row(r, y)
		y += rowHeight
	}
	d.legend(bottom + foot/2)
	d.add("</svg>")
	return d.Bytes()
}

func (d *drawing) title() string {
	return strings.Join(d.picture.services, " and ") + " contend for the lock on " + invoice
}

// axis draws a scale in milliseconds, with about ten steps of 1, 2 or 5.
func (d *drawing) axis(span time.Duration, bottom float64) {
	ms := float64(span) / float64(time.Millisecond)
	step := math.Pow(10, math.Floor(math.Log10(ms/8)))
	for _, factor := range []float64{5, 2} {
		if ms/(step*factor) >= 6 {
			step *= factor
			break
		}
	}
	for v := 0.0; v <= ms; v += step {
		x := left + v*float64(time.Millisecond)*d.scale
		d.add(`<line class="grid" x1="%.1f" y1="%g" x2="%.1f" y2="%.1f"/>`, x, head-8, x, bottom)
		d.text(x, head-14, "quiet", "middle", fmt.Sprintf("%g ms", v))
	}
}

// holds draws bands across all rows for the times in which a service has the
// lock, so that one sees who waits for whom.
func (d *drawing) holds(bottom float64) {
	for _, h := range d.picture.holds {
		x, w := d.x(h.start), float64(h.end.Sub(h.start))*d.scale
		d.add(`<rect class="hold" x="%.1f" y="42" width="%.1f" height="%.1f" fill="%s"/>`, x, w, bottom-42, d.colour(h.service))
		d.add(`<text class="strong" x="%.1f" y="59" text-anchor="middle" style="fill:%s">%s</text>`,
			x+w/2, d.colour(h.service), escape(h.service+" has the lock"))
	}
}

func (d *drawing) row(r row, y float64) {
	base := y + rowHeight - 6
	class, noteClass := "", "note"
	switch {
	case r.depth == 0:
		class, r.label = "strong", r.service+"  "+r.label
	case r.command:
		class = "command"
	}
	d.text(16+indent*float64(r.depth), base, class, "", r.label)
	from, to := right, left
	for _, b := range r.bars {
		x := d.x(b.span.StartTime())
		w := max(float64(b.span.EndTime().Sub(b.span.StartTime()))*d.scale, leastWidth)
		from, to = min(from, x), max(to, x+w)
		d.bar(r, b, x, y+4, w)
		if b.state == late || (b.state == failed && noteClass == "note") {
			noteClass = string(b.state) + "-note"
		}
	}
	if waited := "waiting for the lock"; r.label == "redlock.lock" && to-from > 2*charWidth*float64(len(waited)) {
		d.add(`<text class="inside" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, (from+to)/2, base, waited)
	}
	switch length := charWidth * float64(len([]rune(r.note))); {
	case r.note == "":
	case to+6+length <= width-10:
		d.text(to+6, base, noteClass, "", r.note)
	case from-6-length >= left:
		d.text(from-6, base, noteClass, "end", r.note)
	default:
		d.add(`<text class="inside" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, (from+to)/2, base, escape(r.note))
	}
}

// bar draws a span. Its title shows where the mouse points, and tells all.
func (d *drawing) bar(r row, b bar, x, y, w float64) {
	paint := fmt.Sprintf(`class="%s"`, b.state)
	switch {
	case b.state == inTime && r.command:
		paint = fmt.Sprintf(`class="ok soft" fill="%s"`, d.colour(r.service))
	case b.state == inTime:
		paint = fmt.Sprintf(`class="ok" fill="%s"`, d.colour(r.service))
	}
	h := rowHeight - 8
	if r.command {
		y, h = y+2, h-4
	}
	var about strings.Builder
	fmt.Fprintf(&about, "%s %s: %s to %s", r.service, b.span.Name(),
		inMilliseconds(b.span.StartTime().Sub(d.picture.start)), inMilliseconds(b.span.EndTime().Sub(d.picture.start)))
	for _, kv := range b.span.Attributes() {
		fmt.Fprintf(&about, "\n%s=%s", kv.Key, kv.Value.String())
	}
	d.add(`<rect %s x="%.1f" y="%.1f" width="%.1f" height="%g" rx="1.5"><title>%s</title></rect>`, paint, x, y, w, h, escape(about.String()))
}

// legend explains the colours that the picture has.
func (d *drawing) legend(y float64) {
	x := 16.0
	entry := func(paint, meaning string) {
		d.add(`<rect %s x="%.1f" y="%.1f" width="16" height="9" rx="1.5"/>`, paint, x, y-8)
		d.text(x+21, y, "quiet", "", meaning)
		x += 21 + charWidth*float64(len([]rune(meaning))) + 22
	}
	for _, s := range d.picture.services {
		entry(fmt.Sprintf(`fill="%s"`, d.colour(s)), s)
	}
	for _, e := range []struct {
		state   state
		meaning string
	}{
		{late, "answered late: nobody waited for it"},
		{background, "sent after its caller went on"},
		{failed, "error"},
	} {
		if d.picture.has(e.state) {
			entry(fmt.Sprintf(`class="%s"`, e.state), e.meaning)
		}
	}
}

func (p *picture) has(s state) bool {
	return slices.ContainsFunc(p.rows, func(r row) bool {
		return slices.ContainsFunc(r.bars, func(b bar) bool { return b.state == s })
	})
}

func (d *drawing) x(t time.Time) float64 { return left + float64(t.Sub(d.picture.start))*d.scale }

func (d *drawing) colour(service string) string {
	return palette[max(slices.Index(d.picture.services, service), 0)%len(palette)]
}

func (d *drawing) text(x, y float64, class, anchor, s string) {
	if anchor == "" {
		anchor = "start"
	}
	d.add(`<text class="%s" x="%.1f" y="%.1f" text-anchor="%s" xml:space="preserve">%s</text>`, class, x, y, anchor, escape(s))
}

func (d *drawing) add(format string, args ...any) {
	_, _ = fmt.Fprintf(d, format+"\n", args...) // a Buffer never fails
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder never fails
	return b.String()
}
