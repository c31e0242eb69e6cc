package deployments_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// takeTurns has Lockers of 16 processes take turns for a while, as a user with that ACL. It
// returns how long each turn began after the one before had ended, but for the first ones.
func takeTurns(t *testing.T, lines [][]string, hold time.Duration, hooks ...redis.Hook) (took []time.Duration) {
	t.Helper()
	const processes, rounds = 16, 25
	server, admin := newACLServer(t)
	for _, line := range lines {
		require.NoError(t, admin.Do(t.Context(), command(line)...).Err())
	}
	var log rig.ErrorLog
	var ended time.Time // under the lock
	var all sync.WaitGroup
	for range processes {
		client := server.Client(t, asUser(lines[0][2], "secret"))
		for _, hook := range hooks {
			client.AddHook(hook)
		}
		l := rig.NewRealLocker(t, []*redis.Client{client}, log.Option())
		all.Go(func() {
			for range rounds {
				assert.NoError(t, l.With(t.Context(), "lock:k", rig.LongTTL, func(context.Context, *redlock.Lock) error {
					took = append(took, time.Since(ended))
					time.Sleep(hold)
					ended = time.Now()
					return nil
				}, nil, rig.InTurn))
			}
			rig.Drain(t, l)
		})
	}
	all.Wait()
	require.Empty(t, log.Take(0), "what a line misses is no error of a node")
	require.True(t, rig.Poll(rig.Patience, func() bool { return admin.DBSize(t.Context()).Val() == 0 }))
	require.Len(t, took, processes*rounds)
	took = took[2*processes:]
	slices.Sort(took)
	return took
}

// Virtual time bounds how long that takes.
func TestTheLineGoesOnWhereNobodyIsTold(t *testing.T) {
	acl, line := aclOfDocs(t)
	deaf := slices.DeleteFunc(slices.Clone(line), func(word string) bool { return strings.HasPrefix(word, "&") })
	for _, hold := range []time.Duration{2 * time.Millisecond, 20 * time.Millisecond} {
		for _, tt := range []struct {
			name  string
			line  []string
			hooks []redis.Hook
		}{
			{"told", line, nil},
			{"no channel", deaf, nil},
			{"scripts may not publish", line, []redis.Hook{rig.ScriptsMayNotPublish{}}},
		} {
			took := takeTurns(t, [][]string{acl, tt.line}, hold, tt.hooks...)
			t.Logf("held for %v, %s: half of the turns begin within %v, 99 %% within %v, all within %v", hold, tt.name, took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
		}
	}
}

// A toldBy is a hook of the client for one server of a Cluster. It notes which one tells whom
// it is next for a resource.
type toldBy struct {
	addr, resource string
	note           func(addr string)
}

func (h toldBy) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); args[0] == "publish" && args[2] == h.resource {
			h.note(h.addr)
		}
		return next(ctx, cmd)
	}
}

func (toldBy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (toldBy) DialHook(next redis.DialHook) redis.DialHook { return next }

func TestTheServerOfAClusterThatHasTheResourceTellsWhoIsNext(t *testing.T) {
	t.Parallel()
	c := newRealCluster(t)
	const key, turns = "lock:k", 12
	var mu sync.Mutex
	var by []string
	var all sync.WaitGroup
	for range 3 {
		client := c.Client(t)
		client.OnNewNode(func(server *redis.Client) {
			server.AddHook(toldBy{server.Options().Addr, key, func(addr string) {
				mu.Lock()
				defer mu.Unlock()
				by = append(by, addr)
			}})
		})
		client.AddHook(rig.ScriptsMayNotPublish{})
		l := rig.NewRealLocker(t, []*redis.ClusterClient{client})
		all.Go(func() {
			for range turns {
				assert.NoError(t, l.With(t.Context(), key, rig.LongTTL, func(context.Context, *redlock.Lock) error {
					time.Sleep(5 * time.Millisecond)
					return nil
				}, nil, rig.InTurn))
			}
			rig.Drain(t, l)
		})
	}
	all.Wait()
	require.Greater(t, len(by), turns)
	slices.Sort(by)
	require.Equal(t, []string{c.Servers[c.Owner(key)].Addr()}, slices.Compact(by))
}
