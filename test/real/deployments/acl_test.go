package deployments_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

// aclOfDocs returns the commands of docs/nodes.md that make the user, word by
// word: the one for locks, and the one for waiting in line.
func aclOfDocs(t *testing.T) (plain, line []string) {
	t.Helper()
	for _, block := range rig.Blocks(t, "docs/nodes.md", "text") {
		if strings.HasPrefix(block, "ACL SETUSER ") {
			first, second, _ := strings.Cut(strings.TrimSpace(block), "\n")
			require.NotContains(t, second, "\n")
			return strings.Fields(first), strings.Fields(second)
		}
	}
	require.Fail(t, "docs/nodes.md has no ACL SETUSER")
	return nil, nil
}

// setDocsACL makes the user of docs/nodes.md on a server.
func setDocsACL(t *testing.T, admin *redis.Client) {
	t.Helper()
	plain, line := aclOfDocs(t)
	require.NoError(t, admin.Do(t.Context(), command(plain)...).Err())
	require.NoError(t, admin.Do(t.Context(), command(line)...).Err())
}

// command returns words as arguments of a command.
func command(words []string) []any {
	args := make([]any, len(words))
	for i, w := range words {
		args[i] = w
	}
	return args
}

const aclAdmin = "user admin on >admin ~* &* +@all\n"

// asUser returns an option of a client that logs in. Its handshake is the one
// of default options.
func asUser(name, password string) func(*redis.Options) {
	return func(o *redis.Options) {
		o.Username, o.Password = name, password
		o.MaintNotificationsConfig = nil
	}
}

// newACLServer starts a server on which nobody can log in but an administrator,
// after a restart too.
func newACLServer(t *testing.T, opts ...servers.Option) (server *servers.Server, admin *redis.Client) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "users.acl")
	require.NoError(t, os.WriteFile(file, []byte(aclAdmin+"user default off\n"), 0o600))
	server = servers.StartOne(t, append(opts, servers.WithArgs("--aclfile", file))...)
	return server, server.Client(t, asUser("admin", "admin"))
}

func TestTheACLOfTheDocsIsEnough(t *testing.T) {
	t.Parallel()
	on := &rig.Real{}
	for range 3 {
		server, admin := newACLServer(t)
		setDocsACL(t, admin)
		require.NoError(t, admin.Do(t.Context(), "ACL", "SAVE").Err())
		require.ErrorContains(t, server.Client(t).Ping(t.Context()).Err(), "NOAUTH", "the default user is on")
		on.Servers, on.Direct = append(on.Servers, server), append(on.Direct, admin)
	}
	var log rig.ErrorLog
	l := rig.NewRealLocker(t, on.NewClients(t, asUser("locks", "secret")), log.Option())
	other := rig.NewRealLocker(t, on.NewClients(t, asUser("locks", "secret")), log.Option())

	const key = "lock:k"
	lock, err := l.Lock(t.Context(), key, rig.LongTTL)
	require.NoError(t, err)
	rig.DrainCalls(t, l)
	require.Equal(t, 3, on.Holders(t, key, lock.Value()))
	_, err = other.TryLock(t.Context(), key, rig.LongTTL)
	require.ErrorIs(t, err, redlock.ErrContended)
	require.NoError(t, lock.Extend(t.Context(), 2*rig.LongTTL))
	rig.DrainCalls(t, l)
	require.Greater(t, on.PTTL(t, 0, key), rig.LongTTL)
	handOver(t, on, lock, other, key)
	rig.DrainCalls(t, l)
	require.Empty(t, log.Take(0), "nothing was refused")

	// A node that has lost the lock is given it again, and the lock is
	// extended in the background.
	err = other.With(t.Context(), key, 6*time.Second, func(ctx context.Context, lock *redlock.Lock) error {
		rig.DrainCalls(t, other)
		on.Servers[1].Restart()
		require.True(t, rig.Poll(rig.Patience, func() bool { return on.Direct[1].Get(ctx, key).Val() == lock.Value() }))
		first := lock.Until()
		require.True(t, rig.Poll(rig.Patience, func() bool { return lock.Until().After(first) || ctx.Err() != nil }))
		return context.Cause(ctx)
	}, func(err error) { require.NoError(t, err) }, redlock.WithAutoExtend(redlock.Forever))
	require.NoError(t, err)
	rig.LockOnce(t, l, key)
	rig.Drain(t, l)
	rig.Drain(t, other)
	for _, n := range log.Take(0) {
		require.NotEqual(t, "NOPERM", n.ErrorType(), "%v", n)
	}
	on.RequireEmpty(t, rig.LongTTL/3)
	for _, admin := range on.Direct {
		require.Empty(t, refusals(t, admin))
	}
}

// handOver unlocks a lock for which l waits in line, and has l lock and unlock it.
func handOver(t *testing.T, on *rig.Real, lock *redlock.Lock, l *redlock.Locker, key string) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		done <- l.With(t.Context(), key, rig.LongTTL, func(context.Context, *redlock.Lock) error { return nil }, nil,
			redlock.WithMaxWait(rig.Patience))
	}()
	require.True(t, rig.Poll(rig.Patience, func() bool { return on.Waiting(t, key) == 1 }), "it stands in line")
	require.NoError(t, lock.Unlock(t.Context()))
	require.NoError(t, <-done)
}

// useAll makes use of all that a Locker does on a node, and returns the first
// error that says that something does not work.
func useAll(t *testing.T, client, rival redlock.Client, key string) error {
	t.Helper()
	opts := []redlock.Option{redlock.WithRetry(0, 0), redlock.WithNodeTimeout(rig.Patience)}
	l, other := rig.NewRealLocker(t, []redlock.Client{client}, opts...), rig.NewRealLocker(t, []redlock.Client{rival}, opts...)
	defer rig.Drain(t, l)
	defer rig.Drain(t, other)
	// By the source of the scripts, and by their names once the server knows them.
	for range 2 {
		if err := useOnce(t, l, other, key); err != nil {
			return err
		}
	}
	return nil
}

func useOnce(t *testing.T, l, other *redlock.Locker, key string) error {
	t.Helper()
	lock, err := l.Lock(t.Context(), key, rig.Patience)
	if err != nil {
		return err
	}
	if _, err = other.Lock(t.Context(), key, rig.Patience); errors.Is(err, redlock.ErrContended) {
		err = lock.Extend(t.Context(), 2*rig.Patience)
	}
	if unlockErr := lock.Unlock(t.Context()); err == nil {
		err = unlockErr
	}
	return err
}

// requireRefusedBy requires that err says which node has refused, and that it
// has for that reason.
func requireRefusedBy(t *testing.T, err error, addr, reason string) {
	t.Helper()
	rig.RequireOfNode(t, err)
	require.ErrorIs(t, err, redlock.ErrNoQuorum)
	e, ok := errors.AsType[*redlock.LockError](err)
	require.True(t, ok)
	require.Len(t, e.Nodes, 1)
	require.Equal(t, addr, e.Nodes[0].Addr)
	require.Equal(t, reason, e.Nodes[0].ErrorType(), "%v", err)
	require.ErrorContains(t, err, addr)
}

func TestEachPermissionOfTheACLOfTheDocsIsNeeded(t *testing.T) {
	t.Parallel()
	server, admin := newACLServer(t)
	acl, _ := aclOfDocs(t)
	name := acl[2]
	try := func(t *testing.T, acl []string) error {
		t.Helper()
		require.NoError(t, admin.Do(t.Context(), "ACL", "DELUSER", name).Err())
		require.NoError(t, admin.Do(t.Context(), command(acl)...).Err())
		require.NoError(t, admin.FlushAll(t.Context()).Err())
		require.NoError(t, admin.ScriptFlush(t.Context()).Err())
		login := asUser(name, "secret")
		return useAll(t, server.Client(t, login), server.Client(t, login), "lock:k")
	}
	require.NoError(t, try(t, acl), "with all of them")
	for i, word := range acl[3:] {
		var reason string
		switch {
		case word == "resetchannels", strings.HasPrefix(word, "-"):
			continue // takes something away
		case word == "on", strings.HasPrefix(word, ">"):
			reason = "WRONGPASS"
		case word == "+evalsha", word == "+eval", strings.HasPrefix(word, "~"):
			reason = "NOPERM"
		default:
			reason = "ERR" // the script may not
		}
		t.Run("without "+word, func(t *testing.T) {
			err := try(t, slices.Delete(slices.Clone(acl), 3+i, 4+i))
			t.Log(err)
			requireRefusedBy(t, err, server.Addr(), reason)
		})
	}
	require.NoError(t, try(t, acl), "with all of them again")
}

func TestWithoutThePermissionsOfTheLineLocksWorkAsEver(t *testing.T) {
	t.Parallel()
	server, admin := newACLServer(t)
	acl, line := aclOfDocs(t)
	name := acl[2]
	try := func(t *testing.T, line []string) {
		t.Helper()
		require.NoError(t, admin.Do(t.Context(), "ACL", "DELUSER", name).Err())
		require.NoError(t, admin.Do(t.Context(), command(acl)...).Err())
		require.NoError(t, admin.Do(t.Context(), command(line)...).Err())
		require.NoError(t, admin.FlushAll(t.Context()).Err())
		var log rig.ErrorLog
		login := asUser(name, "secret")
		holder := rig.NewRealLocker(t, []*redis.Client{server.Client(t, login)}, log.Option())
		lock, err := holder.Lock(t.Context(), "lock:k", rig.LongTTL)
		require.NoError(t, err)
		waiter := rig.NewRealLocker(t, []*redis.Client{server.Client(t, login)}, log.Option())
		before := rig.ReadTraffic(t, []*redis.Client{admin}).Scripts
		done := make(chan error, 1)
		go func() {
			done <- waiter.With(t.Context(), "lock:k", rig.LongTTL, func(context.Context, *redlock.Lock) error { return nil }, nil,
				redlock.WithMaxWait(rig.Patience), redlock.WithRetry(redlock.Forever, 20*time.Millisecond))
		}()
		require.True(t, rig.Poll(rig.Patience, func() bool { return rig.ReadTraffic(t, []*redis.Client{admin}).Scripts > before+4 }), "it asks again")
		require.NoError(t, lock.Unlock(t.Context()))
		require.NoError(t, <-done)
		rig.Drain(t, holder)
		rig.Drain(t, waiter)
		require.Empty(t, log.Take(0), "what a line misses is no error of a node")
		require.True(t, rig.Poll(rig.Patience, func() bool { return admin.DBSize(t.Context()).Val() == 0 }))
	}
	try(t, line)
	try(t, line[:3])
	for i, word := range line[3:] {
		t.Run("without "+word, func(t *testing.T) {
			try(t, slices.Delete(slices.Clone(line), 3+i, 4+i))
		})
	}
}

func TestNodeThatDoesNotKnowThePasswordIsNamed(t *testing.T) {
	t.Parallel()
	server, admin := newACLServer(t)
	setDocsACL(t, admin)
	for _, tt := range []struct{ name, user, password, reason string }{
		{"wrong password", "locks", "guess", "WRONGPASS"},
		{"unknown user", "lock", "secret", "WRONGPASS"},
		{"the default user, which is off", "", "secret", "WRONGPASS"},
		{"no password", "", "", "NOAUTH"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			login := asUser(tt.user, tt.password)
			err := useAll(t, server.Client(t, login), server.Client(t, login), "lock:k")
			t.Log(err)
			requireRefusedBy(t, err, server.Addr(), tt.reason)
			require.NotContains(t, err.Error(), "guess")
		})
	}
}
