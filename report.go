package redlock

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/finding"
)

// A Report is what [Locker.Check] has found. It prints as a table with the findings below
// it, and marshals to JSON, with durations in seconds.
type Report struct {
	TTL         time.Duration // of the locks that the nodes are to keep
	NodeTimeout time.Duration // of their calls
	Nodes       []NodeReport  // in node order; several of a Cluster or a Ring, by address
	Findings    []Finding     // the worst first; none if all is well
}

// A NodeReport is what a node has told of a server. What is not known is zero.
type NodeReport struct {
	Node      int           // which of the clients given to New, from 1
	Addr      string        // host:port; empty if the client does not tell
	Product   string        // "redis", "valkey" or another one
	Version   string        // of that
	Role      string        // "primary" or "replica"
	RoundTrip time.Duration // the shortest one seen
	Ahead     time.Duration // what its clock is ahead of that of this process
	Uptime    time.Duration // in whole seconds
	Eviction  string        // its maxmemory-policy
	MaxMemory int64         // in bytes
	AOF       string        // "off", "on", "failing", or "late": writes are answered before they are on disk
	Locks     bool          // the node has granted, extended and released a lock
	Line      bool          // Lockers can wait there in line
	Release   string        // the command that releases: "script", "delex" or "delifeq"
}

// Worst returns the severity of the worst finding, zero if there is none.
func (r Report) Worst() Severity {
	worst := Severity(0)
	for _, f := range r.Findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

// newReport returns what was found.
func newReport(setup *finding.Setup, nodes []finding.Node) Report {
	r := Report{TTL: setup.TTL, NodeTimeout: setup.Timeout}
	for i := range nodes {
		n := &nodes[i]
		for _, s := range n.Servers {
			r.Nodes = append(r.Nodes, nodeReport(i, n, &s, setup.Lines))
		}
		if len(n.Servers) == 0 {
			r.Nodes = append(r.Nodes, nodeReport(i, n, &finding.Server{Addr: n.Addr}, setup.Lines))
		}
	}
	for _, f := range finding.Of(setup, nodes) {
		r.Findings = append(r.Findings, Finding{
			Code: Code(f.Code), Severity: Severity(f.Severity), Node: f.Node, Addr: told(f.Addr),
			Text: told(f.Text), Remedy: f.Remedy,
		})
	}
	return r
}

// told returns what a server has told, as a line that is not too long.
func told(text string) string { return fault.OneLine(fault.Shorten(text)) }

// aofOn is an append-only file of which no more is known.
const aofOn = "on"

func nodeReport(i int, n *finding.Node, s *finding.Server, lines bool) NodeReport {
	t := &n.Trial
	r := NodeReport{
		Node: i + 1, Addr: told(s.Addr), Product: s.Product, Version: told(s.Version), RoundTrip: n.RoundTrip,
		Uptime: s.Uptime, Eviction: told(s.Policy), MaxMemory: s.MaxMemory,
		Role:    [...]string{finding.Primary: "primary", finding.Replica: "replica"}[s.Role],
		AOF:     [...]string{finding.AOFOff: "off", finding.AOFOn: aofOn, finding.AOFDelayed: "late", finding.AOFFailing: "failing"}[s.AOF],
		Locks:   t.Granted && t.Err == nil,
		Line:    lines && t.Granted && n.Client.Listens && t.LineErr == nil && t.HearErr == nil && t.Unheard == 0 && len(t.Refused) == 0,
		Release: t.Deletes,
	}
	if s.Timed {
		r.Ahead = cmp.Or(s.Ahead, 1) // zero is what is not known
	}
	if t.Late {
		r.AOF = "late"
	}
	if r.Release == "none" {
		r.Release = "script"
	}
	return r
}

// String returns the Report for people to read, in lines of some 100 characters. Findings
// that say the same of several nodes are one there.
func (r Report) String() string {
	var b strings.Builder
	b.WriteString(r.verdict() + "\n\n")
	for _, line := range finding.Columns(r.rows()) {
		b.WriteString("  " + line + "\n")
	}
	if slices.ContainsFunc(r.Nodes, func(n NodeReport) bool { return n.AOF == aofOn }) {
		b.WriteString("\n  AOF on: INFO does not tell whether writes are on disk before the answer; see CONFIG GET appendfsync.\n")
	}
	for i, f := range r.Findings {
		if slices.ContainsFunc(r.Findings[:i], f.like) {
			continue
		}
		fmt.Fprintf(&b, "\n  %-8s%s%s\n", strings.ToUpper(f.Severity.String()), r.who(f), f.Code)
		for _, line := range finding.Wrap(f.Text, textWidth) {
			b.WriteString("          " + line + "\n")
		}
		for i, line := range finding.Wrap(f.Remedy, textWidth) {
			b.WriteString([]string{"        → ", "          "}[min(i, 1)] + line + "\n")
		}
	}
	return b.String()
}

// textWidth is how long the lines of a finding are.
const textWidth = 88

// like reports whether two findings say the same, of whichever nodes.
func (f *Finding) like(g Finding) bool {
	return f.Code == g.Code && f.Severity == g.Severity && f.Text == g.Text && f.Remedy == g.Remedy
}

// who names the nodes of which f is said, or the servers of one.
func (r Report) who(f Finding) string {
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
func (r Report) verdict() string {
	counts := make(map[Severity]int)
	majority, known, last := true, true, 0
	for _, f := range r.Findings {
		counts[f.Severity]++
		majority = majority && f.Code != CodeNoMajority
		known = known && !slices.Contains(untold, f.Code)
	}
	for _, n := range r.Nodes {
		last = max(last, n.Node)
	}
	nodes := many(last, "node")
	var found []string
	for s := SeverityBroken; s >= SeverityNote; s-- {
		if n := counts[s]; n > 0 {
			text := fmt.Sprintf("%d %v", n, s)
			if s == SeverityNote {
				text = many(n, "note")
			}
			found = append(found, text)
		}
	}
	list := strings.Join(found, ", ")
	switch worst := r.Worst(); {
	case last == 0:
		return "No node was asked."
	case worst == 0:
		return fmt.Sprintf("All is well: %s, fit for locks of %v.", nodes, r.TTL)
	case worst == SeverityNote && !known:
		return fmt.Sprintf("Fit for locks of %v, as far as it could be told: %s (%s).", r.TTL, nodes, list)
	case worst == SeverityNote:
		return fmt.Sprintf("Fit for locks of %v: %s (%s).", r.TTL, nodes, list)
	case worst == SeveritySlow:
		return fmt.Sprintf("Safe for locks of %v, but slower than need be: %s (%s).", r.TTL, nodes, list)
	case !majority:
		return fmt.Sprintf("Not fit for locks of %v: %s (%s).", r.TTL, nodes, list)
	case worst == SeverityUnsafe:
		return fmt.Sprintf("Not safe for locks of %v: %s (%s).", r.TTL, nodes, list)
	default:
		return fmt.Sprintf("Not every node is fit for locks of %v: %s (%s).", r.TTL, nodes, list)
	}
}

// rows returns the table of nodes.
func (r Report) rows() [][]string {
	rows := [][]string{{"NODE", "ADDRESS", "SERVER", "ROLE", "RTT", "CLOCK", "UP", "EVICTION", "AOF", "LOCK", "LINE", "RELEASE"}}
	for _, n := range r.Nodes {
		row := []string{strconv.Itoa(n.Node), n.Addr, strings.TrimSpace(n.Product + " " + n.Version), n.Role, "", "", "", n.Eviction, n.AOF, "no", "no", n.Release}
		if n.RoundTrip > 0 {
			row[4] = finding.Rounded(n.RoundTrip).String()
		}
		if code := r.code(n.Node, CodeUnreachable, CodeNoAnswer, CodeNoLogin); n.Version == "" && code != "" {
			row[2] = strings.ReplaceAll(string(code), "_", " ")
		}
		if n.Ahead != 0 {
			row[5] = ahead(n.Ahead)
		}
		if n.Uptime > 0 {
			row[6] = age(n.Uptime)
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
var untold = []Code{CodeNotTried, CodeIncomplete}

// code returns which of some codes a finding of a node has, the last one of several.
func (r Report) code(node int, codes ...Code) (code Code) {
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

// age returns the two largest units of d.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return d.String()
	}
}

// MarshalJSON returns an object with what the Report has and its worst severity.
func (r Report) MarshalJSON() ([]byte, error) {
	type node struct {
		Node      int     `json:"node"`
		Addr      string  `json:"addr,omitempty"`
		Product   string  `json:"product,omitempty"`
		Version   string  `json:"version,omitempty"`
		Role      string  `json:"role,omitempty"`
		RoundTrip float64 `json:"round_trip_seconds"`
		Ahead     float64 `json:"ahead_seconds"`
		Uptime    float64 `json:"uptime_seconds"`
		Eviction  string  `json:"eviction,omitempty"`
		MaxMemory int64   `json:"maxmemory_bytes"`
		AOF       string  `json:"aof,omitempty"`
		Locks     bool    `json:"locks"`
		Line      bool    `json:"line"`
		Release   string  `json:"release,omitempty"`
	}
	nodes := make([]node, len(r.Nodes))
	for i, n := range r.Nodes {
		nodes[i] = node{
			n.Node, n.Addr, n.Product, n.Version, n.Role, n.RoundTrip.Seconds(), n.Ahead.Seconds(), n.Uptime.Seconds(),
			n.Eviction, n.MaxMemory, n.AOF, n.Locks, n.Line, n.Release,
		}
	}
	return json.Marshal(struct {
		TTL         float64   `json:"ttl_seconds"`
		NodeTimeout float64   `json:"node_timeout_seconds"`
		Worst       Severity  `json:"worst"`
		Nodes       []node    `json:"nodes"`
		Findings    []Finding `json:"findings"`
	}{r.TTL.Seconds(), r.NodeTimeout.Seconds(), r.Worst(), nodes, append([]Finding{}, r.Findings...)})
}
