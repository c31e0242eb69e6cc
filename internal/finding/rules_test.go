package finding

import (
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/script"
)

// reply is an error that a node has answered.
type reply string

func (r reply) Error() string { return string(r) }
func (reply) RedisError()     {}

// healthy returns nodes of which there is nothing to say.
func healthy(n int) (*Setup, []Node) {
	s := &Setup{TTL: 10 * time.Second, Drift: 102 * time.Millisecond, Timeout: time.Second, Lines: true, Scripts: true}
	nodes := make([]Node, n)
	for i := range nodes {
		id := string(rune('a' + i))
		nodes[i] = Node{
			Addr: id + ":6379", Answered: true, RoundTrip: time.Millisecond,
			Client: Settings{Plain: true, Listens: true, Known: true, ReadTimeout: 5 * time.Second, Connections: 10},
			Servers: []Server{{
				Addr: id + ":6379", Timed: true, Ahead: 3 * time.Millisecond, Uncertain: time.Millisecond,
				Info: Info{
					Product: "redis", Version: "7.0.15", Speaks: "7.0.15", Mode: "standalone", Role: Primary, RunID: "run " + id,
					Replication: "data " + id, HasUptime: true, Uptime: time.Hour, Policy: "noeviction", AOF: AOFOn,
				},
			}},
			Trial: Trial{Granted: true, Deletes: "none"},
		}
	}
	return s, nodes
}

// A found is what a finding has that a test looks at.
type found struct {
	code     string
	severity Severity
	node     int
	text     string // part of it
}

var cases = []struct {
	name   string
	nodes  int // 3 if 0
	change func(s *Setup, nodes []Node)
	want   []found
}{
	{"all is well", 0, func(*Setup, []Node) {}, nil},
	{"five nodes", 5, func(*Setup, []Node) {}, nil},
	{"one node", 1, func(*Setup, []Node) {}, nil},
	{"an even number", 4, func(*Setup, []Node) {}, []found{{EvenNodes, Note, 0, "4 nodes tolerate the loss of 1, no more than 3 would"}}},
	{"a node is down", 0, func(_ *Setup, nodes []Node) {
		nodes[1] = Node{Addr: "b:6379", Client: nodes[1].Client, Err: errors.New("connection refused"), Servers: []Server{{Addr: "b:6379"}}}
	}, []found{{Unreachable, Broken, 2, "cannot be reached: connection refused."}}},
	{"a node hangs", 0, func(_ *Setup, nodes []Node) {
		nodes[1] = Node{Client: nodes[1].Client, Silent: time.Second, Servers: []Server{{Pending: true}}}
	}, []found{{NoAnswer, Broken, 2, "has not answered within 1s"}}},
	{"a node hangs after a while", 0, func(_ *Setup, nodes []Node) {
		nodes[1].Silent, nodes[1].Trial = time.Second, Trial{}
	}, []found{{NoAnswer, Broken, 2, "then no more within 1s"}}},
	{"most are down", 0, func(_ *Setup, nodes []Node) {
		for i := range 2 {
			nodes[i] = Node{Client: nodes[i].Client, Err: errors.New("connection refused")}
		}
	}, []found{
		{NoMajority, Broken, 0, "1 of 3 nodes can grant a lock; the majority is 2"}, {Unreachable, Broken, 1, "refused"}, {Unreachable, Broken, 2, "refused"},
	}},
	{"a wrong password", 0, func(_ *Setup, nodes []Node) {
		nodes[0] = Node{Client: nodes[0].Client, Answered: true, Err: reply("WRONGPASS invalid username-password pair")}
	}, []found{{NoLogin, Broken, 1, "WRONGPASS"}}},
	{"no scripts", 0, func(_ *Setup, nodes []Node) {
		nodes[2].Trial = Trial{Step: Take, Script: true, Err: reply("NOPERM this user has no permissions to run the 'eval' command")}
	}, []found{{NoScripts, Broken, 3, "'eval' command."}}},
	{"Garnet without scripts", 0, func(_ *Setup, nodes []Node) {
		nodes[2].Servers[0].Product = "garnet"
		nodes[2].Trial = Trial{Step: Take, Script: true, Err: reply("ERR This instance has Lua scripting support disabled")}
	}, []found{{NoScripts, Broken, 3, "disabled"}, {Garnet, Unsafe, 3, "in one step"}}},
	{"no memory", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Trial = Trial{Step: Take, Err: reply("OOM command not allowed when used memory > 'maxmemory'.")}
	}, []found{{NoLocks, Broken, 1, "does not grant a lock: OOM"}}},
	{"no release", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Trial.Step, nodes[0].Trial.Script = Release, true
		nodes[0].Trial.Err = reply("ERR The user executing the script can't run this command or subcommand script: 12ab, on @user_script:3.")
	}, []found{{NoLocks, Broken, 1, "release a lock: ERR The user executing the script can't run this command or subcommand."}}},
	{"a Sentinel", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Servers[0].Info = Info{Version: "7.0.15", Mode: "sentinel"}
		nodes[0].Trial = Trial{Step: Take, Err: reply("ERR unknown command 'set'")}
	}, []found{{Sentinel, Broken, 1, "keeps no keys"}}},
	{"one server of a Cluster", 0, func(_ *Setup, nodes []Node) { nodes[0].Servers[0].Mode = "cluster" }, []found{{ClusterMember, Note, 1, "fail"}}},
	{"a replica", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Servers[0].Role = Replica
		nodes[0].Trial = Trial{Step: Take, Err: reply("READONLY You can't write against a read only replica.")}
	}, []found{{IsReplica, Broken, 1, "is a replica, and only has what its primary sends it, and grants no locks"}}},
	{"a replica that can be written", 0, func(_ *Setup, nodes []Node) { nodes[0].Servers[0].Role = Replica }, []found{{IsReplica, Unsafe, 1, "sends it."}}},
	{"a replica of another node", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Servers[0].Role, nodes[0].Servers[0].Replication = Replica, "data c"
	}, []found{{IsReplica, Unsafe, 1, "is a replica of node 3 (c:6379)"}}},
	{"two replicas of a third server", 0, func(_ *Setup, nodes []Node) {
		for i := range 2 {
			nodes[i].Servers[0].Role, nodes[i].Servers[0].Replication = Replica, "data x"
		}
	}, []found{{IsReplica, Unsafe, 1, "node 2 (b:6379) are replicas of one primary"}, {IsReplica, Unsafe, 2, "node 1 (a:6379)"}}},
	{"one database behind two clients", 0, func(_ *Setup, nodes []Node) {
		nodes[2].Servers[0].Info, nodes[2].Trial = nodes[0].Servers[0].Info, Trial{Same: 1}
	}, []found{{SameServer, Unsafe, 3, "the same database as node 1 (a:6379)"}}},
	{
		"two databases of a server", 0, func(_ *Setup, nodes []Node) { nodes[2].Servers[0].Info = nodes[0].Servers[0].Info },
		[]found{{SameServer, Unsafe, 3, "the same as that of node 1"}},
	},
	{"servers that do not tell who they are", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Servers[0].RunID, nodes[1].Servers[0].RunID = "", ""
	}, nil},
	{"a balancer", 0, func(_ *Setup, nodes []Node) { nodes[0].Trial.Forgot = true }, []found{{Forgets, Unsafe, 1, "not there any more"}}},
	{"eviction", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Servers[0].Policy, nodes[0].Servers[0].MaxMemory = "allkeys-lru", 3<<29
		nodes[1].Servers[0].Policy = "volatile-lru"
		nodes[2].Servers[0].Policy, nodes[2].Servers[0].Evicted = "volatile-ttl", 12
	}, []found{
		{Evicts, Unsafe, 1, "allkeys-lru, when it has 1.5 GB"}, {Evicts, Unsafe, 3, "it has evicted 12"}, {Evicts, Note, 2, "if it had a maxmemory"},
	}},
	{"cache mode", 0, func(_ *Setup, nodes []Node) { nodes[0].Servers[0].Policy = "cache_mode" }, []found{{Evicts, Unsafe, 1, "cache mode"}}},
	{"persistence", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Servers[0].AOF, nodes[1].Servers[0].AOF, nodes[2].Servers[0].AOF = AOFOff, AOFDelayed, AOFFailing
	}, []found{{NoAOF, Unsafe, 1, "a restart forgets"}, {AOFLate, Unsafe, 2, "before"}, {AOFFails, Unsafe, 3, "has failed"}}},
	{"not on disk in time", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Trial.Late, nodes[0].Servers[0].AOF = true, AOFDelayed
	}, []found{{AOFLate, Unsafe, 1, "before a lock is on disk"}}},
	{"just started", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Servers[0].Uptime = 4 * time.Second
		nodes[1].Servers[0].Uptime, nodes[1].Servers[0].AOF = 9*time.Second, AOFOff
		nodes[2].Servers[0].Uptime = 10 * time.Second
	}, []found{{NoAOF, Unsafe, 2, "restart"}, {Restarted, Unsafe, 2, "may have forgotten"}, {Restarted, Note, 1, "up for 4s, less than the TTL of 10s"}}},
	{"a quarantine", 0, func(s *Setup, nodes []Node) {
		s.Quarantine = s.TTL
		for i, aof := range []AOF{AOFOff, AOFDelayed, AOFOn} {
			nodes[i].Servers[0].AOF, nodes[i].Servers[0].Uptime = aof, 4*time.Second
		}
		nodes[2].Trial = Trial{Step: Take, Script: true, Err: reply("QUARANTINE the server was started 4 s ago")}
	}, []found{{Restarted, Note, 3, "By the restart quarantine the node grants no locks yet: QUARANTINE"}}},
	{"a quarantine of a server that does not tell its uptime", 0, func(s *Setup, nodes []Node) {
		s.Quarantine = s.TTL
		nodes[2].Trial = Trial{Step: Take, Script: true, Err: reply("QUARANTINE the server " + script.NoUptime)}
	}, []found{{NoLocks, Broken, 3, "The node does not grant a lock: QUARANTINE the server does not tell"}}},
	{"a quarantine of a Cluster behind a client that does not say so", 0, func(s *Setup, nodes []Node) {
		s.Quarantine = s.TTL
		nodes[2].Trial = Trial{Step: Take, Script: true, Err: reply("CROSSSLOT Keys in request don't hash to the same slot")}
	}, []found{{NoLocks, Broken, 3, "CROSSSLOT"}}},
	{"a quarantine that is too short", 0, func(s *Setup, nodes []Node) {
		s.Quarantine, nodes[0].Servers[0].AOF = s.TTL-1, AOFOff
	}, []found{{NoAOF, Unsafe, 1, "forgets"}}},
	{"a server that is too old to do without scripts", 0, func(s *Setup, nodes []Node) {
		s.Scripts, s.Lines = false, false
		nodes[0].Trial = Trial{Step: Extend, Err: reply("ERR syntax error")}
		nodes[1].Trial = Trial{Step: Release, Err: reply("ERR unknown command 'delifeq'")}
		nodes[2].Servers[0].Product = "garnet"
	}, []found{
		{NoMajority, Broken, 0, "1 of 3"}, {NoLocks, Broken, 1, "extend a lock: ERR syntax error"}, {NoLocks, Broken, 2, "release a lock: ERR unknown"},
	}},
	{"Active-Active", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Servers[0].Merges = true
		nodes[1].Servers[0].Enterprise = true
	}, []found{{ActiveActive, Unsafe, 1, "two sites"}, {ActiveActive, Note, 2, "does not tell"}}},
	{
		"a Cluster alone", 1, func(_ *Setup, nodes []Node) { nodes[0].Client.Spread, nodes[0].Client.Plain = client.BySlot, false },
		[]found{{FailsOver, Unsafe, 1, "Cluster"}},
	},
	{"a Ring alone", 1, func(_ *Setup, nodes []Node) {
		nodes[0].Client.Spread, nodes[0].Client.Plain, nodes[0].Client.Listens = client.ByTag, false, false
	}, []found{{FailsOver, Unsafe, 1, "Ring"}, {NoLine, Slow, 1, "cannot listen"}}},
	{"a Sentinel group alone", 1, func(_ *Setup, nodes []Node) { nodes[0].Client.Failover = true }, []found{{FailsOver, Unsafe, 1, "Sentinel"}}},
	{"a Sentinel group among others", 0, func(_ *Setup, nodes []Node) { nodes[0].Client.Failover = true }, nil},
	{"one server of several that hangs", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Client.Spread, nodes[0].Client.Plain = client.BySlot, false
		nodes[0].Servers = append(nodes[0].Servers, Server{Addr: "d:6379", Pending: true})
	}, []found{{NoAnswer, Broken, 1, "The server has not answered within 2s"}}},
	{"one server of several that is down", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Client.Spread, nodes[0].Client.Plain = client.BySlot, false
		nodes[0].Servers = append(nodes[0].Servers, Server{Addr: "d:6379", Err: errors.New("connection refused")})
	}, []found{{Unreachable, Broken, 1, "The server cannot be reached: connection refused."}}},
	{"far away", 0, func(_ *Setup, nodes []Node) {
		nodes[0].RoundTrip, nodes[1].RoundTrip, nodes[2].RoundTrip = 250*time.Millisecond, 251*time.Millisecond, 9900*time.Millisecond
	}, []found{{Far, Broken, 3, "a lock is over before"}, {Far, Slow, 2, "takes 251ms, and its node timeout of 1s should be four of them"}}},
	{"no line", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Trial.LineErr = reply("NOPERM no keys")
		nodes[1].Trial.Refused = []string{"zadd", "publish", "time"}
	}, []found{{NoLine, Slow, 1, "NOPERM no keys."}, {NoLine, Slow, 2, "run zadd and time"}, {NoMessages, Slow, 2, "run publish"}}},
	{"no messages", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Trial.HearErr = reply("NOPERM no channels")
		nodes[1].Trial.Unheard = time.Second
	}, []found{{NoMessages, Slow, 1, "NOPERM no channels."}, {NoMessages, Slow, 2, "did not arrive within 1s"}}},
	{"no line is wanted", 0, func(s *Setup, nodes []Node) {
		s.Lines, nodes[0].Client.Listens = false, false
	}, nil},
	{"clients", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Client.ReadTimeout, nodes[1].Client.Connections = 999*time.Millisecond, 9
		nodes[2].Client = Settings{Listens: true}
	}, []found{{ReadTimeout, Slow, 1, "999ms is shorter than the node timeout of 1s"}, {SmallPool, Slow, 2, "at most 9 connections"}}},
	{"clients that wait for ever", 0, func(_ *Setup, nodes []Node) { nodes[0].Client.ReadTimeout = 0 }, nil},
	{
		"a clock", 0, func(_ *Setup, nodes []Node) { nodes[1].Servers[0].Ahead = -5 * time.Second },
		[]found{{ClockOff, Note, 2, "the server is 5s behind that of this process"}},
	},
	{
		"a clock of one node alone", 1, func(s *Setup, nodes []Node) { nodes[0].Servers[0].Ahead, s.Fencing = 5*time.Second, true },
		[]found{{ClockOff, Unsafe, 1, "the server is 5s ahead of that of this process"}},
	},
	{"a clock that is not known well", 0, func(_ *Setup, nodes []Node) {
		nodes[1].Servers[0].Ahead, nodes[1].Servers[0].Uncertain = 2*time.Second, 1500*time.Millisecond
	}, nil},
	{"the clock here", 0, func(_ *Setup, nodes []Node) {
		for i := range nodes {
			nodes[i].Servers[0].Ahead = time.Minute
		}
		nodes[2].Servers[0].Ahead = 0
	}, []found{{ClockOff, Note, 0, "of this process is 1m0s behind those of most nodes"}, {ClockOff, Note, 3, "the server is 1m0s behind those of most nodes"}}},
	{"INFO", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Servers[0] = Server{Err: reply("NOPERM no info")}
		nodes[1].Servers[0].Role, nodes[1].Servers[0].HasUptime = RoleUnknown, false
	}, []found{{NoInfo, Note, 1, "NOPERM no info."}, {NoInfo, Note, 2, "INFO does not tell the role and uptime."}}},
	{"the key is denied", 0, func(_ *Setup, nodes []Node) {
		for i := range nodes {
			nodes[i].Trial = Trial{Denied: reply("NOPERM no access to the key")}
		}
	}, []found{{NotTried, Note, 1, "No lock was tried"}, {NotTried, Note, 2, ""}, {NotTried, Note, 3, ""}}},
	{"cut off", 0, func(_ *Setup, nodes []Node) {
		nodes[0].Cut, nodes[0].Trial = true, Trial{}
	}, []found{{Incomplete, Note, 1, "before the node had told all"}}},
}

func TestFactsHaveTheirOf(t *testing.T) {
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			n := tt.nodes
			if n == 0 {
				n = 3
			}
			s, nodes := healthy(n)
			tt.change(s, nodes)
			all := Of(s, nodes)
			require.Len(t, all, len(tt.want), "%v", all)
			for i, f := range all {
				assert.Equal(t, tt.want[i].code, f.Code)
				assert.Equal(t, tt.want[i].severity, f.Severity, f.Code)
				assert.Equal(t, tt.want[i].node, f.Node, f.Code)
				assert.Contains(t, f.Text, tt.want[i].text)
			}
		})
	}
}

func TestEachFindingIsASentenceAndARemedy(t *testing.T) {
	sentence := regexp.MustCompile(`^[A-Z0-9][^\n]*[^. ]\.$`)
	seen := map[string]bool{}
	for _, tt := range cases {
		n := tt.nodes
		if n == 0 {
			n = 3
		}
		s, nodes := healthy(n)
		tt.change(s, nodes)
		for _, f := range Of(s, nodes) {
			assert.Regexp(t, sentence, f.Text)
			assert.Regexp(t, sentence, f.Remedy)
			seen[f.Code] = true
		}
	}
	for _, code := range Codes() {
		assert.True(t, seen[code], "no case has %s", code)
	}
	assert.Len(t, seen, len(Codes()))
	assert.Empty(t, Of(&Setup{}, nil))
}

// The command shows them, too. What Go alone has stands beside what others can do.
func TestNoFindingSpeaksToGoProgramsAlone(t *testing.T) {
	goes := regexp.MustCompile(`\bNew\b|options|With[A-Z]|redis\.`)
	both := regexp.MustCompile(`in a URL|a URL with|redlock run|programs can`)
	for _, tt := range cases {
		n := tt.nodes
		if n == 0 {
			n = 3
		}
		s, nodes := healthy(n)
		tt.change(s, nodes)
		if !s.Scripts || n == 1 && !nodes[0].Client.Listens {
			continue // the command has neither WithoutScripts nor Rings
		}
		for _, f := range Of(s, nodes) {
			assert.NotRegexp(t, goes, f.Text)
			assert.True(t, !goes.MatchString(f.Remedy) || both.MatchString(f.Remedy), f.Remedy)
		}
	}
}

func TestEachNodeErrorHasARemedyThatFits(t *testing.T) {
	remedies := map[string]bool{}
	for _, text := range []string{
		"OOM full", "READONLY replica", "LOADING", "MISCONF disk", "NOREPLICAS", "MOVED 1 a:1", "NOPERM no", "ERR what is this",
	} {
		remedies[remedyFor(reply(text))] = true
	}
	assert.Len(t, remedies, 8)
	assert.Equal(t, remedyACL, remedyFor(reply("ERR The user executing the script can't run this command or subcommand")))
}
