package deployments_test

import (
	"errors"
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

// requireInspects requires that l tells who holds a resource, that another Locker waits
// for it and that it breaks the lock.
func requireInspects(t *testing.T, client func() redlock.Client, key string, opts ...redlock.Option) {
	t.Helper()
	holder := rig.NewRealLocker(t, []redlock.Client{client()})
	lock, err := holder.Lock(t.Context(), key, rig.LongTTL, redlock.WithOwner("billing 7"), redlock.WithFencing(time.Hour))
	require.NoError(t, err)
	waiter := rig.NewRealLocker(t, []redlock.Client{client()}, redlock.WithOwner("web 3"))
	done := make(chan error, 1)
	go func() {
		lock, err := waiter.Lock(t.Context(), key, rig.LongTTL, redlock.WithMaxWait(rig.Patience), redlock.WithRetry(redlock.Forever, 50*time.Millisecond))
		if err == nil {
			err = lock.Unlock(t.Context())
		}
		done <- err
	}()
	l := rig.NewRealLocker(t, []redlock.Client{client()}, opts...)
	var s redlock.State
	require.True(t, rig.Poll(rig.Patience, func() bool {
		s, err = l.Inspect(t.Context(), key)
		require.NoError(t, err)
		return len(s.Waiting) == 1 || s.Gate == 0 && s.Verdict == redlock.VerdictHeld
	}), "%v", s)
	n := s.Nodes[0]
	require.NoError(t, errors.Join(n.Err, n.PartErr))
	assert.Equal(t, redlock.VerdictHeld, s.Verdict)
	assert.Equal(t, redlock.Holder{Mark: lock.Mark(), Owner: "billing 7", Since: s.Holder.Since}, s.Holder)
	assert.Equal(t, lock.Token(), s.Token)
	if s.Gate > 0 {
		assert.Equal(t, "web 3", s.Waiting[0].Owner)
		assert.WithinDuration(t, time.Now(), s.Waiting[0].Since, rig.Patience)
	}
	require.NoError(t, l.Break(t.Context(), key, lock.Mark()))
	require.NoError(t, <-done)
	require.ErrorIs(t, lock.Extend(t.Context(), rig.LongTTL), redlock.ErrLockLost)
	for _, l := range []*redlock.Locker{holder, waiter, l} {
		rig.Drain(t, l)
	}
}

func TestEveryKindOfClientInspectsAndBreaks(t *testing.T) {
	t.Parallel()
	server := servers.StartOne(t)
	plain := func(opts ...func(*redis.Options)) *redis.Client { return server.Client(t, opts...) }
	for name, client := range map[string]func() redlock.Client{
		"a client": func() redlock.Client { return plain() },
		"RESP2":    func() redlock.Client { return plain(func(o *redis.Options) { o.Protocol = 2 }) },
		"an AutoPipeliner": func() redlock.Client {
			return rig.AutoPipeline(t, []*redis.Client{plain()}, (*redis.Client).AutoPipeline)[0]
		},
		"a deferred one": func() redlock.Client {
			return rig.AutoPipeline(t, []*redis.Client{plain()}, (*redis.Client).AsyncAutoPipeline)[0]
		},
		"Process alone": func() redlock.Client { return rig.CustomClient{Do: plain().Process} },
		"Process in RESP2": func() redlock.Client {
			return rig.CustomClient{Do: plain(func(o *redis.Options) { o.Protocol = 2 }).Process}
		},
		"a Ring": func() redlock.Client { return newRing(t, server) },
	} {
		for resource, key := range map[string]string{"a plain name": "k", "a tag": "a{b}c"} {
			t.Run(name+", "+resource, func(t *testing.T) { requireInspects(t, client, key) })
		}
		t.Run(name+", in batches", func(t *testing.T) { requireInspects(t, client, "k", redlock.WithAutoPipeline()) })
	}
}

func newRing(t *testing.T, server *servers.Server) *redis.Ring {
	t.Helper()
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": server.Addr()}})
	t.Cleanup(func() { _ = ring.Close() })
	return ring
}

func TestAClusterIsInspectedWhereverTheResourceLies(t *testing.T) {
	t.Parallel()
	c := newRealCluster(t)
	for _, key := range []string{"invoice:1", "invoice:2", "invoice:3", "{tag}a"} {
		requireInspects(t, func() redlock.Client { return c.Client(t) }, key)
	}
}

func TestInspectAndBreakNeedNoMoreThanTheACLOfTheDocs(t *testing.T) {
	t.Parallel()
	server, admin := newACLServer(t)
	setDocsACL(t, admin)
	requireInspects(t, func() redlock.Client { return server.Client(t, asUser("locks", "secret")) }, "lock:k")
	require.Empty(t, refusals(t, admin))
}

func TestWithoutThePermissionsOfTheLineAHolderIsInspectedAndBroken(t *testing.T) {
	t.Parallel()
	server, admin := newACLServer(t)
	acl, _ := aclOfDocs(t)
	require.NoError(t, admin.Do(t.Context(), command(acl)...).Err())
	l := rig.NewRealLocker(t, []*redis.Client{server.Client(t, asUser("locks", "secret"))})
	lock, err := l.Lock(t.Context(), "lock:k", rig.LongTTL, redlock.WithOwner("billing 7"))
	require.NoError(t, err)
	s, err := l.Inspect(t.Context(), "lock:k")
	require.NoError(t, err)
	assert.Equal(t, "billing 7", s.Holder.Owner)
	require.NoError(t, s.Nodes[0].Err)
	require.ErrorContains(t, s.Nodes[0].PartErr, "NOPERM")
	require.NoError(t, l.Break(t.Context(), "lock:k", lock.Mark()))
	assert.Zero(t, admin.Exists(t.Context(), "lock:k").Val())
	rig.Drain(t, l)
}

// The user of docs/nodes.md who may only look may do that, and nothing else.
func TestAUserWhoMayOnlyReadInspects(t *testing.T) {
	t.Parallel()
	server, admin := newACLServer(t)
	setDocsACL(t, admin)
	var acl []string
	for _, block := range rig.Blocks(t, "docs/nodes.md", "text") {
		for line := range strings.Lines(block) {
			if strings.HasPrefix(line, "ACL SETUSER look ") {
				acl = strings.Fields(line)
			}
		}
	}
	require.NotEmpty(t, acl, "docs/nodes.md has no ACL SETUSER look")
	holder := rig.NewRealLocker(t, []*redis.Client{server.Client(t, asUser("locks", "secret"))})
	lock, err := holder.Lock(t.Context(), "lock:k", rig.LongTTL, redlock.WithOwner("billing 7"), redlock.WithFencing(time.Hour))
	require.NoError(t, err)
	try := func(acl []string) (redlock.State, *redlock.Locker) {
		require.NoError(t, admin.Do(t.Context(), "ACL", "DELUSER", "look").Err())
		require.NoError(t, admin.Do(t.Context(), command(acl)...).Err())
		l := rig.NewRealLocker(t, []*redis.Client{server.Client(t, asUser("look", "secret"))})
		s, err := l.Inspect(t.Context(), "lock:k")
		require.NoError(t, err)
		return s, l
	}
	s, l := try(acl)
	require.NoError(t, errors.Join(s.Nodes[0].Err, s.Nodes[0].PartErr))
	assert.Equal(t, "billing 7", s.Holder.Owner)
	assert.Equal(t, lock.Token(), s.Token)
	require.ErrorContains(t, l.Break(t.Context(), "lock:k", lock.Mark()), "NOPERM")
	assert.Equal(t, lock.Value(), admin.Get(t.Context(), "lock:k").Val())
	for i, word := range acl {
		if strings.HasPrefix(word, "+") || strings.HasPrefix(word, "~") {
			s, _ := try(slices.Delete(slices.Clone(acl), i, i+1))
			assert.Error(t, errors.Join(s.Nodes[0].Err, s.Nodes[0].PartErr), "without %s", word)
		}
	}
	require.NoError(t, lock.Unlock(t.Context()))
	rig.Drain(t, holder)
}
