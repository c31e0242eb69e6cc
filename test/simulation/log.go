package simulation

import (
	"fmt"
	"strings"
	"time"
)

type eventKind uint8

const (
	evNote eventKind = iota
	evSent
	evApplied
	evFailed
)

// An event is a line of the log, not yet written out: most never are.
type event struct {
	at      time.Time
	kind    eventKind
	node    int
	process int
	value   *value // nil: the line is about everything
	command *command
	fate    fate
	takes   time.Duration
	late    bool
	format  string
	args    []any
	text    string
}

// log notes something that happened to nobody in particular.
func (w *world) log(format string, args ...any) {
	w.events = append(w.events, event{at: time.Now(), format: format, args: args})
}

// tell notes something about a lock.
func (w *world) tell(v *value, format string, args ...any) {
	w.events = append(w.events, event{at: time.Now(), value: v, format: format, args: args})
}

var fates = [...]string{
	arrives: "will arrive", isLost: "is lost, the connection hangs", isCut: "is lost, the connection is reset",
	losesReply: "will arrive, its reply is lost and the connection hangs", resetsAfter: "will arrive, then the connection is reset",
}

func (e *event) line(began time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%14.6f s  ", e.at.Sub(began).Seconds())
	if e.value != nil {
		fmt.Fprintf(&b, "%s #%d: ", e.value.resource, e.value.number)
	}
	switch e.kind {
	case evNote:
		fmt.Fprintf(&b, e.format, e.args...)
	case evSent:
		fmt.Fprintf(&b, "%s from process %d to node %d takes %v and %s", e.command.op, e.process, e.node, e.takes, fates[e.fate])
	case evApplied:
		fmt.Fprintf(&b, "node %d runs %s of process %d: ", e.node, e.command.op, e.process)
		if e.command.ttl > 0 {
			fmt.Fprintf(&b, "%v: ", e.command.ttl)
		}
		if e.command.gate {
			fmt.Fprintf(&b, "%s: ", strings.Join(e.command.args[7:], " "))
		}
		b.WriteString(strings.Join(strings.Fields(e.text), " "))
		if e.late {
			b.WriteString(" (the client has closed the connection)")
		}
	case evFailed:
		fmt.Fprintf(&b, "process %d gives up %s on node %d: %s", e.process, e.command.op, e.node, e.text)
	}
	return b.String()
}

// maxLines bounds the part of the log that is shown.
const maxLines = 400

// excerpt returns the part of the log that v is about: everything on its
// resource, and the faults, from somewhat before it began.
func (w *world) excerpt(v Violation) string {
	from, to := v.from.Add(-5*time.Second), v.to.Add(100*time.Millisecond)
	var lines []string
	for i := range w.events {
		e := &w.events[i]
		if e.at.Before(from) || e.at.After(to) || (e.value != nil && v.on != "" && e.value.resource != v.on) {
			continue
		}
		lines = append(lines, e.line(w.began))
	}
	if cut := len(lines) - maxLines; cut > 0 {
		lines = append([]string{fmt.Sprintf("… %d lines before", cut)}, lines[cut:]...)
	}
	return strings.Join(lines, "\n")
}
