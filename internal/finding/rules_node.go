package finding

import (
	"fmt"
	"strings"
	"time"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/script"
	"github.com/b0401464/redlock/internal/text"
)

// nodeRules look at a node as a whole. The order is that of findings of one severity.
var nodeRules = []rule{
	{Unreachable, func(_ *facts, n *Node, _ *Server) verdict {
		if n.Err == nil || LoginRefused(n.Err) {
			return verdict{}
		}
		return verdict{Broken, fmt.Sprintf("The node cannot be reached: %s.", why(n.Err)), "Start its server, or correct its address."}
	}},
	{NoAnswer, func(_ *facts, n *Node, _ *Server) verdict {
		if n.Silent == 0 {
			return verdict{}
		}
		what := "The node has not answered within"
		if n.Answered {
			what = "The node has answered, and then no more within"
		}
		return verdict{
			Broken, fmt.Sprintf("%s %v.", what, n.Silent),
			"See whether its server or the network to it hangs; if it is only far away, use a longer node timeout or TTL.",
		}
	}},
	{NoLogin, func(_ *facts, n *Node, _ *Server) verdict {
		if !LoginRefused(n.Err) {
			return verdict{}
		}
		return verdict{Broken, fmt.Sprintf("The node does not let this user in: %s.", why(n.Err)), "Correct the user name and the password."}
	}},
	{NoScripts, func(_ *facts, n *Node, _ *Server) verdict {
		t := &n.Trial
		if t.Err == nil || !t.noScripts() {
			return verdict{}
		}
		return verdict{Broken, fmt.Sprintf("This user cannot run scripts there: %s.", why(t.Err)), "Grant +eval and +evalsha, and enable scripts in the server; only programs can do without, by WithoutScripts."}
	}},
	{NoLocks, func(f *facts, n *Node, _ *Server) verdict {
		t := &n.Trial
		if t.Err == nil || t.noScripts() || t.waits() || n.replica() || n.is(sentinel) {
			return verdict{}
		}
		what := map[string]string{Take: "grant", Extend: "extend", Release: "release"}[t.Step]
		remedy := remedyFor(t.Err)
		switch code := client.ErrorType(t.Err); {
		case code == "QUARANTINE":
			remedy = "Do without the restart quarantine, or use a server whose INFO has uptime_in_seconds."
		case f.Quarantine > 0 && code == "CROSSSLOT":
			remedy = "Do without the restart quarantine, which is for single servers and not for a Cluster."
		case f.lacks(t.Err):
			remedy = "Use Redis 8.4 or Valkey 9.0, and grant +set +get +pttl +delex, or +delifeq on Valkey; or do without WithoutScripts."
		}
		return verdict{Broken, fmt.Sprintf("The node does not %s a lock: %s.", what, why(t.Err)), remedy}
	}},
	{Restarted, func(_ *facts, n *Node, _ *Server) verdict {
		if !n.Trial.waits() {
			return verdict{}
		}
		return verdict{Note, fmt.Sprintf("By the restart quarantine the node grants no locks yet: %s.", why(n.Trial.Err)), "Wait until that is over."}
	}},
	{SameServer, func(f *facts, n *Node, _ *Server) verdict {
		i := n.Trial.Same - 1
		if i < 0 {
			return verdict{}
		}
		return verdict{Unsafe, fmt.Sprintf("The node is the same database as %s: there is one vote for both.", f.who(i)), remedyApart}
	}},
	{Forgets, func(_ *facts, n *Node, _ *Server) verdict {
		if !n.Trial.Forgot {
			return verdict{}
		}
		return verdict{
			Unsafe, "A key that the node had just set was not there any more.",
			"See whether its address leads to several servers, as that of a load balancer does, and give each client one of its own.",
		}
	}},
	{AOFLate, func(f *facts, n *Node, _ *Server) verdict {
		if !n.Trial.Late || f.remembers() {
			return verdict{}
		}
		return verdict{Unsafe, "The node answers before a lock is on disk, so a crash of its machine can forget it.", remedyAOF}
	}},
	{FailsOver, func(f *facts, n *Node, _ *Server) verdict {
		kind := ""
		switch {
		case len(f.nodes) > 1:
		case n.Client.Spread == client.BySlot:
			kind = "a Cluster, which can lose a lock when a replica takes over"
		case n.Client.Spread == client.ByTag:
			kind = "a Ring, which loses a lock when its key moves to another server"
		case n.Client.Failover:
			kind = "a Sentinel group, which can lose a lock when a replica takes over"
		}
		if kind == "" {
			return verdict{}
		}
		return verdict{Unsafe, fmt.Sprintf("The only node is %s.", kind), "Use three nodes that are independent of each other, or fencing tokens."}
	}},
	{Far, far},
	{NoLine, func(f *facts, n *Node, _ *Server) verdict {
		t := &n.Trial
		var reason string
		var refused []string
		for _, name := range t.Refused {
			if name != "publish" {
				refused = append(refused, name)
			}
		}
		switch {
		case !f.Lines || !t.Granted:
		case !n.Client.Listens:
			return verdict{
				Slow, "The client cannot listen, so calls that wait for a lock poll where this node keeps the line.",
				"Give New a client of go-redis that has Subscribe, and no Ring.",
			}
		case t.LineErr != nil:
			reason = why(t.LineErr)
		case len(refused) > 0:
			reason = "it may not run " + listed(refused)
		}
		if reason == "" {
			return verdict{}
		}
		return verdict{
			Slow, fmt.Sprintf("This user cannot keep a waiting line there, so calls that wait for a lock poll: %s.", reason),
			"Grant the second line of the ACL at " + aclAt + ".",
		}
	}},
	{NoMessages, func(f *facts, n *Node, _ *Server) verdict {
		t := &n.Trial
		reason := ""
		switch {
		case !f.Lines || !t.Granted:
		case t.HearErr != nil:
			reason = why(t.HearErr)
		case t.Refuses("publish"):
			return verdict{
				Slow, "Scripts may not run publish there, so the client tells a waiting Locker that it is next, if it may: a round trip more.",
				"Grant +publish and &redlock:*, unless the server refuses it in all scripts.",
			}
		case t.Unheard > 0:
			return verdict{
				Slow, fmt.Sprintf("A message to a waiting Locker did not arrive within %v, so calls that wait for a lock poll.", t.Unheard),
				"See whether PUBLISH and SUBSCRIBE pass what lies in between, such as a proxy.",
			}
		}
		if reason == "" {
			return verdict{}
		}
		return verdict{
			Slow, fmt.Sprintf("A waiting Locker cannot be told that it is next, so it looks often by itself: %s.", reason),
			"Grant +publish, +subscribe and &redlock:*.",
		}
	}},
	{ReadTimeout, func(f *facts, n *Node, _ *Server) verdict {
		if t := n.Client.ReadTimeout; t == 0 || t >= f.Timeout {
			return verdict{}
		}
		return verdict{
			Slow, fmt.Sprintf("The client's ReadTimeout of %v is shorter than the node timeout of %v.", n.Client.ReadTimeout, f.Timeout),
			fmt.Sprintf("Set ReadTimeout, or read_timeout in a URL, to at least %v.", f.Timeout),
		}
	}},
	{SmallPool, func(f *facts, n *Node, _ *Server) verdict {
		if c := n.Client; !c.Known || f.Batches && c.Own || c.Connections == 0 || c.Connections >= fewConnections {
			return verdict{}
		}
		return verdict{
			Slow, fmt.Sprintf("The client makes at most %d connections, and each command takes one.", n.Client.Connections),
			"Set PoolSize, or pool_size in a URL, to more than the resources that are locked at the same moment; programs can use WithAutoPipeline.",
		}
	}},
	{NotTried, func(f *facts, n *Node, _ *Server) verdict {
		if n.Trial.Denied == nil {
			return verdict{}
		}
		remedy := "Grant ~redlock:check:* and ~{redlock:check:*}:redlock:* for it."
		if f.Quarantine > 0 {
			remedy = "Grant ~redlock:check:*, ~{redlock:check:*}:redlock:* and ~" + script.Up + " for it."
		}
		return verdict{
			Note, fmt.Sprintf("No lock was tried, as this user may not use the key of the check: %s.", why(n.Trial.Denied)),
			remedy,
		}
	}},
	{Incomplete, func(_ *facts, n *Node, _ *Server) verdict {
		if !n.Cut {
			return verdict{}
		}
		return verdict{Note, "The check was over before the node had told all.", "Check again with a longer node timeout or TTL."}
	}},
}

// fewConnections is what go-redis makes for one processor.
const fewConnections = 10

const (
	remedyApart = "Use servers that fail independently of each other, and each of them once."
	remedyAOF   = "Set appendonly yes and appendfsync always, or have all that lock there use a restart quarantine of the longest TTL (WithRestartQuarantine, or redlock run --quarantine)."
)

// far judges how far away a node is.
func far(f *facts, n *Node, _ *Server) verdict {
	trip, least := n.RoundTrip, 4*n.RoundTrip
	takes := fmt.Sprintf("A round trip to the node takes %v", text.Rounded(trip))
	switch {
	case trip >= f.TTL-f.Drift:
		return verdict{Broken, takes + ", so a lock is over before anybody knows that it was granted.", "Use a longer TTL."}
	case least > f.Timeout:
		return verdict{
			Slow, fmt.Sprintf("%s, and its node timeout of %v should be four of them.", takes, f.Timeout),
			fmt.Sprintf("Use a node timeout of at least %v, or a longer TTL.", least.Round(time.Millisecond)),
		}
	default:
		return verdict{}
	}
}

// remedyFor returns what to do about an error that a node has answered.
func remedyFor(err error) string {
	switch client.ErrorType(err) {
	case "OOM":
		return "Give the server more memory, or have less in it."
	case "READONLY", "MASTERDOWN":
		return remedyPrimary
	case "LOADING":
		return "Wait until it has loaded its data, and check again."
	case "MISCONF":
		return "See why the server cannot write to its disk."
	case "NOREPLICAS":
		return "See why its replicas are away, or set min-replicas-to-write 0."
	case "MOVED", "ASK", "CLUSTERDOWN", "CROSSSLOT":
		return remedyCluster
	case "NOPERM":
		return remedyACL
	}
	if strings.Contains(err.Error(), "user executing the script") {
		return remedyACL
	}
	return "Look the error up in the server's documentation."
}

const (
	remedyPrimary = "Use the primary, by its Sentinel group where that may change."
	remedyCluster = "Use the whole Cluster as one node, by a redis.ClusterClient or by ?cluster=true in a URL."
	remedyACL     = "Grant the user what the ACL lists at " + aclAt + "."

	aclAt = "https://github.com/b0401464/redlock#nodes"
)

// index returns which node it is.
func (f *facts) index(n *Node) int {
	for i := range f.nodes {
		if &f.nodes[i] == n {
			return i
		}
	}
	return 0
}

// is reports whether one of the node's servers is so.
func (n *Node) is(so func(*Server) bool) bool {
	for i := range n.Servers {
		if so(&n.Servers[i]) {
			return true
		}
	}
	return false
}

func sentinel(s *Server) bool { return s.Mode == "sentinel" }

// replica reports whether that is why it does not grant a lock.
func (n *Node) replica() bool {
	return n.is(func(s *Server) bool { return s.Role == Replica }) && client.ErrorType(n.Trial.Err) == "READONLY"
}
