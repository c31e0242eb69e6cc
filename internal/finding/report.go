package finding

import (
	"cmp"
	"encoding/json"
	"time"

	"github.com/b0401464/redlock/internal/text"
)

// A Report is what a check has found, for people and programs to read.
type Report struct {
	TTL         time.Duration
	NodeTimeout time.Duration
	Nodes       []NodeReport // in node order; several of a Cluster or a Ring
	Findings    []Finding    // the worst first
}

// A NodeReport is what a node has told of a server. What is not known is zero.
type NodeReport struct {
	Node      int // from 1
	Addr      string
	Product   string
	Version   string
	Role      string // "primary" or "replica"
	RoundTrip time.Duration
	Ahead     time.Duration // what its clock is ahead
	Uptime    time.Duration
	Eviction  string
	MaxMemory int64
	AOF       string // "off", "on", "failing" or "late"
	Locks     bool   // the node has granted, extended and released a lock
	Line      bool   // Lockers can wait there in line
	Release   string // the command that releases
}

// NewReport returns what is known of the nodes, and what follows from that.
func NewReport(setup *Setup, nodes []Node) *Report {
	r := &Report{TTL: setup.TTL, NodeTimeout: setup.Timeout}
	for i := range nodes {
		n := &nodes[i]
		for _, s := range n.Servers {
			r.Nodes = append(r.Nodes, nodeReport(i, n, &s, setup.Lines))
		}
		if len(n.Servers) == 0 {
			r.Nodes = append(r.Nodes, nodeReport(i, n, &Server{Addr: n.Addr}, setup.Lines))
		}
	}
	for _, f := range Of(setup, nodes) {
		f.Addr, f.Text = told(f.Addr), told(f.Text)
		r.Findings = append(r.Findings, f)
	}
	return r
}

// told returns what a server has told, as a line that is not too long.
func told(s string) string { return text.OneLine(text.Shorten(s)) }

// aofOn is an append-only file of which no more is known.
const aofOn = "on"

func nodeReport(i int, n *Node, s *Server, lines bool) NodeReport {
	t := &n.Trial
	r := NodeReport{
		Node: i + 1, Addr: told(s.Addr), Product: s.Product, Version: told(s.Version), RoundTrip: n.RoundTrip,
		Uptime: s.Uptime, Eviction: told(s.Policy), MaxMemory: s.MaxMemory,
		Role:    [...]string{Primary: "primary", Replica: "replica"}[s.Role],
		AOF:     [...]string{AOFOff: "off", AOFOn: aofOn, AOFDelayed: "late", AOFFailing: "failing"}[s.AOF],
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

// worst returns the severity of the worst finding, 0 if there is none.
func (r *Report) worst() Severity {
	worst := Severity(0)
	for i := range r.Findings {
		worst = max(worst, r.Findings[i].Severity)
	}
	return worst
}

// MarshalJSON returns an object with what the Report has and its worst severity.
func (r *Report) MarshalJSON() ([]byte, error) {
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
	}{r.TTL.Seconds(), r.NodeTimeout.Seconds(), r.worst(), nodes, append([]Finding{}, r.Findings...)})
}
