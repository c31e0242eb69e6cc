package main

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// tolerance is how far times may be apart that look alike in the picture.
const tolerance = 5 * time.Millisecond

// A state tells the bars of a picture apart.
type state string

// States of a span, which are classes of the style sheet.
const (
	inTime     state = "ok"
	late       state = "late"       // a command that was answered after its parent ended
	background state = "background" // a command that was sent after its parent ended
	failed     state = "error"
)

// A bar is one span.
type bar struct {
	span  sdktrace.ReadOnlySpan
	state state
}

// A row of the picture is a span or, of the commands under one span, those that
// went to one node; nodes on which that looks the same share a row.
type row struct {
	depth   int
	service string
	command bool
	label   string
	note    string
	bars    []bar
}

// begins reports whether a trace begins with the row.
func (r *row) begins() bool { return r.depth == 0 && !r.command }

// A hold is a stretch of time for which a service had the lock.
type hold struct {
	service    string
	start, end time.Time
}

// A picture is a trace for each call of a service, and who had the lock when.
type picture struct {
	rows       []row
	holds      []hold
	start, end time.Time
	services   []string
}

// newPicture lays the spans out. addrs are the nodes, in order.
func newPicture(spans []sdktrace.ReadOnlySpan, addrs []string) *picture {
	p := &picture{}
	spans = slices.Clone(spans)
	slices.SortStableFunc(spans, func(a, b sdktrace.ReadOnlySpan) int { return a.StartTime().Compare(b.StartTime()) })
	present := map[trace.SpanID]bool{}
	children := map[trace.SpanID][]sdktrace.ReadOnlySpan{}
	for _, s := range spans {
		present[s.SpanContext().SpanID()] = true
		children[s.Parent().SpanID()] = append(children[s.Parent().SpanID()], s)
		if p.start.IsZero() {
			p.start = s.StartTime()
		}
		if s.EndTime().After(p.end) {
			p.end = s.EndTime()
		}
	}
	l := layout{p, children, addrs}
	var loose []sdktrace.ReadOnlySpan
	for _, s := range spans {
		switch {
		case present[s.Parent().SpanID()]:
		case s.SpanKind() == trace.SpanKindClient: // go-redis dials on its own account
			loose = append(loose, s)
		default:
			l.add(s, 0)
		}
	}
	for _, s := range p.services {
		l.addCommands(s, time.Time{}, slices.DeleteFunc(slices.Clone(loose), func(c sdktrace.ReadOnlySpan) bool {
			return serviceOf(c) != s
		}), 0)
	}
	return p
}

// A layout puts spans into the rows of a picture.
type layout struct {
	picture  *picture
	children map[trace.SpanID][]sdktrace.ReadOnlySpan
	addrs    []string
}

// add adds a span and what is below it.
func (l *layout) add(s sdktrace.ReadOnlySpan, depth int) {
	p := l.picture
	service := serviceOf(s)
	if !slices.Contains(p.services, service) {
		p.services = append(p.services, service)
	}
	b := bar{s, inTime}
	if s.Status().Code == codes.Error {
		b.state = failed
	}
	p.rows = append(p.rows, row{depth: depth, service: service, label: s.Name(), note: describe(s), bars: []bar{b}})
	below := l.children[s.SpanContext().SpanID()]
	if s.Name() == "redlock.with" {
		p.holds = append(p.holds, holdsOf(below, service)...)
	}
	l.addCommands(service, s.EndTime(), below, depth+1)
	for _, child := range below {
		if child.SpanKind() != trace.SpanKindClient {
			l.add(child, depth+1)
		}
	}
}

// addCommands adds the commands among the spans below a parent that ended at
// over, if it is not zero.
func (l *layout) addCommands(service string, over time.Time, below []sdktrace.ReadOnlySpan, depth int) {
	byNode := make([][]bar, len(l.addrs)+1) // the last is for what names no node
	for _, s := range l.commands(below) {
		i := l.node(s)
		byNode[i] = append(byNode[i], bar{s, stateOf(s, over)})
	}
	for i, bars := range byNode {
		if len(bars) == 0 {
			continue
		}
		nodes, all := []string{strconv.Itoa(i + 1)}, bars
		for j := i + 1; j < len(byNode); j++ {
			if alike(bars, byNode[j]) {
				nodes = append(nodes, strconv.Itoa(j+1))
				all = append(all, byNode[j]...)
				byNode[j] = nil
			}
		}
		l.picture.rows = append(l.picture.rows, row{
			depth: depth, service: service, command: true,
			label: commandLabel(bars, nodes), note: commandNote(bars), bars: all,
		})
	}
}

// commands returns the commands among spans. The greeting of a new connection
// is below the command that needs it.
func (l *layout) commands(spans []sdktrace.ReadOnlySpan) []sdktrace.ReadOnlySpan {
	var all []sdktrace.ReadOnlySpan
	for _, s := range spans {
		if s.SpanKind() == trace.SpanKindClient {
			all = append(append(all, s), l.commands(l.children[s.SpanContext().SpanID()])...)
		}
	}
	return all
}

func (l *layout) node(s sdktrace.ReadOnlySpan) int {
	addr := net.JoinHostPort(text(s, "server.address"), text(s, "server.port"))
	if i := slices.Index(l.addrs, addr); i >= 0 {
		return i
	}
	return len(l.addrs)
}

// alike reports whether two nodes were sent the same at about the same time.
func alike(a, b []bar) bool {
	return slices.EqualFunc(a, b, func(a, b bar) bool {
		return a.span.Name() == b.span.Name() && a.state == b.state &&
			a.span.StartTime().Sub(b.span.StartTime()).Abs() < tolerance &&
			a.span.EndTime().Sub(b.span.EndTime()).Abs() < tolerance
	})
}

// stateOf returns how a command looks below a parent that ended at over.
func stateOf(s sdktrace.ReadOnlySpan, over time.Time) state {
	switch {
	case s.Status().Code == codes.Error:
		return failed
	case over.IsZero():
		return inTime
	case s.StartTime().After(over):
		return background
	case s.EndTime().Sub(over) > tolerance:
		return late
	}
	return inTime
}

// holdsOf returns the hold among the spans right below a redlock.with.
func holdsOf(below []sdktrace.ReadOnlySpan, service string) []hold {
	h := hold{service: service}
	for _, s := range below {
		switch result := text(s, "redlock.result"); {
		case s.Name() == "redlock.lock" && result == "acquired":
			h.start = s.EndTime()
		case s.Name() == "redlock.unlock" && result == "released":
			h.end = s.StartTime() // nothing is protected any more
		}
	}
	if h.start.IsZero() || h.end.IsZero() {
		return nil
	}
	return []hold{h}
}

// describe tells in a few words what came of an operation, and how long it took.
func describe(s sdktrace.ReadOnlySpan) string {
	return strings.TrimSpace(outcome(s) + "  " + inMilliseconds(s.EndTime().Sub(s.StartTime())))
}

// outcome tells in a few words what came of an operation.
func outcome(s sdktrace.ReadOnlySpan) string {
	note := cmp.Or(text(s, "redlock.result"), text(s, "redlock.outcome"))
	switch s.Name() {
	case "redlock.lock":
		unit := "attempts"
		if text(s, "redlock.attempt.count") == "1" {
			unit = "attempt"
		}
		note += " after " + text(s, "redlock.attempt.count") + " " + unit
	case "redlock.attempt":
		note = "#" + text(s, "redlock.attempt.number") + " " + note
		if note = strings.TrimSpace(note); text(s, "redlock.node.refused_count") != "0" {
			note += ", " + nodesThat("refused", text(s, "redlock.node.refused_count"))
			break
		}
		fallthrough
	case "redlock.extend", "redlock.unlock":
		note += ", " + nodesThat("agreed", text(s, "redlock.node.agreed_count"))
	}
	return strings.TrimSpace(note)
}

func nodesThat(did, count string) string {
	if count == "1" {
		return "1 node " + did
	}
	return count + " nodes " + did
}

func commandLabel(bars []bar, nodes []string) string {
	var names []string
	for _, b := range bars {
		names = append(names, b.span.Name())
	}
	label := strings.Join(names, ", ")
	switch distinct := slices.Compact(names); {
	case len(bars) > 1 && len(distinct) == 1:
		label = fmt.Sprintf("%s ×%d", distinct[0], len(bars))
	case len(bars) > 2:
		label = fmt.Sprintf("%d commands", len(bars))
	}
	unit := "node"
	if len(nodes) > 1 {
		unit = "nodes"
	}
	return fmt.Sprintf("%s: %s %s", label, unit, strings.Join(nodes, ", "))
}

// commandNote tells what is wrong with commands, nothing if they are in time.
func commandNote(bars []bar) string {
	for _, b := range bars {
		switch b.state {
		case failed:
			kind, _, _ := strings.Cut(b.span.Status().Description, " ")
			return kind
		case late:
			return "late  " + inMilliseconds(b.span.EndTime().Sub(b.span.StartTime()))
		case inTime, background:
		}
	}
	return ""
}

func inMilliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 10 {
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	}
	return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
}

func serviceOf(s sdktrace.ReadOnlySpan) string {
	name, _ := s.Resource().Set().Value("service.name")
	return name.AsString()
}

// text returns an attribute as text, empty if the span has none of that name.
func text(s sdktrace.ReadOnlySpan, key attribute.Key) string {
	for _, kv := range s.Attributes() {
		if kv.Key == key {
			return kv.Value.String()
		}
	}
	return ""
}
