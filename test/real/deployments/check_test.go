package deployments_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

// codes returns the codes of what was found of a node, or of none for 0.
func codes(r redlock.Report, node int) []redlock.Code {
	var all []redlock.Code
	for _, f := range r.Findings {
		if f.Node == node {
			all = append(all, f.Code)
		}
	}
	return all
}

// requireFound requires a finding of a node, with this severity and these words.
func requireFound(t *testing.T, r redlock.Report, node int, code redlock.Code, severity redlock.Severity, words ...string) {
	t.Helper()
	i := slices.IndexFunc(r.Findings, func(f redlock.Finding) bool { return f.Node == node && f.Code == code })
	require.GreaterOrEqual(t, i, 0, "no %s of node %d:\n%v", code, node, r)
	f := r.Findings[i]
	assert.Equal(t, severity, f.Severity, "%v", r)
	for _, w := range words {
		assert.Contains(t, f.Text, w)
	}
	assert.NotEmpty(t, f.Remedy)
	assert.Contains(t, r.String(), string(code))
}

// checkTTL is that of the locks in these tests: servers are up for longer soon.
const checkTTL = 2 * time.Second

// check returns what Check finds, once the servers are up for long enough.
func check(t *testing.T, clients []redlock.Client, opts ...redlock.Option) redlock.Report {
	t.Helper()
	l := rig.NewRealLocker(t, clients, opts...)
	defer rig.Drain(t, l)
	var r redlock.Report
	require.True(t, rig.Poll(rig.Patience, func() bool {
		var err error
		r, err = l.Check(t.Context(), checkTTL)
		require.NoError(t, err)
		return !strings.Contains(r.String(), "been up for")
	}), "%v", r)
	t.Log(r)
	return r
}

// clientsOf returns clients that wait for longer than the node timeout.
func clientsOf(t *testing.T, of []*servers.Server, opts ...func(*redis.Options)) []redlock.Client {
	t.Helper()
	var all []redlock.Client
	for _, s := range of {
		all = append(all, s.Client(t, append([]func(*redis.Options){rig.Hang}, opts...)...))
	}
	return all
}

// requireNoKeys requires that nothing is left, not even what has expired.
func requireNoKeys(t *testing.T, of []*servers.Server) {
	t.Helper()
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
		for _, s := range of {
			n, err := s.Client(t).DBSize(context.Background()).Result()
			assert.NoError(c, err)
			assert.Zero(c, n, "keys left behind")
		}
	})
}

func TestCheckFindsNothingOfAHealthyTrioAndLeavesNothingThere(t *testing.T) {
	t.Parallel()
	on := servers.Start(t, 3, servers.WithAppendOnly())
	for name, opts := range map[string][]redlock.Option{
		"as it is": nil, "in batches": {redlock.WithAutoPipeline()}, "without lines": {redlock.WithoutWaitingLine()},
		"with tokens": {redlock.WithFencing(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			r := check(t, clientsOf(t, on), opts...)
			require.Empty(t, r.Findings)
			assert.Zero(t, r.Worst())
			require.Len(t, r.Nodes, 3)
			for i, n := range r.Nodes {
				assert.Equal(t, i+1, n.Node)
				assert.Equal(t, on[i].Addr(), n.Addr)
				assert.Equal(t, "primary", n.Role)
				assert.Equal(t, "noeviction", n.Eviction)
				assert.Equal(t, "on", n.AOF)
				assert.NotEmpty(t, n.Version)
				assert.Positive(t, n.RoundTrip)
				assert.True(t, n.Locks)
				assert.Equal(t, name != "without lines", n.Line)
				assert.Contains(t, []string{"script", "delex", "delifeq"}, n.Release)
			}
			assert.Contains(t, r.String(), "All is well: 3 nodes, fit for locks of 2s.")
			requireNoKeys(t, on)
		})
	}
}

func TestCheckFindsNodesThatForgetLocks(t *testing.T) {
	t.Parallel()
	var on []*servers.Server
	for _, policy := range []string{"allkeys-lru", "volatile-ttl"} {
		on = append(on, servers.StartOne(t, servers.WithAppendOnly(), servers.WithArgs("--maxmemory", "100mb", "--maxmemory-policy", policy)))
	}
	on = append(on, servers.StartOne(t, servers.WithArgs("--maxmemory-policy", "volatile-lru")))
	r := check(t, clientsOf(t, on))
	requireFound(t, r, 1, redlock.CodeEvicts, redlock.SeverityUnsafe, "allkeys-lru", "100 MB")
	requireFound(t, r, 2, redlock.CodeEvicts, redlock.SeverityUnsafe, "volatile-ttl")
	requireFound(t, r, 3, redlock.CodeEvicts, redlock.SeverityNote, "volatile-lru")
	requireFound(t, r, 3, redlock.CodeNoAOF, redlock.SeverityUnsafe)
	require.Len(t, r.Findings, 4)
	requireNoKeys(t, on)
}

func TestCheckFindsWhatAnswersBeforeItIsOnDisk(t *testing.T) {
	t.Parallel()
	on := servers.Start(t, 1, servers.WithAppendOnly(), servers.WithArgs("--appendfsync", "no"))
	if on[0].Client(t).Do(t.Context(), "WAITAOF", 0, 0, 1).Err() != nil {
		t.Skip("needs a server that has WAITAOF")
	}
	r := check(t, clientsOf(t, on))
	requireFound(t, r, 1, redlock.CodeAOFLate, redlock.SeverityUnsafe)
	assert.Equal(t, "late", r.Nodes[0].AOF)
}

func TestCheckFindsAReplicaOfAnotherNode(t *testing.T) {
	t.Parallel()
	on := servers.Start(t, 3, servers.WithAppendOnly(), servers.WithArgs("--repl-diskless-sync-delay", "0"))
	replica := on[2].Client(t)
	host, port, _ := strings.Cut(on[0].Addr(), ":")
	require.NoError(t, replica.ReplicaOf(t.Context(), host, port).Err())
	require.True(t, rig.Poll(rig.Patience, func() bool {
		return strings.Contains(replica.Info(t.Context(), "replication").Val(), "master_link_status:up")
	}))
	r := check(t, clientsOf(t, on))
	requireFound(t, r, 3, redlock.CodeReplica, redlock.SeverityBroken, "a replica of node 1", "grants no locks")
	require.Len(t, r.Findings, 1)
	assert.Equal(t, "replica", r.Nodes[2].Role)
	assert.False(t, r.Nodes[2].Locks)

	require.NoError(t, replica.ConfigSet(t.Context(), "replica-read-only", "no").Err())
	r = check(t, clientsOf(t, on))
	requireFound(t, r, 3, redlock.CodeReplica, redlock.SeverityUnsafe, "a replica of node 1")
	requireNoKeys(t, on[:1])
}

func TestCheckFindsOneServerUnderTwoNames(t *testing.T) {
	t.Parallel()
	on := servers.Start(t, 2, servers.WithAppendOnly())
	localhost := func(o *redis.Options) { o.Addr = strings.Replace(o.Addr, "127.0.0.1", "localhost", 1) }
	second := func(o *redis.Options) { o.DB = 1 }

	r := check(t, append(clientsOf(t, on), clientsOf(t, on[:1], localhost)...))
	i := slices.IndexFunc(r.Findings, func(f redlock.Finding) bool { return f.Code == redlock.CodeSameServer })
	require.GreaterOrEqual(t, i, 0)
	requireFound(t, r, r.Findings[i].Node, redlock.CodeSameServer, redlock.SeverityUnsafe, "the same database as node", "one vote")
	require.Len(t, r.Findings, 1)

	r = check(t, append(clientsOf(t, on), clientsOf(t, on[:1], second)...))
	requireFound(t, r, 3, redlock.CodeSameServer, redlock.SeverityUnsafe, "the same as that of node 1", "forget together")
	require.Len(t, r.Findings, 1)
	requireNoKeys(t, on)
}

func TestCheckFindsAClockThatIsWrong(t *testing.T) {
	t.Parallel()
	on := servers.Start(t, 3, servers.WithAppendOnly())
	clients := clientsOf(t, on)
	clients[1].(*redis.Client).AddHook(aheadHook(5 * time.Second))
	r := check(t, clients)
	requireFound(t, r, 2, redlock.CodeClock, redlock.SeverityNote, "The clock of the server is 5s ahead of that of this process")
	require.Len(t, r.Findings, 1)
	assert.InDelta(t, 5, r.Nodes[1].Ahead.Seconds(), 1)
	r = check(t, clients, redlock.WithFencing(time.Hour))
	requireFound(t, r, 2, redlock.CodeClock, redlock.SeverityUnsafe)

	for _, i := range []int{0, 2} {
		clients[i].(*redis.Client).AddHook(aheadHook(5 * time.Second))
	}
	r = check(t, clients)
	requireFound(t, r, 0, redlock.CodeClock, redlock.SeverityNote, "The clock of this process is 5s behind those of most nodes")
	require.Len(t, r.Findings, 1)
}

// aheadHook makes the clock of a server look so far ahead.
type aheadHook time.Duration

func (aheadHook) DialHook(next redis.DialHook) redis.DialHook { return next }
func (aheadHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h aheadHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if c, ok := cmd.(interface{ SetVal(any) }); ok && err == nil && cmd.Name() == "time" {
			at := time.Now().Add(time.Duration(h))
			c.SetVal([]any{itoa(at.Unix()), itoa(int64(at.Nanosecond()) / 1000)})
		}
		return err
	}
}

func TestCheckFindsNodesThatAreFrozenOrDownInTime(t *testing.T) {
	t.Parallel()
	on := servers.Start(t, 3, servers.WithAppendOnly())
	l, err := redlock.New(clientsOf(t, on), redlock.WithNodeTimeout(rig.Silence))
	require.NoError(t, err)
	_, err = l.Check(t.Context(), rig.LongTTL) // connects
	require.NoError(t, err)
	on[1].Freeze()
	on[2].Kill()
	r, err := l.Check(t.Context(), rig.LongTTL)
	require.NoError(t, err)
	t.Log(r)
	requireFound(t, r, 2, redlock.CodeNoAnswer, redlock.SeverityBroken, "2s")
	requireFound(t, r, 3, redlock.CodeUnreachable, redlock.SeverityBroken, "connection refused")
	requireFound(t, r, 0, redlock.CodeNoMajority, redlock.SeverityBroken)
	require.Len(t, r.Nodes, 3)
	assert.Equal(t, redlock.SeverityBroken, r.Worst())
	on[1].Thaw()
	on[2].Restart()
	rig.Drain(t, l)
	requireNoKeys(t, on)
}

func TestAReportMarshalsAndShowsNoPassword(t *testing.T) {
	t.Parallel()
	server, _ := newACLServer(t)
	r := check(t, clientsOf(t, []*servers.Server{server}, asUser("locks", "a-secret-password")))
	requireFound(t, r, 1, redlock.CodeNoLogin, redlock.SeverityBroken, "WRONGPASS")
	text, err := json.Marshal(r)
	require.NoError(t, err)
	for _, s := range []string{string(text), r.String()} {
		assert.NotContains(t, s, "secret")
	}
	var object map[string]any
	require.NoError(t, json.Unmarshal(text, &object))
	assert.InDelta(t, 2.0, object["ttl_seconds"], 0)
	assert.Equal(t, "broken", object["worst"])
	assert.Len(t, object["findings"], 2)
}
