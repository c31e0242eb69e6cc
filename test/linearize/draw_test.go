//go:build linux

package linearize

import (
	"bytes"
	"encoding/xml"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

var drawInto = flag.String("draw", "", "draw a history, and an overlap that a fence catches, into this directory")

func TestDrawHistories(t *testing.T) {
	if *drawInto == "" {
		t.Skip("draws pictures; run it with -draw DIRECTORY")
	}
	_, seed := settings(t)
	r := &Run{Nodes: 5, Seed: seed, Length: historyLength, Dir: t.TempDir(), Streams: streams()}
	h := r.Play(t)
	for _, v := range Check(h) {
		require.Equal(t, porcupine.Ok, v.Result, "%v", v)
	}
	write(t, "faults.svg", drawFaults(h))
	for ; ; seed++ {
		_, addr := ServeSets(t)
		r = &Run{Nodes: 3, Seed: seed, Length: historyLength, Dir: t.TempDir(), Streams: stops(), Workload: &workload{byFence, addr}}
		h = r.Play(t)
		events, err := readEvents(r.Dir)
		require.NoError(t, err)
		if o := h.refusedWrite(events); o != nil {
			write(t, "overlap.svg", o.draw())
			return
		}
	}
}

func write(t *testing.T, name string, picture []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(*drawInto, name), picture, 0o644)) //nolint:gosec // for everybody
	t.Log(name)
}

// A picture is an SVG of moments from left to right.
type picture struct {
	bytes.Buffer
	from, to int64
}

const (
	pictureWidth = 800.0
	axisFrom     = 130.0
	axisTo       = pictureWidth - 24
	laneHeight   = 22.0
)

// Pictures are cards with a background of their own, for light and for dark pages.
const pictureStyle = `
text { font: 13px system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif; fill: #1f2937 }
.title { font-size: 15px; font-weight: bold }
.quiet { fill: #6b7280; font-size: 12px }
.command { fill: #374151; font: 12px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace }
.name { text-anchor: end }
.middle { text-anchor: middle }
.bar { fill: #2563eb } .other { fill: #60a5fa } .fault { fill: #fbbf24 }
.good { fill: #16a34a } .bad { fill: #dc2626 } .grid { stroke: #e5e7eb }
`

func (p *picture) x(at int64) float64 {
	return axisFrom + (axisTo-axisFrom)*float64(min(max(at, p.from), p.to)-p.from)/float64(p.to-p.from)
}

func (p *picture) text(x, y float64, class, format string, args ...any) {
	var b strings.Builder
	_ = xml.EscapeText(&b, fmt.Appendf(nil, format, args...)) // a Builder never fails
	p.add(`<text class="%s" x="%.1f" y="%.1f">%s</text>`, class, x, y, b.String())
}

func (p *picture) bar(from, to int64, y float64, class, title string) {
	p.add(`<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.0f" rx="2"><title>%s</title></rect>`,
		class, p.x(from), y, max(p.x(to)-p.x(from), 1.5), laneHeight-6, title)
}

func (p *picture) add(format string, args ...any) { _, _ = fmt.Fprintf(p, format+"\n", args...) }

// axis draws a line for each step.
func (p *picture) axis(y, bottom float64, step time.Duration) {
	for d := time.Duration(0); p.from+int64(d) <= p.to; d += step {
		x := p.x(p.from + int64(d))
		p.add(`<line class="grid" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, x, y, x, bottom)
		p.text(x, bottom+16, "quiet middle", "%v s", d.Seconds())
	}
}

func (p *picture) finish(title string, height float64, command string) []byte {
	p.text(18, height-14, "command", "%s", command)
	var all picture
	all.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="100%%" role="img" aria-labelledby="t">`, pictureWidth, height)
	all.add(`<title id="t">%s</title><style>%s</style>`, title, pictureStyle)
	all.add(`<rect x="0.5" y="0.5" width="%g" height="%g" rx="8" fill="#ffffff" stroke="#d1d5db"/>`, pictureWidth-1, height-1)
	all.text(18, 30, "title", "%s", title)
	all.add("%s</svg>", p.String())
	return all.Bytes()
}

const drawCommand = "go -C test/linearize test -run DrawHistories -draw ../../docs ."

// drawFaults draws what happened to servers, processes and connections, and when locks were granted.
func drawFaults(h *History) []byte {
	granted := make([]int64, 0, len(h.Sections))
	for _, s := range h.Sections {
		if s.granted() {
			granted = append(granted, s.Ended.T)
		}
	}
	p := &picture{from: h.Sections[0].Asked.T}
	p.to = p.from + int64(historyLength)
	const top, lanes = 66.0, 4
	p.text(18, 50, "quiet", "%d servers, %d processes. Each bar is a fault: of one victim mostly, of a majority at times.", h.Nodes, workers)
	p.axis(top-4, top+lanes*laneHeight, 2*time.Second)
	for i, lane := range []string{"servers", "processes", "connections", "locks granted"} {
		p.text(axisFrom-12, top+float64(i)*laneHeight+12, "name", "%s", lane)
	}
	for _, f := range h.Faults {
		p.bar(f.From, f.To, top+float64(laneOf(f.Name))*laneHeight, "fault", f.Name)
	}
	for _, at := range granted {
		p.add(`<rect class="bar" x="%.1f" y="%.1f" width="1.2" height="%.0f"/>`, p.x(at), top+3*laneHeight, laneHeight-6)
	}
	title := fmt.Sprintf("%v s on %d servers: %d faults, %d locks granted, never two holders", historyLength.Seconds(), h.Nodes, len(h.Faults), len(granted))
	return p.finish(title, top+lanes*laneHeight+54, drawCommand)
}

func laneOf(fault string) int {
	switch {
	case strings.HasPrefix(fault, "servers"):
		return 0
	case strings.HasPrefix(fault, "workers"):
		return 1
	default:
		return 2
	}
}

// An overlap is two who had a lock, as the first was stopped and did not look.
type overlap struct {
	first, second    *Section
	refused, written int64 // when
	stopped          []Fault
}

// refusedWrite returns one where the fence has refused the first one's write after the second
// one's; nil if there is none.
func (h *History) refusedWrite(events []Event) *overlap {
	added := make(map[string]*Event)
	for i := range events {
		if events[i].What == Added {
			added[events[i].ID] = &events[i]
		}
	}
	for _, a := range h.Sections {
		e := added[a.Asked.ID]
		if e == nil || e.Result == OK || !a.granted() {
			continue
		}
		for _, b := range h.Sections {
			w := added[b.Asked.ID]
			if b.Asked.Resource != a.Asked.Resource || w == nil || w.Result != OK || !b.granted() || b.Ended.T < a.Ended.T || w.T > e.T {
				continue
			}
			o := &overlap{first: a, second: b, refused: e.T, written: w.T}
			for _, f := range h.Faults {
				if f.From > a.Ended.T && f.To < e.T && silent(events, worker0(a), f) {
					o.stopped = append(o.stopped, f)
				}
			}
			if len(o.stopped) > 0 {
				return o
			}
		}
	}
	return nil
}

// worker0 returns the beginning of the IDs of a worker.
func worker0(s *Section) string { return s.Asked.ID[:strings.Index(s.Asked.ID, "-")+1] }

// silent reports whether a worker has written nothing down during a fault: it was stopped.
func silent(events []Event, worker string, f Fault) bool {
	const slack = int64(20 * time.Millisecond)
	return !slices.ContainsFunc(events, func(e Event) bool {
		return strings.HasPrefix(e.ID, worker) && e.T > f.From+slack && e.T < f.To-slack
	})
}

func (o *overlap) draw() []byte {
	const top = 70.0
	p := &picture{from: o.first.Ended.T - int64(200*time.Millisecond), to: o.refused + int64(600*time.Millisecond)}
	p.axis(top-4, top+3*laneHeight+20, 500*time.Millisecond)
	p.text(18, 50, "quiet", "Each process reads the set, takes a second and writes it back. TTL %v s, extended automatically.", setTTL.Seconds())
	row := func(i int, name string) float64 {
		y := top + float64(i)*(laneHeight+6)
		p.text(axisFrom-12, y+12, "name", "%s", name)
		return y
	}
	y := row(0, "process A")
	p.bar(o.first.Ended.T, o.refused, y, "bar", "A believes that it has the lock")
	for _, f := range o.stopped {
		p.bar(f.From, f.To, y, "fault", "stopped")
		p.text((p.x(f.From)+p.x(f.To))/2, y+12, "middle", "stopped, %.1f s", time.Duration(f.To-f.From).Seconds())
	}
	y = row(1, "process B")
	p.bar(o.second.Ended.T, o.written, y, "other", "B has the lock")
	p.text((p.x(o.second.Ended.T)+p.x(o.written))/2, y+12, "middle", "newer token")
	y = row(2, "the set")
	p.mark(o.written, y, "good", -9, "end", "accepts B")
	p.mark(o.refused, y, "bad", 9, "start", "refuses A")
	return p.finish("A stopped process writes after the next holder, and the set refuses its old token", top+3*(laneHeight+6)+56, drawCommand)
}

func (p *picture) mark(at int64, y float64, class string, beside float64, anchor, what string) {
	p.add(`<circle class="%s" cx="%.1f" cy="%.1f" r="5"/>`, class, p.x(at), y+8)
	p.add(`<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, class, p.x(at)+beside, y+12, anchor, what)
}
