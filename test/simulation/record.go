package simulation

import (
	"slices"
	"strings"
	"time"
)

// A value is a random value of the library, one for each attempt to lock, at one
// resource, and what became of it on the nodes.
type value struct {
	w        *world
	text     string
	number   int // for the log
	resource string
	spans    []*span
	votes    []vote // for extensions
	calls    []*call
	hold     *hold   // nil if the attempt did not succeed
	waiter   *waiter // whose attempt it is; nil if it is none
}

// A span is the time that a value was on a node without a break.
type span struct {
	node    int
	value   *value
	from    time.Time
	open    bool
	to      time.Time // unless it is open
	expires time.Time
	why     ended
	late    bool // set by a request whose connection the client had closed
	// restored says that a replica had it that was behind, and would until when the
	// master would have had it.
	restored bool
	would    time.Time
	// stretched says that such a request has made it last longer.
	stretched bool
}

// ended is why a span ended.
type ended struct {
	by      *command // it was removed, or replaced
	expired bool
	lost    bool // with the node's data
}

func (e ended) String() string {
	switch {
	case e.expired:
		return "expired"
	case e.lost:
		return "lost with the node's data"
	case e.by != nil:
		return e.by.op.String()
	default:
		return "for no reason"
	}
}

// covers reports whether the value was there right after t.
func (s *span) covers(t time.Time) bool {
	end := s.to
	if s.open {
		end = s.expires
	}
	return !s.from.After(t) && end.After(t)
}

// A vote is a node's yes to an extension.
type vote struct {
	node int
	at   time.Time
}

// A call is a command as the library sees it: with go-redis' repetitions.
type call struct {
	process *process
	node    int
	op      op
	ttl     time.Duration
	about   []*value
	from    time.Time
	to      time.Time // zero while it is under way
	err     error
	denied  bool // a release was told that the value was not there
	refused bool // a SET with NX was
}

// breaks returns when nodes ceased to have the value, within (from, to).
func (v *value) breaks(from, to time.Time) []time.Time {
	var all []time.Time
	for _, s := range v.spans {
		if end := s.to; !s.open && end.After(from) && end.Before(to) {
			all = append(all, end)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// applied notes what a node has done.
func (w *world) applied(n *node, m *message, c *command, answer string) {
	if c.op == other {
		return
	}
	w.stats.Commands++
	if m.conn.closed {
		w.stats.Copies++
	}
	for _, v := range w.valuesOf(c) {
		if c.op == extend && c.ttl > 0 && (strings.HasPrefix(answer, ":") && !strings.HasPrefix(answer, ":-") || answer == "+OK\r\n") {
			v.votes = append(v.votes, vote{n.id, time.Now()})
		}
		w.events = append(w.events, event{
			at: time.Now(), kind: evApplied, node: n.id, process: m.conn.link.process.id, value: v,
			command: c, late: m.conn.closed, text: answer,
		})
	}
}

// sent notes a request that sets out.
func (w *world) sent(m *message, takes time.Duration) {
	w.count(m, takes)
	if m.fate == arrives && takes < sec {
		return
	}
	for i := range m.commands {
		c := &m.commands[i]
		for _, v := range w.valuesOf(c) {
			w.events = append(w.events, event{
				at: time.Now(), kind: evSent, node: m.conn.link.node.id, process: m.conn.link.process.id,
				value: v, command: c, fate: m.fate, takes: takes,
			})
		}
	}
}

func (w *world) count(m *message, takes time.Duration) {
	if takes >= sec || m.back >= sec {
		w.stats.Delayed++
	}
	switch m.fate {
	case isLost, losesReply:
		w.stats.Hung++
	case isCut:
		w.stats.Cut++
	case resetsAfter:
		w.stats.Reset++
	default:
	}
}

// answered notes a reply that has arrived. What it changes for a lock has
// changed when nothing moves any more at this instant.
func (w *world) answered(m *message) {
	for i := range m.commands {
		c := &m.commands[i]
		if c.op != extend {
			continue
		}
		for _, v := range w.valuesOf(c) {
			if h := v.hold; h != nil {
				time.AfterFunc(time.Nanosecond, h.sample)
			}
		}
	}
}
