package deployments_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

var permission = regexp.MustCompile("`(\\+[a-z|]+|~\\S+)`")

// permissionsFor returns the permissions that docs/nodes.md names in the sentence that
// begins with those words.
func permissionsFor(t *testing.T, begin string) []string {
	t.Helper()
	_, sentence, found := strings.Cut(strings.Join(strings.Fields(rig.Section(t, "docs/nodes.md", "ACL")), " "), begin)
	require.True(t, found, "docs/nodes.md does not say: %s", begin)
	sentence, _, _ = strings.Cut(sentence, ". ")
	var all []string
	for _, m := range permission.FindAllStringSubmatch(sentence, -1) {
		all = append(all, m[1])
	}
	require.NotEmpty(t, all)
	return all
}

// setACL makes the user of docs/nodes.md, with more permissions, on a server, and
// forgets what that has refused.
func setACL(t *testing.T, admin *redis.Client, more ...string) {
	t.Helper()
	acl, line := aclOfDocs(t)
	require.NoError(t, admin.Do(t.Context(), "ACL", "DELUSER", acl[2]).Err())
	require.NoError(t, admin.Do(t.Context(), command(acl)...).Err())
	require.NoError(t, admin.Do(t.Context(), command(append(line, more...))...).Err())
	require.NoError(t, admin.Do(t.Context(), "ACL", "LOG", "RESET").Err())
}

// refusals returns the commands that a server has refused to users, but for those of which
// docs/nodes.md says so: by the first go-redis tells newer servers its version, scripts try the next
// ones, and Check the last.
func refusals(t *testing.T, admin *redis.Client) []string {
	t.Helper()
	log, err := admin.Do(t.Context(), "ACL", "LOG").Slice()
	require.NoError(t, err)
	var all []string
	for _, entry := range log {
		fields, ok := entry.(map[any]any)
		require.True(t, ok, "%T", entry)
		if object := fields["object"].(string); !slices.Contains([]string{"client|setinfo", "delex", "delifeq", "waitaof"}, object) {
			all = append(all, object)
		}
	}
	return all
}

func TestWhatTheHandshakeNeedsIsInTheDocs(t *testing.T) {
	t.Parallel()
	server, admin := newACLServer(t)
	needs := permissionsFor(t, "For go-redis' handshake")
	for _, tt := range []struct {
		needs string
		opt   func(*redis.Options)
	}{
		{"+select", func(o *redis.Options) { o.DB = 1 }},
		{"+client|setname", func(o *redis.Options) { o.ClientName = "name" }},
		{"", func(o *redis.Options) { o.Protocol = 2 }},
		{"", func(o *redis.Options) { o.IdentitySuffix = "suffix" }},
		{"", func(o *redis.Options) { o.ContextTimeoutEnabled = true }},
	} {
		use := func() error {
			login := asUser("locks", "secret")
			return useAll(t, server.Client(t, login, tt.opt), server.Client(t, login, tt.opt), "lock:k")
		}
		setACL(t, admin)
		if tt.needs == "" {
			require.NoError(t, use())
			continue
		}
		require.Contains(t, needs, tt.needs)
		requireRefusedBy(t, use(), server.Addr(), "NOPERM")
		setACL(t, admin, tt.needs)
		require.NoError(t, use(), "with %s", tt.needs)
	}
}

func TestWhatAClusterClientNeedsIsInTheDocs(t *testing.T) {
	t.Parallel()
	cluster := newRealCluster(t)
	var addrs []string
	for _, s := range cluster.Servers {
		addrs = append(addrs, s.Addr())
	}
	slices.Sort(addrs)
	addr := strings.Join(addrs, ",")

	set := func(permissions ...string) {
		for _, admin := range cluster.direct {
			setACL(t, admin, permissions...)
		}
	}
	use := func(key string) error {
		client := func() redlock.Client {
			return cluster.Client(t, func(o *redis.ClusterOptions) {
				o.Username, o.Password = "locks", "secret"
				o.MaintNotificationsConfig = nil
			})
		}
		return useAll(t, client(), client(), key)
	}
	refused := func() (all []string) {
		for _, admin := range cluster.direct {
			all = append(all, refusals(t, admin)...)
		}
		return all
	}
	needs := permissionsFor(t, "A `ClusterClient` needs")
	require.Equal(t, []string{"+cluster|slots", "+asking"}, needs)
	require.Contains(t, rig.Section(t, "docs/nodes.md", "ACL"), "With `+command` it is spared")
	const still, moving = "lock:still", "lock:moving"
	cluster.BeginMove(moving, (cluster.Owner(moving)+1)%len(cluster.Servers))

	set(append(needs, "+command")...)
	require.NoError(t, use(still))
	require.NoError(t, use(moving))
	require.Empty(t, refused())

	set(needs...)
	require.NoError(t, use(still))
	require.NoError(t, use(moving))
	require.Contains(t, refused(), "command", "it asks for it all the same")

	set("+cluster|slots", "+command")
	require.NoError(t, use(still))
	requireRefusedBy(t, use(moving), addr, "NOPERM")
	require.Equal(t, []string{"asking"}, refused())

	set("+asking", "+command")
	requireRefusedBy(t, use(still), addr, "NOPERM")
	require.Contains(t, refused(), "cluster|slots")
}

func TestASentinelClientNeedsNoMoreThanTheACLOfTheDocs(t *testing.T) {
	t.Parallel()
	group := servers.StartSentinelGroup(t)
	master, replica := group.Master.Client(t), group.Replica.Client(t)
	setACL(t, master)
	group.WaitForReplica()
	require.ErrorIs(t, replica.Do(t.Context(), "ACL", "GETUSER", "locks").Err(), redis.Nil, "users are handed on")
	setACL(t, replica)

	client := func() redlock.Client {
		return group.Client(t, func(o *redis.FailoverOptions) { o.Username, o.Password = "locks", "secret" })
	}
	require.NoError(t, useAll(t, client(), client(), "lock:k"))
	require.Empty(t, refusals(t, master))
	l := rig.NewRealLocker(t, []redlock.Client{client()})
	rig.LockOnce(t, l, "lock:k")
	group.Master.Kill()
	group.WaitForFailover()
	rig.LockOnce(t, l, "lock:k", redlock.WithMaxWait(rig.Patience))
	require.NoError(t, useAll(t, client(), client(), "lock:k"))
	require.Empty(t, refusals(t, replica))
	rig.Drain(t, l)
}
