package deployments_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func TestCheckLooksAtEachMasterOfACluster(t *testing.T) {
	t.Parallel()
	cluster := newRealCluster(t)
	wait := func(o *redis.ClusterOptions) { o.ReadTimeout = rig.LongTTL }
	r := check(t, []redlock.Client{cluster.Client(t, wait)})
	requireFound(t, r, 1, redlock.CodeFailsOver, redlock.SeverityUnsafe, "Cluster")
	require.Len(t, r.Nodes, 3)
	var addrs []string
	for i, n := range r.Nodes {
		assert.Equal(t, 1, n.Node)
		assert.True(t, n.Locks)
		assert.True(t, n.Line)
		addrs = append(addrs, n.Addr)
		assert.Contains(t, r.String(), cluster.Servers[i].Addr())
	}
	assert.Len(t, slices.Compact(addrs), 3)
	count := 0
	for _, code := range codes(r, 1) {
		if code == redlock.CodeNoAOF {
			count++
		}
	}
	assert.Equal(t, 3, count, "of each")

	// Two clients that were told other addresses of it.
	ends := func(addr string) func(*redis.ClusterOptions) {
		return func(o *redis.ClusterOptions) { wait(o); o.Addrs = []string{addr} }
	}
	r = check(t, []redlock.Client{cluster.Client(t, ends(cluster.Servers[0].Addr())), cluster.Client(t, ends(cluster.Servers[1].Addr()))})
	i := slices.IndexFunc(r.Findings, func(f redlock.Finding) bool { return f.Code == redlock.CodeSameServer })
	require.GreaterOrEqual(t, i, 0)

	// A server of it behind a plain client.
	one := cluster.Servers[0].Client(t, rig.Hang)
	r = check(t, []redlock.Client{one})
	requireFound(t, r, 1, redlock.CodeClusterMember, redlock.SeverityNote)
	cluster.requireEmpty(t)
}

func TestCheckSaysThatASentinelGroupOrARingAloneLosesLocks(t *testing.T) {
	t.Parallel()
	group := servers.StartSentinelGroup(t, servers.WithAppendOnly())
	client := group.Client(t, func(o *redis.FailoverOptions) { o.ReadTimeout = rig.LongTTL })
	r := check(t, []redlock.Client{client})
	requireFound(t, r, 1, redlock.CodeFailsOver, redlock.SeverityUnsafe, "Sentinel")
	require.Len(t, r.Findings, 1)

	r = check(t, clientsOf(t, group.Sentinels[:1], func(o *redis.Options) { o.Protocol = 2 }))
	requireFound(t, r, 1, redlock.CodeSentinel, redlock.SeverityBroken)

	on := servers.Start(t, 1, servers.WithAppendOnly())
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"only": on[0].Addr()}, ReadTimeout: rig.LongTTL})
	t.Cleanup(func() { _ = ring.Close() })
	r = check(t, []redlock.Client{ring})
	requireFound(t, r, 1, redlock.CodeFailsOver, redlock.SeverityUnsafe, "Ring")
	requireFound(t, r, 1, redlock.CodeNoLine, redlock.SeveritySlow, "cannot listen")
	require.Len(t, r.Findings, 2)
	requireNoKeys(t, on)
}

func TestCheckLooksAtTheOptionsOfClients(t *testing.T) {
	t.Parallel()
	on := servers.Start(t, 1, servers.WithAppendOnly())
	small := on[0].Client(t, func(o *redis.Options) { o.PoolSize, o.ReadTimeout = 3, rig.NodeTimeout/2 })
	r := check(t, []redlock.Client{small})
	requireFound(t, r, 1, redlock.CodeSmallPool, redlock.SeveritySlow, "3 connections")
	requireFound(t, r, 1, redlock.CodeReadTimeout, redlock.SeveritySlow, "10s", "20s")
	require.Len(t, r.Findings, 2)
	assert.NotContains(t, codes(check(t, []redlock.Client{small}, redlock.WithAutoPipeline()), 1), redlock.CodeSmallPool)

	own := rig.CustomClient{Do: clientsOf(t, on)[0].Process}
	r = check(t, []redlock.Client{own})
	requireFound(t, r, 1, redlock.CodeNoLine, redlock.SeveritySlow, "cannot listen")
	require.Len(t, r.Findings, 1)
	assert.True(t, r.Nodes[0].Locks)
	requireNoKeys(t, on)
}

// checkACL returns what Check finds as a user with these permissions.
func checkACL(t *testing.T, server *servers.Server, admin *redis.Client, words []string, opts ...redlock.Option) redlock.Report {
	t.Helper()
	require.NoError(t, admin.Do(t.Context(), "ACL", "DELUSER", "locks").Err())
	require.NoError(t, admin.Do(t.Context(), command(words)...).Err())
	r := check(t, clientsOf(t, []*servers.Server{server}, asUser("locks", "secret")), opts...)
	requireNoKeysBut(t, admin)
	return r
}

// requireNoKeysBut is requireNoKeys for a server that lets only an administrator in.
func requireNoKeysBut(t *testing.T, admin *redis.Client) {
	t.Helper()
	require.True(t, rig.Poll(rig.Patience, func() bool { return admin.DBSize(t.Context()).Val() == 0 }), "keys left behind")
}

func TestWhatCheckNeedsIsInTheDocs(t *testing.T) {
	t.Parallel()
	server, admin := newACLServer(t, servers.WithAppendOnly())
	plain, line := aclOfDocs(t)
	needs := permissionsFor(t, "`Check` needs")
	require.Equal(t, []string{"+info", "~redlock:check:*", "~{redlock:check:*}:redlock:*"}, needs)
	all := slices.Concat(plain, line[3:], needs)
	without := func(words ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(w string) bool { return slices.Contains(words, w) })
	}
	require.NoError(t, admin.Do(t.Context(), "ACL", "LOG", "RESET").Err())
	require.Empty(t, checkACL(t, server, admin, all).Findings)
	require.Empty(t, checkACL(t, server, admin, all, redlock.WithFencing(time.Hour)).Findings)
	require.Empty(t, refusals(t, admin))

	for _, tt := range []struct {
		name     string
		without  []string
		code     redlock.Code
		severity redlock.Severity
		words    []string
	}{
		{"INFO", []string{"+info"}, redlock.CodeNoInfo, redlock.SeverityNote, []string{"NOPERM"}},
		{"its key", []string{"~redlock:check:*"}, redlock.CodeNotTried, redlock.SeverityNote, []string{"NOPERM"}},
		{"the line's keys", []string{"~{redlock:check:*}:redlock:*"}, redlock.CodeNoLine, redlock.SeveritySlow, []string{"NOPERM"}},
		{"a command of the line", []string{"+zadd", "+zrem"}, redlock.CodeNoLine, redlock.SeveritySlow, []string{"zadd and zrem"}},
		{"PUBLISH", []string{"+publish"}, redlock.CodeNoMessages, redlock.SeveritySlow, []string{"publish"}},
		{"SUBSCRIBE", []string{"+subscribe"}, redlock.CodeNoMessages, redlock.SeveritySlow, []string{"NOPERM"}},
		{"the channels", []string{"&redlock:*"}, redlock.CodeNoMessages, redlock.SeveritySlow, []string{"NOPERM"}},
		{"EVAL", []string{"+eval"}, redlock.CodeNoScripts, redlock.SeverityBroken, []string{"NOPERM"}},
		{"EVALSHA", []string{"+evalsha"}, redlock.CodeNoScripts, redlock.SeverityBroken, []string{"NOPERM"}},
		{"SET", []string{"+set"}, redlock.CodeNoLocks, redlock.SeverityBroken, []string{"grant", "NOPERM"}},
		{"GET", []string{"+get"}, redlock.CodeNoLocks, redlock.SeverityBroken, []string{"grant"}},
		{"PEXPIRE", []string{"+pexpire"}, redlock.CodeNoLocks, redlock.SeverityBroken, []string{"extend"}},
		{"DEL", []string{"+del"}, redlock.CodeNoLocks, redlock.SeverityBroken, []string{"release"}},
	} {
		t.Run("without "+tt.name, func(t *testing.T) {
			r := checkACL(t, server, admin, without(tt.without...))
			requireFound(t, r, 1, tt.code, tt.severity, tt.words...)
			assert.Equal(t, tt.severity != redlock.SeverityBroken && tt.code != redlock.CodeNotTried, r.Nodes[0].Locks)
		})
	}
	r := checkACL(t, server, admin, without("~{redlock:check:*}:redlock:*"), redlock.WithFencing(time.Hour))
	requireFound(t, r, 1, redlock.CodeNoLocks, redlock.SeverityBroken, "grant", "NOPERM")
}

func TestCheckTriesLocksWithoutScriptsAndInAQuarantine(t *testing.T) {
	t.Parallel()
	on := servers.Start(t, 3)
	l := rig.NewRealLocker(t, clientsOf(t, on), redlock.WithRestartQuarantine(checkTTL))
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
		r, err := l.Check(t.Context(), checkTTL)
		require.NoError(c, err)
		require.Empty(c, r.Findings, "%v", r)
		require.True(c, r.Nodes[0].Locks)
	})
	r, err := rig.NewRealLocker(t, clientsOf(t, on), redlock.WithRestartQuarantine(time.Hour)).Check(t.Context(), checkTTL)
	require.NoError(t, err)
	for node := range 3 {
		requireFound(t, r, node+1, redlock.CodeRestarted, redlock.SeverityNote, "QUARANTINE")
	}
	requireNoKeys(t, on)

	deletes := compares(t, on[0].Client(t))
	r = check(t, clientsOf(t, on), redlock.WithoutScripts())
	if deletes == "" {
		requireFound(t, r, 1, redlock.CodeNoLocks, redlock.SeverityBroken, "a lock: ERR") // Valkey 8.1 extends it, and does not release it
	} else {
		require.Len(t, r.Findings, 3, "%v", r) // of their files
		assert.Equal(t, deletes, r.Nodes[0].Release)
		assert.True(t, r.Nodes[0].Locks)
	}
	requireNoKeys(t, on)
}
