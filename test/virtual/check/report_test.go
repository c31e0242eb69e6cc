package check_test

import (
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/finding"
	"github.com/b0401464/redlock/test/rig"
)

func TestTheCodesOfFindingsAreThoseOfTheRules(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(rig.Root(t), "check.go"), nil, parser.ParseComments)
	require.NoError(t, err)
	var codes []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == "Code" {
			assert.NotEmpty(t, spec.Comment.Text(), spec.Names[0].Name)
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			codes = append(codes, value)
		}
		return true
	})
	assert.ElementsMatch(t, finding.Codes(), codes)
}

// report is one with something of everything.
func report() redlock.Report {
	return redlock.Report{
		TTL: 10 * time.Second, NodeTimeout: time.Second,
		Nodes: []redlock.NodeReport{
			{
				Node: 1, Addr: "10.0.0.1:6379", Product: "redis", Version: "7.0.15", Role: "primary", RoundTrip: 187 * time.Microsecond,
				Ahead: -3 * time.Second, Uptime: 49 * time.Hour, Eviction: "noeviction", AOF: "on", Locks: true, Line: true, Release: "script",
			},
			{
				Node: 2, Addr: "10.0.0.2:6379", Product: "valkey", Version: "9.0.1", Role: "primary", RoundTrip: 1234 * time.Microsecond,
				Ahead: 1, Uptime: 90 * time.Minute, Eviction: "allkeys-lru", MaxMemory: 1 << 30, AOF: "off", Locks: true, Release: "delifeq",
			},
			{Node: 3, Addr: "10.0.0.3:6379"},
		},
		Findings: []redlock.Finding{
			{Code: redlock.CodeUnreachable, Severity: redlock.SeverityBroken, Node: 3, Addr: "10.0.0.3:6379", Text: "It is down.", Remedy: "Start it."},
			{Code: redlock.CodeNoAOF, Severity: redlock.SeverityUnsafe, Node: 1, Addr: "10.0.0.1:6379", Text: "It forgets.", Remedy: "Have it remember."},
			{Code: redlock.CodeNoAOF, Severity: redlock.SeverityUnsafe, Node: 2, Addr: "10.0.0.2:6379", Text: "It forgets.", Remedy: "Have it remember."},
			{Code: redlock.CodeEvenNodes, Severity: redlock.SeverityNote, Text: "Two are no better than one.", Remedy: "Take another one."},
		},
	}
}

const printed = `Not every node is fit for locks of 10s: 3 nodes (1 broken, 2 unsafe, 1 note).

  NODE  ADDRESS        SERVER        ROLE     RTT     CLOCK   UP     EVICTION     AOF  LOCK  LINE  RELEASE
  1     10.0.0.1:6379  redis 7.0.15  primary  187µs   -3.00s  2d1h   noeviction   on   yes   yes   script
  2     10.0.0.2:6379  valkey 9.0.1  primary  1.23ms  ok      1h30m  allkeys-lru  off  yes   no    delifeq
  3     10.0.0.3:6379  unreachable                                                     no    no

  AOF on: INFO does not tell whether writes are on disk before the answer; see CONFIG GET appendfsync.

  BROKEN  node 3 (10.0.0.3:6379): unreachable
          It is down.
        → Start it.

  UNSAFE  nodes 1 and 2: no_aof
          It forgets.
        → Have it remember.

  NOTE    even_nodes
          Two are no better than one.
        → Take another one.`

func TestAReportPrintsAsATable(t *testing.T) {
	assert.Equal(t, printed, report().String())
	r := report()
	r.Findings[0].Severity = redlock.SeverityNote
	assert.Contains(t, r.String(), "Not safe for locks of 10s: 3 nodes (2 unsafe, 2 notes).\n")
	r.Findings = r.Findings[3:]
	assert.Contains(t, r.String(), "Fit for locks of 10s: 3 nodes (1 note).\n")
	r.Findings[0].Severity = redlock.SeveritySlow
	assert.Contains(t, r.String(), "Safe for locks of 10s, but slower than need be: 3 nodes (1 slow).\n")
	r.Findings = nil
	assert.Contains(t, r.String(), "All is well: 3 nodes, fit for locks of 10s.\n")
	r.Nodes = r.Nodes[:1]
	r.Nodes[0].AOF = "off"
	assert.Regexp(t, `\n  1 +10.0.0.1:6379 .* script$`, r.String(), "nor here a line break at the end")
	assert.Equal(t, "No node was asked.", redlock.Report{}.String())
}

func TestWhatIsNotKnownIsNotShownAsKnown(t *testing.T) {
	for _, code := range []redlock.Code{redlock.CodeNotTried, redlock.CodeIncomplete} {
		r := redlock.Report{
			TTL: 10 * time.Second, NodeTimeout: time.Second,
			Nodes:    []redlock.NodeReport{{Node: 1, Product: "redis", Version: "7.0.15"}, {Node: 2, Locks: true, Line: true}, {Node: 3}},
			Findings: []redlock.Finding{{Code: code, Severity: redlock.SeverityNote, Node: 1, Text: "It has not told.", Remedy: "Ask again."}},
		}
		assert.Equal(t, `Fit for locks of 10s, as far as it could be told: 3 nodes (1 note).

  NODE  SERVER        LOCK  LINE
  1     redis 7.0.15  ?     ?
  2                   yes   yes
  3                   no    no

  NOTE    node 1: `+string(code)+`
          It has not told.
        → Ask again.`, r.String())
	}
}

// Whatever a server says of itself is a line, no terminal does what it says, and it is not long.
func TestWhatAServerSaysReachesATerminalAsText(t *testing.T) {
	const evil = "x\x1b[31m\u009b2J\u202e\a\xff"
	long := strings.Repeat("y", 1<<20)
	client := rig.CustomClient{Do: func(_ context.Context, cmd redis.Cmder) error {
		var reply any = int64(1)
		switch cmd.Name() {
		case "time":
			reply = []any{"99999999999999999", "1"}
		case "info":
			reply = "redis_version:" + evil + long + "\r\nmaxmemory_policy:" + evil + long + "\r\nrole:" + evil + "\r\nuptime_in_seconds:" + evil + "\r\n"
		case "eval":
			if slices.Contains(cmd.Args(), any("try")) || strings.Contains(cmd.Args()[1].(string), "DELEX") {
				reply = []any{int64(1), "native", evil}
			}
		}
		cmd.(interface{ SetVal(any) }).SetVal(reply)
		return nil
	}}
	synctest.Test(t, func(t *testing.T) {
		l, err := redlock.New([]redlock.Client{client})
		require.NoError(t, err)
		r, err := l.Check(t.Context(), ttl)
		require.NoError(t, err)
		require.NoError(t, l.Shutdown(t.Context()))
		require.True(t, r.Nodes[0].Locks, "%v", r)
		object, err := json.Marshal(r)
		require.NoError(t, err)
		for _, text := range []string{strings.ReplaceAll(r.String(), "\n", ""), string(object)} {
			assert.True(t, utf8.ValidString(text))
			assert.False(t, strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) && c != '\ufffd' }), "%q", text)
			assert.Less(t, len(text), 10_000)
		}
	})
}

func TestAReportMarshalsWithDurationsInSeconds(t *testing.T) {
	text, err := json.Marshal(report())
	require.NoError(t, err)
	var object struct {
		TTL      float64 `json:"ttl_seconds"`
		Worst    redlock.Severity
		Nodes    []map[string]any
		Findings []redlock.Finding
	}
	require.NoError(t, json.Unmarshal(text, &object))
	assert.InDelta(t, 10, object.TTL, 0)
	assert.Equal(t, redlock.SeverityBroken, object.Worst)
	assert.Equal(t, report().Findings, object.Findings)
	require.Len(t, object.Nodes, 3)
	assert.InDelta(t, 0.000187, object.Nodes[0]["round_trip_seconds"], 0)
	assert.Equal(t, "allkeys-lru", object.Nodes[1]["eviction"])
	assert.NotContains(t, object.Nodes[2], "version")

	text, err = json.Marshal(redlock.Report{})
	require.NoError(t, err)
	assert.JSONEq(t, `{"ttl_seconds": 0, "node_timeout_seconds": 0, "worst": "none", "nodes": [], "findings": []}`, string(text))
}

func TestSeveritiesAreOrderedAndHaveNames(t *testing.T) {
	all := []redlock.Severity{0, redlock.SeverityNote, redlock.SeveritySlow, redlock.SeverityUnsafe, redlock.SeverityBroken}
	assert.True(t, slices.IsSorted(all))
	for _, s := range all {
		text, err := s.MarshalText()
		require.NoError(t, err)
		var got redlock.Severity
		require.NoError(t, got.UnmarshalText(text))
		assert.Equal(t, s, got)
	}
	assert.Equal(t, "severity 9", redlock.Severity(9).String())
	require.ErrorIs(t, new(redlock.Severity).UnmarshalText([]byte("dire")), redlock.ErrInvalidArgument)
	assert.Equal(t, redlock.SeverityBroken, report().Worst())
	assert.Zero(t, redlock.Report{}.Worst())
}
