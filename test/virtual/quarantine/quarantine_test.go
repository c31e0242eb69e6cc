package quarantine_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/script"
	"github.com/b0401464/redlock/test/rig"
)

const quarantine = rig.TTL

// An uptime is a node that tells for how long it is up.
type uptime struct {
	*rig.Node

	mu    sync.Mutex
	since time.Time
	told  int // how often
}

func newUptimes(t *testing.T, nodes []*rig.Node) []*uptime {
	t.Helper()
	all := make([]*uptime, len(nodes))
	for i, n := range nodes {
		u := &uptime{Node: n, since: time.Now().Add(-24 * time.Hour)}
		all[i] = u
		c, err := n.Dial() // a server that nobody has dialled is none yet
		require.NoError(t, err)
		require.NoError(t, c.Close())
		n.Server().SetPreHook(func(c *server.Peer, cmd string, _ ...string) bool {
			if cmd != "INFO" {
				return false
			}
			u.mu.Lock()
			defer u.mu.Unlock()
			u.told++
			c.WriteBulk(fmt.Sprintf("# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:%d\r\nuptime_in_days:0\r\n", time.Now().Unix()-u.since.Unix()))
			return true
		})
	}
	return all
}

// restart brings the node back, empty.
func (u *uptime) restart() {
	u.Stop()
	u.Restart()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.since = time.Now()
}

func (u *uptime) asked() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.told
}

// A lock stands on two of three nodes, one of them forgets it, and the third one is back. What
// a majority grants then is a second lock, unless the one that forgot keeps out of it.
func TestALockOnABareMajorityIsNotGivenAwayByANodeThatForgotIt(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{
		"at once": nil, "after a while": {redlock.WithRestartQuarantine(quarantine)},
		"in batches":     {redlock.WithRestartQuarantine(quarantine), redlock.WithAutoPipeline()},
		"with tokens":    {redlock.WithRestartQuarantine(quarantine), redlock.WithFencing(redlock.Forever)},
		"without a line": {redlock.WithRestartQuarantine(quarantine), redlock.WithoutWaitingLine()},
	} {
		for away := range 3 {
			t.Run(fmt.Sprint(name, away), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nodes := rig.New(t, 3)
					up := newUptimes(t, nodes)
					holder, other := rig.NewLocker(t, nodes, opts...), rig.NewLocker(t, nodes, opts...)
					nodes[away].Unreachable(true)
					k, err := holder.Lock(t.Context(), "a", rig.TTL)
					require.NoError(t, err)
					synctest.Wait() // the holder has tried the one that is away
					nodes[away].Unreachable(false)
					up[(away+1)%3].restart()
					_, err = other.TryLock(t.Context(), "a", rig.TTL)
					require.True(t, k.Valid())
					if opts == nil {
						require.NoError(t, err, "what the option is for")
						return
					}
					require.ErrorIs(t, err, redlock.ErrContended)
					require.ErrorContains(t, err, "QUARANTINE")
					for k.Valid() {
						_, err = other.TryLock(t.Context(), "a", rig.TTL)
						require.Error(t, err)
						time.Sleep(rig.TTL / 50)
					}
					time.Sleep(2 * time.Second)
					rig.Unlock(t, rig.Lock(t, other))
				})
			})
		}
	}
}

func TestLocksOnSeveralResourcesAreKeptFromANodeThatForgot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		up := newUptimes(t, nodes)
		l := rig.NewLocker(t, nodes, redlock.WithRestartQuarantine(quarantine))
		up[0].restart()
		_, err := l.LockAll(t.Context(), []string{"a", "b"}, rig.TTL, redlock.WithRetry(0, 0))
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		rig.RequireNoKeys(t, nodes)
		time.Sleep(quarantine + 2*time.Second)
		rig.Unlock(t, rig.LockAll(t, l, "a", "b"))
	})
}

// A lock lives through the restart of every node, as without the option: a node that was
// started a moment ago extends, releases, and is given what others have.
func TestANodeThatDoesNotVoteYetExtendsReleasesAndIsGivenLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		up := newUptimes(t, nodes)
		l := rig.NewLocker(t, nodes, redlock.WithRestartQuarantine(time.Hour))
		k, _ := rig.Keep(t, l, rig.TTL)
		for _, u := range up {
			u.restart()
			time.Sleep(2 * rig.TTL)
			rig.RequireLocked(t, k, u.Node)
		}
		assert.True(t, k.Valid())
		require.NoError(t, k.Unlock(t.Context()))
		synctest.Wait()
		rig.RequireFree(t, nodes...)
		_, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorContains(t, err, "QUARANTINE")
	})
}

// It asks for how long it is up twenty times a second at most, and not at all without the option.
func TestAServerAsksForItsUptimeSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		up := newUptimes(t, nodes)
		rig.LockOnce(t, rig.NewLocker(t, nodes), "a")
		require.Zero(t, up[0].asked())
		l := rig.NewLocker(t, nodes, redlock.WithRestartQuarantine(rig.LongTTL))
		for range 1000 {
			rig.LockOnce(t, l, "a")
			time.Sleep(time.Millisecond)
		}
		assert.InDelta(t, 20, up[0].asked(), 2)
	})
}

func TestAQuarantineIsForSingleServersAndScripts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		newUptimes(t, nodes)
		for name, opts := range map[string][]redlock.Option{
			"WithRestartQuarantine(0s)":  {redlock.WithRestartQuarantine(0)},
			"WithRestartQuarantine(-1s)": {redlock.WithRestartQuarantine(-time.Second)},
			"(10ns)":                     {redlock.WithRestartQuarantine(10)},
			"WithoutScripts":             {redlock.WithRestartQuarantine(time.Second), redlock.WithoutScripts()},
		} {
			_, err := redlock.New(rig.Clients(nodes), opts...)
			require.ErrorIs(t, err, redlock.ErrInvalidArgument)
			assert.ErrorContains(t, err, strings.Trim(name, "()"))
		}
		l := rig.NewLocker(t, nodes, redlock.WithRestartQuarantine(time.Second))
		assert.ErrorIs(t, rig.Err(l.Lock(t.Context(), "redlock:up", rig.TTL)), redlock.ErrInvalidArgument)
		assert.ErrorIs(t, rig.Err(l.LockAll(t.Context(), []string{"a", "redlock:up"}, rig.TTL)), redlock.ErrInvalidArgument)
	})
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		newUptimes(t, nodes)
		l := rig.NewLocker(t, nodes, redlock.WithRestartQuarantine(time.Second))
		k, err := l.Lock(t.Context(), "a", time.Second)
		require.NoError(t, err)
		assert.ErrorIs(t, rig.Err(l.Lock(t.Context(), "b", time.Second+time.Millisecond)), redlock.ErrInvalidArgument)
		assert.ErrorIs(t, k.Extend(t.Context(), 2*time.Second), redlock.ErrInvalidArgument)
		assert.NoError(t, k.Extend(t.Context(), time.Second))
		rig.Unlock(t, k)
	})
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}})
	defer func() { _ = cluster.Close() }()
	_, err := redlock.New([]*redis.ClusterClient{cluster}, redlock.WithRestartQuarantine(time.Second))
	require.ErrorIs(t, err, redlock.ErrInvalidArgument)
}

// A server that does not tell for how long it is up, or whose clock was set back behind its
// start, grants nothing.
func TestAServerThatDoesNotTellForHowLongItIsUpGrantsNothing(t *testing.T) {
	for _, field := range []string{"", "uptime_in_seconds:", "uptime_in_seconds:-5", "uptime_in_seconds:soon"} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 1)
			newUptimes(t, nodes)
			nodes[0].Server().SetPreHook(func(c *server.Peer, cmd string, _ ...string) bool {
				if cmd == "INFO" {
					c.WriteBulk("# Server\r\nredis_version:7.0.15\r\n" + field + "\r\n")
				}
				return cmd == "INFO"
			})
			l := rig.NewLocker(t, nodes, redlock.WithRestartQuarantine(quarantine))
			_, err := l.TryLock(t.Context(), "a", rig.TTL)
			require.ErrorIs(t, err, redlock.ErrNoQuorum)
			require.ErrorContains(t, err, "QUARANTINE the server "+script.NoUptime, "%q", field)
			r, err := l.Check(t.Context(), rig.TTL)
			require.NoError(t, err)
			require.Contains(t, r.String(), "Do without the restart quarantine")
			rig.RequireNoKeys(t, nodes)
		})
	}
}
