package finding

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/b0401464/redlock/internal/text"
)

// String returns the Report for people to read, in lines of some 100 characters. Findings
// that say the same of several nodes are one there. It does not end in a line break.
func (r *Report) String() string {
	lines := []string{r.verdict()}
	if len(r.Nodes) > 0 {
		lines = append(lines, "")
		for _, line := range text.Columns(r.rows()) {
			lines = append(lines, "  "+line)
		}
	}
	if slices.ContainsFunc(r.Nodes, func(n NodeReport) bool { return n.AOF == aofOn }) {
		lines = append(lines, "", "  AOF on: INFO does not tell whether writes are on disk before the answer; see CONFIG GET appendfsync.")
	}
	for i, f := range r.Findings {
		if slices.ContainsFunc(r.Findings[:i], f.like) {
			continue
		}
		lines = append(lines, "", fmt.Sprintf("  %-8s%s%s", strings.ToUpper(f.Severity.String()), r.who(f), f.Code))
		for _, line := range text.Wrap(f.Text, textWidth) {
			lines = append(lines, "          "+line)
		}
		for i, line := range text.Wrap(f.Remedy, textWidth) {
			lines = append(lines, []string{"        → ", "          "}[min(i, 1)]+line)
		}
	}
	return strings.Join(lines, "\n")
}

// textWidth is how long the lines of a finding are.
const textWidth = 88

// like reports whether two findings say the same, of whichever nodes.
func (f *Finding) like(g Finding) bool {
	return f.Code == g.Code && f.Severity == g.Severity && f.Text == g.Text && f.Remedy == g.Remedy
}

// who names the nodes of which f is said, or the servers of one.
func (r *Report) who(f Finding) string {
	var nodes, addrs []string
	for _, g := range r.Findings {
		if g.Node > 0 && f.like(g) {
			nodes = append(nodes, strconv.Itoa(g.Node))
			addrs = append(addrs, g.Addr)
		}
	}
	nodes = slices.Compact(nodes)
	switch list := strings.Join(addrs, ", "); {
	case len(nodes) == 0:
		return ""
	case len(nodes) > 1:
		last := len(nodes) - 1
		return "nodes " + strings.Join(nodes[:last], ", ") + " and " + nodes[last] + ": "
	case list == "":
		return "node " + nodes[0] + ": "
	default:
		return "node " + nodes[0] + " (" + list + "): "
	}
}

// verdict returns the first line.
func (r *Report) verdict() string {
	counts := make(map[Severity]int)
	majority, known, last := true, true, 0
	for _, f := range r.Findings {
		counts[f.Severity]++
		majority = majority && f.Code != NoMajority
		known = known && !slices.Contains(untold, f.Code)
	}
	for _, n := range r.Nodes {
		last = max(last, n.Node)
	}
	nodes := text.Many(last, "node")
	var found []string
	for s := Broken; s >= Note; s-- {
		if n := counts[s]; n > 0 {
			count := fmt.Sprintf("%d %v", n, s)
			if s == Note {
				count = text.Many(n, "note")
			}
			found = append(found, count)
		}
	}
	list := strings.Join(found, ", ")
	switch worst := r.worst(); {
	case last == 0:
		return "No node was asked."
	case worst == 0:
		return fmt.Sprintf("All is well: %s, fit for locks of %v.", nodes, r.TTL)
	case worst == Note && !known:
		return fmt.Sprintf("Fit for locks of %v, as far as it could be told: %s (%s).", r.TTL, nodes, list)
	case worst == Note:
		return fmt.Sprintf("Fit for locks of %v: %s (%s).", r.TTL, nodes, list)
	case worst == Slow:
		return fmt.Sprintf("Safe for locks of %v, but slower than need be: %s (%s).", r.TTL, nodes, list)
	case !majority:
		return fmt.Sprintf("Not fit for locks of %v: %s (%s).", r.TTL, nodes, list)
	case worst == Unsafe:
		return fmt.Sprintf("Not safe for locks of %v: %s (%s).", r.TTL, nodes, list)
	default:
		return fmt.Sprintf("Not every node is fit for locks of %v: %s (%s).", r.TTL, nodes, list)
	}
}

// rows returns the table of nodes.
func (r *Report) rows() [][]string {
	rows := [][]string{{"NODE", "ADDRESS", "SERVER", "ROLE", "RTT", "CLOCK", "UP", "EVICTION", "AOF", "LOCK", "LINE", "RELEASE"}}
	for _, n := range r.Nodes {
		row := []string{strconv.Itoa(n.Node), n.Addr, strings.TrimSpace(n.Product + " " + n.Version), n.Role, "", "", "", n.Eviction, n.AOF, "no", "no", n.Release}
		if n.RoundTrip > 0 {
			row[4] = text.Rounded(n.RoundTrip).String()
		}
		if code := r.code(n.Node, Unreachable, NoAnswer, NoLogin); n.Version == "" && code != "" {
			row[2] = strings.ReplaceAll(code, "_", " ")
		}
		if n.Ahead != 0 {
			row[5] = ahead(n.Ahead)
		}
		if n.Uptime > 0 {
			row[6] = text.Age(n.Uptime)
		}
		if r.code(n.Node, untold...) != "" {
			row[9], row[10] = "?", "?"
		}
		if n.Locks {
			row[9] = "yes"
		}
		if n.Line {
			row[10] = "yes"
		}
		rows = append(rows, row)
	}
	return rows
}

// untold are the codes of nodes that have not told whether they grant locks.
var untold = []string{NotTried, Incomplete}

// code returns which of some codes a finding of a node has, the last one of several.
func (r *Report) code(node int, codes ...string) (code string) {
	for _, f := range r.Findings {
		if f.Node == node && slices.Contains(codes, f.Code) {
			code = f.Code
		}
	}
	return code
}

// ahead returns what a clock is ahead, or that it is right as far as that matters.
func ahead(d time.Duration) string {
	if d.Abs() < 10*time.Millisecond {
		return "ok"
	}
	return fmt.Sprintf("%+.2fs", d.Seconds())
}
