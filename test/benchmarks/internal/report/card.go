package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Measures of a picture, in its own pixels.
const (
	cardWidth  = 800.0
	margin     = 18.0
	letter     = 7.6 // the average width of one in a bold name, where the font is a wide one
	titleLine  = 21.0
	titleWidth = 80 // in letters
	footHeight = 34.0
	markRadius = 5.0
	valueWidth = 62.0 // beside a mark
)

// Pictures are cards with a background of their own, as they are seen on light
// and on dark pages.
const style = `
text { font: 13px system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif; fill: #1f2937 }
.title { font-size: 15px; font-weight: bold }
.quiet { fill: #6b7280; font-size: 12px }
.value { paint-order: stroke; stroke: #ffffff; stroke-width: 3px; stroke-linejoin: round }
.small { fill: #6b7280; font-size: 11px }
.command { fill: #374151; font: 12px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace }
.name { text-anchor: end }
.ours { font-weight: bold; fill: #1d4ed8 }
.grid { stroke: #e5e7eb }
.mark { fill: #9ca3af }
.line { fill: none; stroke: #9ca3af; stroke-width: 2 }
.mark.us { fill: #2563eb }
.line.us { stroke: #2563eb }
.line.beside { stroke: #bfdbfe }
`

// A card is an SVG that grows downwards.
type card struct {
	bytes.Buffer
	y float64 // where the next thing begins
}

// newCard begins a picture with what it says, what the figures are, and which way
// is better.
func newCard(p Plot, r *Result) *card {
	c := &card{y: 30}
	for _, line := range fold(p.title(r), titleWidth) {
		c.text(margin, c.y, "title", "", line)
		c.y += titleLine
	}
	about := p.Title
	if p.Log {
		about += ", on a logarithmic scale"
	}
	better := "◀ less is better"
	if p.More {
		better = "more is better ▶"
	}
	c.text(margin, c.y, "quiet", "", about)
	c.text(cardWidth-margin, c.y, "quiet", "end", better)
	c.y += 17
	c.text(margin, c.y, "quiet", "", conditions(r))
	c.y += 12
	return c
}

// finish returns the picture, with the command that measures it below.
func (c *card) finish(p Plot, r *Result) []byte {
	c.y += footHeight
	c.text(margin, c.y-14, "command", "", "make bench CASES="+r.Case)
	sum := "median"
	if (Figures{p, r}).column().Worst {
		sum = "worst"
	}
	c.text(cardWidth-margin, c.y-14, "small", "end", fmt.Sprintf("%s of %d rounds, %d cores, Redis %s, %s",
		sum, r.Rounds, r.Machine.Cores, r.Machine.Redis, r.Date.Format("2 January 2006")))
	var whole card
	whole.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="100%%" role="img" aria-labelledby="t">`, cardWidth, c.y)
	whole.add(`<title id="t">%s</title><style>%s</style>`, escape(p.title(r)), style)
	whole.add(`<rect x="0.5" y="0.5" width="%g" height="%g" rx="8" fill="#ffffff" stroke="#d1d5db"/>`, cardWidth-1, c.y-1)
	whole.add("%s</svg>", c.String())
	return whole.Bytes()
}

func (c *card) text(x, y float64, class, anchor, s string) {
	if anchor != "" {
		anchor = fmt.Sprintf(` text-anchor="%s"`, anchor)
	}
	c.add(`<text class="%s" x="%.1f" y="%.1f"%s>%s</text>`, class, x, y, anchor, escape(s))
}

// name writes the name of a library to the left of x.
func (c *card) name(x, y float64, library string) {
	class := "name"
	if isOurs(library) {
		class += " ours"
	}
	c.text(x, y, class, "", library)
}

func (c *card) add(format string, args ...any) {
	_, _ = fmt.Fprintf(c, format+"\n", args...) // a Buffer never fails
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder never fails
	return b.String()
}

// us returns the class of what belongs to a library.
func us(class, library string) string {
	if isOurs(library) {
		return class + " us"
	}
	return class
}

// besideNames returns where the figures begin, right of the names of libraries.
func besideNames(marks []Mark) float64 {
	longest := 0
	for _, m := range marks {
		longest = max(longest, utf8.RuneCountInString(m.Library))
	}
	return margin + letter*float64(longest) + 22
}

// A scale maps figures to places between 0 and 1.
type scale struct {
	low, high float64
	log       bool
}

// newScale returns one that has room for all marks. On a logarithmic one they
// lie between powers of ten; one that is not begins at 0.
func newScale(marks []Mark, log bool) scale {
	s := scale{low: math.Inf(1), high: math.Inf(-1), log: log}
	for _, m := range marks {
		s.low, s.high = min(s.low, m.Value), max(s.high, m.Value)
	}
	if log {
		s.low, s.high = math.Pow(10, math.Floor(math.Log10(s.low))), math.Pow(10, math.Ceil(math.Log10(s.high)))
	} else {
		s.low = 0
	}
	if s.high <= s.low {
		s.high = s.low + 1
	}
	return s
}

func (s scale) at(v float64) float64 {
	if s.log {
		return math.Log(v/s.low) / math.Log(s.high/s.low)
	}
	return (v - s.low) / (s.high - s.low)
}

// conditions returns what a case measures under: its title without the kind of case.
func conditions(r *Result) string {
	_, text, ok := strings.Cut(r.Title, ": ")
	if !ok {
		text = r.Title
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// fold breaks a title into lines of at most width letters: where it pauses, or else
// between words.
func fold(title string, width int) []string {
	var lines []string
	for utf8.RuneCountInString(title) > width {
		head := string([]rune(title)[:width])
		at := max(strings.LastIndex(head, "; "), strings.LastIndex(head, ", "), strings.LastIndex(head, ": ")) + 1
		if at == 0 {
			at = strings.LastIndex(head, " ")
		}
		if at < 0 {
			break
		}
		lines = append(lines, title[:at])
		title = title[at+1:]
	}
	return append(lines, title)
}
