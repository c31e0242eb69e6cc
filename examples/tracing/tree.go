package main

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// A tree prints spans, one a line, each below its parent.
type tree struct {
	strings.Builder
	addrs    []string // the nodes, in order
	start    time.Time
	children map[trace.SpanID][]sdktrace.ReadOnlySpan
	states   map[state]bool // what there was to explain
}

// writeTree writes spans, each with when it began and how long it took.
func writeTree(w io.Writer, spans []sdktrace.ReadOnlySpan, addrs []string) error {
	if len(spans) == 0 {
		return nil
	}
	spans = slices.Clone(spans)
	slices.SortStableFunc(spans, func(a, b sdktrace.ReadOnlySpan) int { return a.StartTime().Compare(b.StartTime()) })
	t := &tree{addrs: addrs, start: spans[0].StartTime(), children: map[trace.SpanID][]sdktrace.ReadOnlySpan{}, states: map[state]bool{}}
	present := map[trace.SpanID]bool{}
	for _, s := range spans {
		present[s.SpanContext().SpanID()] = true
	}
	var services []string
	roots := map[string][]sdktrace.ReadOnlySpan{}
	for _, s := range spans {
		if service := serviceOf(s); !slices.Contains(services, service) {
			services = append(services, service)
		}
		if parent := s.Parent().SpanID(); present[parent] {
			t.children[parent] = append(t.children[parent], s)
		} else {
			roots[serviceOf(s)] = append(roots[serviceOf(s)], s)
		}
	}
	t.line("begins", "takes", strings.Join(services, " and ")+" contend for the lock on "+invoice)
	for _, service := range services {
		t.line("", "", "")
		for _, s := range roots[service] {
			t.span(s, service+": ", "", time.Time{})
		}
	}
	t.explain()
	_, err := io.WriteString(w, t.String())
	return err
}

func (t *tree) line(begins, takes, text string) {
	_, _ = fmt.Fprintln(t, strings.TrimRight(fmt.Sprintf("%8s %8s  %s", begins, takes, text), " ")) // a Builder never fails
}

// span writes a span behind branch, and what is below it behind trunk. Its parent
// ended at over, if that is not zero.
func (t *tree) span(s sdktrace.ReadOnlySpan, branch, trunk string, over time.Time) {
	command := s.SpanKind() == trace.SpanKindClient
	note := outcome(s)
	if command {
		note = t.command(s, over)
	}
	t.line(inMilliseconds(s.StartTime().Sub(t.start)), inMilliseconds(s.EndTime().Sub(s.StartTime())),
		strings.TrimRight(branch+s.Name()+"  "+note, " "))
	below := t.children[s.SpanContext().SpanID()]
	for i, child := range below {
		over := s.EndTime()
		if command { // a greeting is part of the command that needs it
			over = time.Time{}
		}
		if i+1 < len(below) {
			t.span(child, trunk+"├─ ", trunk+"│  ", over)
		} else {
			t.span(child, trunk+"└─ ", trunk+"   ", over)
		}
	}
}

// command tells which node a command went to, and what is wrong with it.
func (t *tree) command(s sdktrace.ReadOnlySpan, over time.Time) string {
	addr := net.JoinHostPort(text(s, "server.address"), text(s, "server.port"))
	note := addr
	if i := slices.Index(t.addrs, addr); i >= 0 {
		note = fmt.Sprintf("node %d", i+1)
	}
	of := stateOf(s, over)
	t.states[of] = true
	switch of {
	case failed:
		return note + ", " + s.Status().Description
	case late:
		return note + ", late"
	case background:
		return note + ", afterwards"
	case inTime:
	}
	return note
}

// explain tells what the words mean that stand behind commands.
func (t *tree) explain() {
	between := "\n"
	for _, word := range []struct {
		state state
		text  string
	}{
		{late, "late: the node answered when the span above had ended, and nobody waited for it"},
		{background, "afterwards: sent when the span above had ended"},
	} {
		if t.states[word.state] {
			_, _ = fmt.Fprintln(t, between+word.text)
			between = ""
		}
	}
}
