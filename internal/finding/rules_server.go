package finding

import (
	"fmt"
	"time"

	"github.com/b0401464/redlock/internal/client"
)

// serverRules look at each server of a node.
var serverRules = []rule{
	{Unreachable, func(_ *facts, n *Node, s *Server) verdict {
		if !n.loses(s) {
			return verdict{}
		}
		return verdict{Broken, fmt.Sprintf("The server cannot be reached: %s.", why(s.Err)), "Start it, or see why its client is still told of it."}
	}},
	{NoAnswer, func(f *facts, n *Node, s *Server) verdict {
		if !s.Pending || len(n.Servers) == 1 {
			return verdict{} // of one that is alone the node tells
		}
		return verdict{Broken, fmt.Sprintf("The server has not answered within %v.", 2*f.Timeout), "See whether it or the network to it hangs."}
	}},
	{Sentinel, func(_ *facts, _ *Node, s *Server) verdict {
		if !sentinel(s) {
			return verdict{}
		}
		return verdict{Broken, "There is a Sentinel at the address, which keeps no keys.", "Use redis.NewFailoverClient with the addresses of the Sentinels, or a URL with master_name."}
	}},
	{ClusterMember, func(_ *facts, n *Node, s *Server) verdict {
		if s.Mode != "cluster" || !n.Client.Plain {
			return verdict{}
		}
		return verdict{Note, "The server belongs to a Cluster and its client knows no other: locks whose slot lies elsewhere fail.", remedyCluster}
	}},
	{IsReplica, replica},
	{SameServer, func(f *facts, n *Node, s *Server) verdict {
		i := f.other(n, func(o *Server) bool { return s.RunID != "" && o.RunID == s.RunID })
		if i < 0 || i > f.index(n) || n.Trial.Same != 0 || f.nodes[i].Trial.Same != 0 {
			return verdict{}
		}
		return verdict{Unsafe, fmt.Sprintf("The server is the same as that of %s, so both fail and forget together.", f.who(i)), remedyApart}
	}},
	{Evicts, evicts},
	{NoAOF, func(f *facts, _ *Node, s *Server) verdict {
		if s.AOF != AOFOff || f.remembers() {
			return verdict{}
		}
		return verdict{Unsafe, "The server writes no append-only file, so a restart forgets its locks.", remedyAOF}
	}},
	{AOFLate, func(f *facts, n *Node, s *Server) verdict {
		if s.AOF != AOFDelayed || n.Trial.Late || f.remembers() {
			return verdict{}
		}
		return verdict{Unsafe, "The server has answered before its append-only file was on disk, so a crash of its machine can forget locks.", remedyAOF}
	}},
	{AOFFails, func(_ *facts, _ *Node, s *Server) verdict {
		if s.AOF != AOFFailing {
			return verdict{}
		}
		return verdict{Unsafe, "The last write of the server to its append-only file has failed.", "Look at its disk and its log."}
	}},
	{Restarted, restarted},
	{ActiveActive, func(_ *facts, _ *Node, s *Server) verdict {
		switch {
		case s.Merges:
			return verdict{Unsafe, "The server merges writes from other sites later, so two sites can grant the same lock.", "Use a database that is not Active-Active."}
		case s.Enterprise:
			return verdict{Note, "Redis Enterprise does not tell whether this database is Active-Active, which could grant a lock at two sites.", "Make sure that it is not Active-Active."}
		default:
			return verdict{}
		}
	}},
	{Garnet, func(f *facts, _ *Node, s *Server) verdict {
		if s.Product != "garnet" || !f.Scripts {
			return verdict{}
		}
		return verdict{Unsafe, "Garnet runs a script in one step only with --lua-transaction-mode, and does not tell whether it has that.", "Start it with --lua-transaction-mode."}
	}},
	{ClockOff, func(f *facts, _ *Node, s *Server) verdict {
		common := f.ahead
		of := "that of this process"
		if common.Abs() > maxAhead {
			of = "those of most nodes"
		} else {
			common = 0
		}
		if ahead := s.Ahead - common; s.Timed && ahead.Abs()-s.Uncertain > maxAhead {
			return f.clockVerdict("The clock of the server", ahead, of)
		}
		return verdict{}
	}},
	{NoInfo, func(_ *facts, n *Node, s *Server) verdict {
		switch missing := s.missing(); {
		case n.unasked() || n.loses(s) || s.Pending || sentinel(s):
			return verdict{}
		case s.Err != nil:
			return verdict{
				Note, fmt.Sprintf("INFO does not tell the role, memory policy, persistence, version and uptime: %s.", why(s.Err)),
				"Grant +info, or check as another user.",
			}
		case len(missing) > 0:
			return verdict{Note, fmt.Sprintf("INFO does not tell the %s.", listed(missing)), "Look at that by hand."}
		default:
			return verdict{}
		}
	}},
}

// unasked reports whether it is known already that the node has not told all.
func (n *Node) unasked() bool { return n.Err != nil || n.Silent > 0 && !n.Answered || n.Cut }

// loses reports whether the client cannot get to one of the node's servers. Of one that is
// alone the node tells.
func (n *Node) loses(s *Server) bool {
	return len(n.Servers) > 1 && s.Err != nil && !client.IsReply(s.Err)
}

// missing returns what INFO has not told.
func (s *Server) missing() (all []string) {
	for _, one := range []struct {
		name string
		told bool
	}{
		{"role", s.Role != RoleUnknown},
		{"memory policy", s.Policy != ""},
		{"persistence", s.AOF != AOFUnknown},
		{"version", s.Version != ""},
		{"uptime", s.HasUptime},
	} {
		if !one.told {
			all = append(all, one.name)
		}
	}
	return all
}

// other returns the first other node with a server that is so, or -1.
func (f *facts) other(n *Node, is func(*Server) bool) int {
	for i := range f.nodes {
		for j := range f.nodes[i].Servers {
			if &f.nodes[i] != n && is(&f.nodes[i].Servers[j]) {
				return i
			}
		}
	}
	return -1
}

func replica(f *facts, n *Node, s *Server) verdict {
	if s.Role != Replica {
		return verdict{}
	}
	v := verdict{Unsafe, "The server is a replica, and only has what its primary sends it", remedyPrimary}
	if i := f.other(n, func(o *Server) bool {
		return s.Replication != "" && o.Replication == s.Replication && o.RunID != s.RunID
	}); i >= 0 {
		v.text = fmt.Sprintf("The server and %s are replicas of one primary", f.who(i))
		if f.nodes[i].is(func(o *Server) bool { return o.Role == Primary }) {
			v.text = "The server is a replica of " + f.who(i)
		}
		v.remedy = remedyApart
	}
	if n.replica() {
		v.severity, v.text = Broken, v.text+", and grants no locks"
	}
	v.text += "."
	return v
}

func evicts(_ *facts, _ *Node, s *Server) verdict {
	const remedy = "Set maxmemory-policy noeviction, or keep locks in a Redis of their own."
	switch {
	case s.Policy == "" || s.Policy == "noeviction":
		return verdict{}
	case s.Policy == "cache_mode":
		return verdict{Unsafe, "The server is in cache mode, in which it evicts keys, and so locks.", "Start it without cache_mode."}
	case s.Evicted > 0:
		return verdict{Unsafe, fmt.Sprintf("The server evicts keys, and so locks, by its maxmemory-policy %s; it has evicted %d.", s.Policy, s.Evicted), remedy}
	case s.MaxMemory > 0:
		return verdict{Unsafe, fmt.Sprintf("The server evicts keys, and so locks, by its maxmemory-policy %s, when it has %s.", s.Policy, size(s.MaxMemory)), remedy}
	default:
		return verdict{Note, fmt.Sprintf("The server would evict locks by its maxmemory-policy %s if it had a maxmemory.", s.Policy), remedy}
	}
}

// size returns bytes in a unit that fits.
func size(bytes int64) string {
	for _, unit := range []struct {
		name string
		size int64
	}{{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}} {
		if bytes >= unit.size {
			return fmt.Sprintf("%.4g %s", float64(bytes)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", bytes)
}

func restarted(f *facts, _ *Node, s *Server) verdict {
	if !s.HasUptime || s.Uptime >= f.TTL || f.remembers() {
		return verdict{}
	}
	v := verdict{Unsafe, fmt.Sprintf("The server has been up for %v, less than the TTL of %v", s.Uptime, f.TTL), ""}
	v.remedy = fmt.Sprintf("Wait for another %v, or check with the TTL of your locks.", (f.TTL - s.Uptime).Round(time.Second))
	if s.AOF == AOFOn {
		v.severity, v.text = Note, v.text+"; it has read its locks again if they were on disk."
	} else {
		v.text += ", and may have forgotten locks that others still have."
	}
	return v
}
