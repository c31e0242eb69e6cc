package faults_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

// A badState is one in which a real server does not do what it is told. Other
// tests freeze and kill servers and take permissions away.
type badState struct {
	name string
	kind string // NodeError.ErrorType
	// still are the ops that work all the same.
	still []redlock.Op
	// enter puts a server into the state, leave takes it out again. Both use
	// one connection, as others may not be let in.
	enter, leave func(t *testing.T, s *badOne)
}

// A badOne is a real server that is put into a bad state.
type badOne struct {
	*redis.Conn
	busy *redis.Client // waits for its answers, and asks once only
	wait sync.WaitGroup
}

// tell sends commands, split at spaces.
func (s *badOne) tell(t *testing.T, commands ...string) {
	t.Helper()
	for _, c := range commands {
		var args []any
		for arg := range strings.SplitSeq(c, " ") {
			args = append(args, arg)
		}
		require.NoError(t, s.Do(t.Context(), args...).Err(), c)
	}
}

func tell(commands ...string) func(t *testing.T, s *badOne) {
	return func(t *testing.T, s *badOne) {
		t.Helper()
		s.tell(t, commands...)
	}
}

func badStates() []badState {
	return []badState{
		{
			name: "no memory left", kind: "OOM", still: []redlock.Op{redlock.OpExtend, redlock.OpRelease},
			enter: tell("CONFIG SET maxmemory 1"), leave: tell("CONFIG SET maxmemory 0"),
		},
		{
			name: "a replica", kind: "READONLY",
			enter: tell("REPLICAOF 127.0.0.1 1"), leave: tell("REPLICAOF NO ONE"),
		},
		{
			name: "a replica that has lost its primary", kind: "MASTERDOWN",
			enter: tell("CONFIG SET replica-serve-stale-data no", "REPLICAOF 127.0.0.1 1"), leave: tell("REPLICAOF NO ONE"),
		},
		{
			name: "too few replicas", kind: "NOREPLICAS",
			enter: tell("CONFIG SET min-replicas-to-write 1"), leave: tell("CONFIG SET min-replicas-to-write 0"),
		},
		{
			name: "no password was given", kind: "NOAUTH",
			enter: tell("CONFIG SET requirepass secret", "CLIENT KILL TYPE normal SKIPME yes"),
			leave: tell("CONFIG SET requirepass "),
		},
		{
			name: "no snapshot can be written", kind: "MISCONF",
			enter: failToSave, leave: tell("CONFIG SET stop-writes-on-bgsave-error no"),
		},
		{name: "busy with a script", kind: "BUSY", enter: runForEver, leave: stopScript},
	}
}

// failToSave has a server find a directory where its snapshot is to be.
func failToSave(t *testing.T, s *badOne) {
	t.Helper()
	dir, err := s.ConfigGet(t.Context(), "dir").Result()
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(dir["dir"], "dump.rdb", "in the way"), 0o700))
	require.NoError(t, s.ConfigSet(t.Context(), "save", "3600 1000").Err())
	s.tell(t, "BGSAVE")
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
		info, err := s.Info(context.Background(), "persistence").Result()
		assert.NoError(c, err)
		assert.Contains(c, info, "rdb_last_bgsave_status:err")
	})
}

func runForEver(t *testing.T, s *badOne) {
	t.Helper()
	s.tell(t, "CONFIG SET busy-reply-threshold 1")
	s.wait.Go(func() { _ = s.busy.Eval(context.Background(), "while true do end", nil) })
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
		assert.ErrorContains(c, s.Get(context.Background(), "any").Err(), "BUSY")
	})
}

func stopScript(t *testing.T, s *badOne) {
	t.Helper()
	s.tell(t, "SCRIPT KILL")
	s.wait.Wait()
}

func newBadOnes(t *testing.T, servers []*servers.Server) []*badOne {
	t.Helper()
	var all []*badOne
	for _, s := range servers {
		conn := s.Client(t).Conn()
		t.Cleanup(func() { assert.NoError(t, conn.Close()) })
		all = append(all, &badOne{
			Conn: conn,
			busy: s.Client(t, func(o *redis.Options) { o.MaxRetries, o.ReadTimeout = -1, -1 }),
		})
	}
	return all
}

func TestRealServersInABadStateAreNamedAndNothingIsLost(t *testing.T) {
	t.Parallel()
	for _, state := range badStates() {
		t.Run(state.name, func(t *testing.T) {
			t.Parallel()
			on := rig.NewReal(t, 3)
			bad := newBadOnes(t, on.Servers[:2])
			var log rig.ErrorLog
			l := on.Locker(t, patient(), log.Option(), redlock.WithRetry(0, 0))
			held, err := l.TryLock(t.Context(), "held", rig.LongTTL)
			require.NoError(t, err)
			released, err := l.TryLock(t.Context(), "released", rig.LongTTL)
			require.NoError(t, err)
			rig.DrainCalls(t, l)
			for _, s := range bad {
				state.enter(t, s)
			}
			state.check(t, on, l, held, released)
			for _, n := range log.Take(2) {
				require.LessOrEqual(t, n.Node, 2)
				require.Equal(t, state.kind, n.ErrorType(), "%v", n)
				require.Equal(t, on.Servers[n.Node-1].Addr(), n.Addr)
			}
			for _, s := range bad {
				state.leave(t, s)
			}
			require.NoError(t, released.Unlock(t.Context()))
			require.NoError(t, held.Extend(t.Context(), 2*rig.LongTTL))
			rig.DrainCalls(t, l)
			require.Equal(t, 3, on.Holders(t, "held", held.Value()))
			require.NoError(t, held.Unlock(t.Context()))
			rig.Drain(t, l)
			require.Zero(t, on.Keys(t))
		})
	}
}

// check tries everything while most servers are in the state.
func (s *badState) check(t *testing.T, on *rig.Real, l *redlock.Locker, held, released *redlock.Lock) {
	t.Helper()
	_, err := l.TryLock(t.Context(), "k", rig.LongTTL)
	rig.RequireNoOtherKind(t, err, redlock.ErrNoQuorum)
	on.RequireNamed(t, err, redlock.OpAcquire, s.kind, 0, 1)
	rig.DrainCalls(t, l)
	require.Empty(t, on.Get(t, 2, "k"))

	until := held.Until()
	err = held.Extend(t.Context(), 2*rig.LongTTL)
	if slices.Contains(s.still, redlock.OpExtend) {
		require.NoError(t, err)
	} else {
		rig.RequireNoOtherKind(t, err, redlock.ErrNoQuorum)
		on.RequireNamed(t, err, redlock.OpExtend, s.kind, 0, 1)
		require.Equal(t, until, held.Until())
	}
	require.True(t, held.Valid())
	rig.DrainCalls(t, l)
	require.Equal(t, held.Value(), on.Get(t, 2, "held"))

	err = released.Unlock(t.Context())
	if slices.Contains(s.still, redlock.OpRelease) {
		require.NoError(t, err)
	} else {
		rig.RequireNoOtherKind(t, err, redlock.ErrNoQuorum)
	}
	rig.DrainCalls(t, l)
	require.Empty(t, on.Get(t, 2, "released"))
}

func TestAWrongPasswordIsNamed(t *testing.T) {
	t.Parallel()
	all := servers.Start(t, 2)
	for _, s := range all {
		require.NoError(t, s.Client(t).ConfigSet(t.Context(), "requirepass", "secret").Err())
	}
	all = append(all, servers.StartOne(t))
	var clients []*redis.Client
	for _, s := range all[:2] {
		clients = append(clients, s.Client(t, func(o *redis.Options) { o.Password = "guessed" }))
	}
	last := all[2].Client(t)
	l := rig.NewRealLocker(t, append(clients, last), patient())
	_, err := l.TryLock(t.Context(), "k", rig.LongTTL)
	rig.RequireNoOtherKind(t, err, redlock.ErrNoQuorum)
	(&rig.Real{Servers: all}).RequireNamed(t, err, redlock.OpAcquire, "WRONGPASS", 0, 1)
	require.NotContains(t, err.Error(), "guessed")
	rig.Drain(t, l)
	require.Zero(t, last.DBSize(t.Context()).Val())
}
