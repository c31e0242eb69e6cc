package inspect

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/b0401464/redlock/internal/text"
	"github.com/b0401464/redlock/internal/value"
)

// String returns a line that says what follows from what the nodes have told, a table of that,
// and one of the line if somebody waits. It does not end in a line break.
func (s *State) String() string {
	first := text.Quote(s.Resource) + ": " + s.summary()
	if s.Token > 0 {
		first += fmt.Sprintf(", token %d", s.Token)
	}
	if len(s.Waiting) > 0 {
		first += fmt.Sprintf(", %d in line at node %d", len(s.Waiting), s.Gate)
	}
	lines := []string{first}
	if len(s.Nodes) > 0 {
		rows := [][]string{{"NODE", "ADDRESS", "HOLDER", "SINCE", "LEFT", "MARK", "NOTE"}}
		for i := range s.Nodes {
			rows = append(rows, s.Nodes[i].row(s.At))
		}
		lines = append(lines, text.Columns(rows)...)
	}
	if len(s.Waiting) > 0 {
		rows := [][]string{{"LINE", "WAITS", "SINCE", "MARK", "NOTE"}}
		for i, w := range s.Waiting {
			rows = append(rows, w.row(i+1, s.At))
		}
		lines = append(lines, text.Columns(rows)...)
	}
	return strings.Join(lines, "\n")
}

func (s *State) summary() string {
	switch s.Verdict {
	case Held:
		return "held by " + named(s.Holder, s.At) + s.lasts()
	case Free:
		for i := range s.Nodes {
			if s.Nodes[i].Kept {
				return "free, and kept for the next one in line"
			}
		}
		return "free"
	case Split:
		return "nobody has a majority"
	default:
		return s.doubts()
	}
}

// doubts is the summary of a state that is unknown.
func (s *State) doubts() string {
	away := 0
	for i := range s.Nodes {
		if s.Nodes[i].Err != nil {
			away++
		}
	}
	text := fmt.Sprintf("unknown, %d of %d nodes did not tell", away, len(s.Nodes))
	if s.Holder.Mark != "" {
		text += ", perhaps held by " + named(s.Holder, s.At) + s.lasts()
	}
	return text
}

func (s *State) lasts() string {
	if s.Remaining == Forever {
		return ", never free by itself as its key has no expiry"
	}
	return fmt.Sprintf(", free in %v at the latest unless extended", text.Rough(s.Remaining))
}

// named returns what names a holder that is somebody, at a moment.
func named(h value.Holder, now time.Time) string {
	if h.Owner == "" {
		return "an unnamed holder, " + h.Text(0)
	}
	return h.Text(h.Age(now))
}

func (n *NodeState) row(now time.Time) []string {
	row := []string{strconv.Itoa(n.Node), n.Addr, "nobody", "", "", n.Holder.Mark, ""}
	if n.Holder.Mark != "" {
		row[2], row[4] = cmp.Or(n.Holder.Owner, "unnamed"), "for ever"
		if !n.Holder.Since.IsZero() {
			row[3] = text.Rough(n.Holder.Age(now)).String()
		}
		if n.Remaining != Forever {
			row[4] = text.Rough(n.Remaining).String()
		}
	}
	switch {
	case n.Err != nil:
		row[2], row[6] = "?", errText(n.Err)
	case n.PartErr != nil:
		row[6] = "has not told all: " + errText(n.PartErr)
	case n.Kept:
		row[6] = "kept for the next one in line"
	}
	return row
}

func (w Waiter) row(number int, now time.Time) []string {
	row := []string{strconv.Itoa(number), cmp.Or(w.Owner, "unnamed"), "", w.Mark, ""}
	if !w.Since.IsZero() {
		row[2] = text.Rough(max(now.Sub(w.Since), 0)).String()
	}
	if w.Called {
		row[4] = "called"
	}
	return row
}

// errText returns what an error says, in one line.
func errText(err error) string { return text.OneLine(text.Shorten(err.Error())) }
