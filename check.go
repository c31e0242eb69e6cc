package redlock

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/b0401464/redlock/internal/check"
	"github.com/b0401464/redlock/internal/finding"
)

// Check reports whether the nodes and their clients are fit for locks of that ttl. It sends
// each node TIME and INFO, takes and releases a lock on a key of its own, and tries the
// waiting line. It needs no CONFIG and leaves nothing behind: a key that it cannot delete
// expires within ten seconds. A node that is down is a finding, not an error.
//
// Call it when a program starts, and not for each lock. It asks all nodes at once and
// returns within four node timeouts ([WithNodeTimeout]).
//
// The error matches [ErrInvalidArgument] for a ttl that [Locker.Lock] refuses,
// [ErrShutdown], or ctx's error. After the last two the Report has what was known by then.
//
// More: docs/inspect.md.
func (l *Locker) Check(ctx context.Context, ttl time.Duration) (Report, error) {
	if err := l.canLock(ctx); err != nil {
		return Report{}, err
	}
	ttl, drift, err := l.config.terms.TTL(ttl, &l.config.call.Config.Config)
	if err != nil {
		return Report{}, asInvalid(err)
	}
	if !l.locks.Count.Enter() {
		return Report{}, ErrShutdown
	}
	defer l.locks.Count.Leave()
	setup := &check.Setup{
		Setup: finding.Setup{
			TTL: ttl, Drift: drift, Timeout: l.config.call.Timeout(ttl),
			Lines: !l.config.noLine, Batches: l.config.pipeline, Fencing: l.config.call.Keep != 0,
			Scripts: !l.config.terms.NoScripts, Quarantine: l.config.terms.Quarantine,
		},
		Clients: l.locks.Nodes.Clients(), Addrs: l.addrs,
		Go: l.locks.Nodes.Go, Wall: l.locks.Clock.Wall, Stop: l.locks.Count.Closing(),
	}
	var nodes []finding.Node
	if ctx.Err() == nil {
		nodes = check.Run(ctx, setup)
	}
	report := reportOf(finding.NewReport(&setup.Setup, nodes))
	switch {
	case ctx.Err() != nil:
		return report, fmt.Errorf("redlock: check: %w", l.locks.CauseOf(ctx))
	case l.locks.Count.Closed():
		return report, ErrShutdown
	default:
		return report, nil
	}
}

// A Report is what [Locker.Check] has found. It prints as a table with the findings below
// it, and marshals to JSON, with durations in seconds.
type Report struct {
	TTL         time.Duration // of the locks that the nodes must keep
	NodeTimeout time.Duration // of their calls
	Nodes       []NodeReport  // in node order; several of a Cluster or a Ring, by address
	Findings    []Finding     // the worst first; none if all is well
}

// A NodeReport is what a node has told of its server. Fields that are not known are zero.
type NodeReport struct {
	Node      int           // which of the clients given to New, from 1
	Addr      string        // host:port; empty if the client does not tell
	Product   string        // "redis", "valkey" or another one
	Version   string        // of that
	Role      string        // "primary" or "replica"
	RoundTrip time.Duration // the shortest one seen
	Ahead     time.Duration // how far its clock is ahead of the clock of this process
	Uptime    time.Duration // in whole seconds
	Eviction  string        // its maxmemory-policy
	MaxMemory int64         // in bytes
	AOF       string        // "off", "on", "failing", or "late": writes are answered before they are on disk
	Locks     bool          // the node has granted, extended and released a lock
	Line      bool          // Lockers can wait there in line
	Release   string        // the command that releases: "script", "delex" or "delifeq"
}

// Worst returns the severity of the worst finding, zero if there is none.
//
// Do not decide by it alone whether locks are safe. One node that is down is
// [SeverityBroken], the worst, and does no harm while the others are a majority;
// [CodeNoMajority] says if they are not. Whether a lock may be lost or granted twice, the
// findings of [SeverityUnsafe] tell, and those are in Findings whatever Worst is.
func (r Report) Worst() Severity {
	worst := Severity(0)
	for _, f := range r.Findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

// String returns the Report as a table, in lines of some 100 characters, with the findings
// below it. It merges findings that say the same of several nodes. It does not end in a line
// break.
func (r Report) String() string { return r.plain().String() }

// MarshalJSON returns an object with the fields of the Report and its worst severity.
func (r Report) MarshalJSON() ([]byte, error) { return json.Marshal(r.plain()) }

// reportOf returns what was found as the program sees it.
func reportOf(p *finding.Report) Report {
	r := Report{TTL: p.TTL, NodeTimeout: p.NodeTimeout}
	for i := range p.Nodes {
		r.Nodes = append(r.Nodes, NodeReport(p.Nodes[i]))
	}
	for _, f := range p.Findings {
		r.Findings = append(r.Findings, Finding{Code(f.Code), Severity(f.Severity), f.Node, f.Addr, f.Text, f.Remedy})
	}
	return r
}

// plain returns r as what prints it.
func (r Report) plain() *finding.Report {
	p := &finding.Report{TTL: r.TTL, NodeTimeout: r.NodeTimeout}
	for i := range r.Nodes {
		p.Nodes = append(p.Nodes, finding.NodeReport(r.Nodes[i]))
	}
	for _, f := range r.Findings {
		p.Findings = append(p.Findings, finding.Finding{
			Code: string(f.Code), Severity: finding.Severity(f.Severity), Node: f.Node, Addr: f.Addr, Text: f.Text, Remedy: f.Remedy,
		})
	}
	return p
}

// A Finding is something wrong with the set-up, or worth knowing about it.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Node     int      `json:"node,omitempty"` // from 1; 0 if it is about no single node
	Addr     string   `json:"addr,omitempty"` // of the server
	Text     string   `json:"text"`           // a sentence that says what is wrong
	Remedy   string   `json:"remedy"`         // and one that says what to do
}

// A Code names what a [Finding] is about.
type Code string

// Codes of findings. There are no others.
const (
	CodeUnreachable   Code = "unreachable"    // the client cannot get to the node
	CodeNoAnswer      Code = "no_answer"      // a command has had no answer within the node timeout
	CodeNoLogin       Code = "no_login"       // the user name or the password is wrong
	CodeNoMajority    Code = "no_majority"    // too few nodes grant locks
	CodeNoScripts     Code = "no_scripts"     // the user cannot run scripts
	CodeNoLocks       Code = "no_locks"       // a lock could not be taken, extended or released
	CodeSentinel      Code = "sentinel"       // the address is that of a Sentinel
	CodeClusterMember Code = "cluster_member" // one server of a Cluster, behind a client for one
	CodeReplica       Code = "replica"        // a replica, also of another node
	CodeSameServer    Code = "same_server"    // two clients lead to one server
	CodeForgets       Code = "forgets"        // a key that had just been set was gone
	CodeEvicts        Code = "evicts"         // maxmemory-policy can evict locks
	CodeNoAOF         Code = "no_aof"         // no append-only file
	CodeAOFLate       Code = "aof_late"       // answers before a write is on disk
	CodeAOFFails      Code = "aof_fails"      // the append-only file could not be written
	CodeRestarted     Code = "restarted"      // up for less than the TTL
	CodeActiveActive  Code = "active_active"  // writes at several sites
	CodeGarnet        Code = "garnet"         // may not run a script in one step
	CodeFailsOver     Code = "fails_over"     // the only node is a Cluster, a Sentinel group or a Ring
	CodeFar           Code = "far"            // too far away for the node timeout, or the TTL
	CodeNoLine        Code = "no_line"        // cannot keep a waiting line
	CodeNoMessages    Code = "no_messages"    // waiters in line are not told
	CodeReadTimeout   Code = "read_timeout"   // that of the client is shorter than the node timeout
	CodeSmallPool     Code = "small_pool"     // few connections
	CodeClock         Code = "clock"          // off by more than a second
	CodeEvenNodes     Code = "even_nodes"     // an even number of nodes
	CodeNoInfo        Code = "no_info"        // INFO is refused, or does not tell all
	CodeNotTried      Code = "not_tried"      // the user may not use the key of Check
	CodeIncomplete    Code = "incomplete"     // Check ended before the node had told all
)

// A Severity says how bad a [Finding] is: the larger, the worse. Zero is the severity of a
// Report without findings.
type Severity uint8

// Severities.
const (
	SeverityNote   Severity = iota + 1 // worth knowing
	SeveritySlow                       // locks are safe, and take longer than they need
	SeverityUnsafe                     // a lock may be lost or granted twice
	SeverityBroken                     // the node grants no locks
)

// String returns "note", "slow", "unsafe", "broken", or "none" for zero.
func (s Severity) String() string { return finding.Severity(s).String() }

// MarshalText returns what String does.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the text of MarshalText.
func (s *Severity) UnmarshalText(text []byte) error {
	severity, err := finding.ReadSeverity(string(text))
	if err != nil {
		return asInvalid(err)
	}
	*s = Severity(severity)
	return nil
}
