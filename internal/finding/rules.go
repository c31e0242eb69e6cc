package finding

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/script"
)

// A Finding is something that is not as it should be.
type Finding struct {
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	Node     int      `json:"node,omitempty"` // from 1; 0 for what is of no single node
	Addr     string   `json:"addr,omitempty"` // of the server
	Text     string   `json:"text"`           // a sentence
	Remedy   string   `json:"remedy"`         // another one
}

// Codes of findings.
const (
	Unreachable   = "unreachable"
	NoAnswer      = "no_answer"
	NoLogin       = "no_login"
	NoMajority    = "no_majority"
	NoScripts     = "no_scripts"
	NoLocks       = "no_locks"
	Sentinel      = "sentinel"
	ClusterMember = "cluster_member"
	IsReplica     = "replica"
	SameServer    = "same_server"
	Forgets       = "forgets"
	Evicts        = "evicts"
	NoAOF         = "no_aof"
	AOFLate       = "aof_late"
	AOFFails      = "aof_fails"
	Restarted     = "restarted"
	ActiveActive  = "active_active"
	Garnet        = "garnet"
	FailsOver     = "fails_over"
	Far           = "far"
	NoLine        = "no_line"
	NoMessages    = "no_messages"
	ReadTimeout   = "read_timeout"
	SmallPool     = "small_pool"
	ClockOff      = "clock"
	EvenNodes     = "even_nodes"
	NoInfo        = "no_info"
	NotTried      = "not_tried"
	Incomplete    = "incomplete"
)

// Codes returns all of them.
func Codes() []string {
	all := []string{NoMajority, EvenNodes, ClockOff}
	for _, r := range slices.Concat(nodeRules, serverRules) {
		if !slices.Contains(all, r.code) {
			all = append(all, r.code)
		}
	}
	return all
}

// A verdict is what a rule says; no severity means nothing.
type verdict struct {
	severity     Severity
	text, remedy string
}

// A rule looks at a node, and of its servers at one.
type rule struct {
	code string
	look func(f *facts, n *Node, s *Server) verdict
}

// facts are all that the rules know.
type facts struct {
	*Setup

	nodes []Node
	ahead time.Duration // what the nodes' clocks are ahead of that of this process, if most agree
}

// Of returns what is to be said of the nodes, the worst first, then by node.
func Of(s *Setup, nodes []Node) []Finding {
	if len(nodes) == 0 {
		return nil
	}
	f := &facts{Setup: s, nodes: nodes}
	all := f.ofAll()
	for i := range nodes {
		n := &nodes[i]
		add := func(code, addr string, v verdict) {
			if v.severity != 0 {
				all = append(all, Finding{code, v.severity, i + 1, addr, v.text, v.remedy})
			}
		}
		for _, r := range nodeRules {
			add(r.code, n.Addr, r.look(f, n, nil))
		}
		for j := range n.Servers {
			for _, r := range serverRules {
				add(r.code, n.Servers[j].Addr, r.look(f, n, &n.Servers[j]))
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return int(b.Severity) - int(a.Severity) })
	return all
}

// ofAll returns what is of no single node.
func (f *facts) ofAll() []Finding {
	var all []Finding
	add := func(code string, severity Severity, text, remedy string) {
		all = append(all, Finding{Code: code, Severity: severity, Text: text, Remedy: remedy})
	}
	n, grant := len(f.nodes), 0
	for i := range f.nodes {
		// What was not tried may work.
		if t := &f.nodes[i].Trial; t.Granted && t.Err == nil || t.Denied != nil || f.nodes[i].Cut {
			grant++
		}
	}
	if need := quorum.Size(n); grant < need {
		add(NoMajority, Broken, fmt.Sprintf("%d of %d nodes can grant a lock; the majority is %d, so nobody gets one.", grant, n, need),
			"See what else is found of the nodes that cannot.")
	}
	if n%2 == 0 {
		add(EvenNodes, Note, fmt.Sprintf("%d nodes tolerate the loss of %d, no more than %d would.", n, quorum.Spare(n), n-1),
			"Use an odd number of nodes.")
	}
	if f.ahead = f.commonClock(); f.ahead.Abs() > maxAhead {
		v := f.clockVerdict("The clock of this process", -f.ahead, "those of most nodes")
		add(ClockOff, v.severity, v.text, "Synchronize the clock of this machine.")
	}
	return all
}

// commonClock returns what most nodes' clocks are ahead of that of this process, if three or
// more have told and most of them agree; else 0, as nobody can tell which one is wrong.
func (f *facts) commonClock() time.Duration {
	var all []time.Duration
	for i := range f.nodes {
		for _, s := range f.nodes[i].Servers {
			if s.Timed {
				all = append(all, s.Ahead)
			}
		}
	}
	if len(all) < 3 {
		return 0
	}
	slices.Sort(all)
	middle, agree := all[len(all)/2], 0
	for _, d := range all {
		if (d - middle).Abs() <= maxAhead {
			agree++
		}
	}
	if agree < quorum.Size(len(all)) {
		return 0
	}
	return middle
}

// maxAhead is how far clocks may be apart, with what cannot be told because of the way.
const maxAhead = time.Second

// clockVerdict is what follows from a clock.
func (f *facts) clockVerdict(whose string, ahead time.Duration, of string) verdict {
	direction := "ahead of"
	if ahead < 0 {
		direction = "behind"
	}
	v := verdict{
		Note, fmt.Sprintf("%s is %v %s %s.", whose, ahead.Abs().Round(time.Second/10), direction, of),
		"Synchronize the clocks, and have them slewed and not stepped, as a step ends locks early or late.",
	}
	if f.Fencing {
		v.severity = Unsafe
		v.remedy = "Synchronize the clocks: they make up for fencing counters that a node has lost."
	}
	return v
}

// LoginRefused reports whether a node has refused to let the user in.
func LoginRefused(err error) bool {
	code := client.ErrorType(err)
	return err != nil && client.IsReply(err) && (code == "NOAUTH" || code == "WRONGPASS")
}

// KeyDenied reports whether the user may not use a key.
func KeyDenied(err error) bool {
	return err != nil && client.ErrorType(err) == "NOPERM" && strings.Contains(err.Error(), "access") && strings.Contains(err.Error(), "key")
}

// noScripts reports whether the node runs no scripts, or the user may not run them.
func (t *Trial) noScripts() bool {
	return t.Script && !KeyDenied(t.Err) && (client.Unknown(t.Err) || client.IsReply(t.Err) && strings.Contains(t.Err.Error(), "Lua scripting"))
}

// lacks reports whether the node lacks what a Locker without scripts takes.
func (f *facts) lacks(err error) bool {
	return !f.Scripts && (client.Unknown(err) || client.IsReply(err) && strings.Contains(err.Error(), "syntax error"))
}

// waits reports whether the node grants nothing yet, as its server was started a short time ago.
func (t *Trial) waits() bool {
	return client.ErrorType(t.Err) == "QUARANTINE" && !strings.Contains(t.Err.Error(), script.NoUptime)
}

// remembers reports whether a restart does no harm, whatever a server keeps on its disk.
func (f *facts) remembers() bool { return f.Quarantine >= f.TTL }

// why returns the text of an error for the end of a sentence, without where in a script it was.
func why(err error) string {
	text, _, _ := strings.Cut(err.Error(), " script: ")
	return strings.TrimRight(text, ". ")
}

// listed returns names as a part of a sentence.
func listed(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// Refuses reports whether the user may not do what a line needs.
func (t *Trial) Refuses(name string) bool { return slices.Contains(t.Refused, name) }

// who names a node.
func (f *facts) who(i int) string {
	if addr := f.nodes[i].Addr; addr != "" {
		return fmt.Sprintf("node %d (%s)", i+1, addr)
	}
	return fmt.Sprintf("node %d", i+1)
}
