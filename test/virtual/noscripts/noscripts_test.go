package noscripts_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/memory"
	"github.com/b0401464/redlock/test/rig"
)

// A modern is how a node knows SET with IFEQ, and what else it knows.
type modern struct {
	mu      sync.Mutex
	scripts int
	errors  map[string]string // by command: what it answers instead
}

func (m *modern) fail(cmd, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errors[cmd] = text
}

func (m *modern) ran() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.scripts
}

func modernize(t *testing.T, nodes []*rig.Node) []*modern {
	t.Helper()
	all := make([]*modern, len(nodes))
	for i, n := range nodes {
		m := &modern{errors: make(map[string]string)}
		all[i] = m
		c, err := n.Dial() // a server that nobody has dialled is none yet
		require.NoError(t, err)
		require.NoError(t, c.Close())
		n.Server().SetPreHook(func(c *server.Peer, cmd string, args ...string) bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			if strings.HasPrefix(cmd, "EVAL") {
				m.scripts++
			}
			name := cmd
			if slices.Contains(args, "ifeq") {
				name += " IFEQ"
			}
			if text := m.errors[name]; text != "" {
				c.WriteError(text)
				return true
			}
			return memory.SetIfEq(n.Miniredis, c, cmd, args)
		})
	}
	return all
}

// each runs a test on one node and on three, with and without batches.
func each(t *testing.T, f func(t *testing.T, nodes []*rig.Node, l *redlock.Locker, knows []*modern)) {
	t.Helper()
	for _, size := range []int{1, 3} {
		rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
			t.Helper()
			nodes := rig.New(t, size)
			knows := modernize(t, nodes)
			f(t, nodes, rig.NewLocker(t, nodes, append(opts, redlock.WithoutScripts())...), knows)
		})
	}
}

func TestNoScriptIsRunWithoutScripts(t *testing.T) {
	each(t, func(t *testing.T, nodes []*rig.Node, l *redlock.Locker, knows []*modern) {
		t.Helper()
		for range 2 {
			k := rig.Lock(t, l)
			synctest.Wait()
			rig.RequireLocked(t, k, nodes...)
			require.NoError(t, k.Extend(t.Context(), rig.TTL))
			assert.ErrorIs(t, rig.Err(l.TryLock(t.Context(), "a", rig.TTL)), redlock.ErrContended)
			require.NoError(t, k.Unlock(t.Context()))
			synctest.Wait()
			rig.RequireFree(t, nodes...)
		}
		for _, m := range knows {
			assert.Zero(t, m.ran())
		}
	})
}

func TestARefusalWithoutScriptsNamesTheHolderAndItsTime(t *testing.T) {
	each(t, func(t *testing.T, nodes []*rig.Node, l *redlock.Locker, _ []*modern) {
		t.Helper()
		holder := rig.NewLocker(t, nodes)
		k := rig.Lock(t, holder)
		var said, with *redlock.LockError
		require.ErrorAs(t, rig.Err(l.TryLock(t.Context(), "a", rig.TTL)), &said)
		require.ErrorAs(t, rig.Err(rig.NewLocker(t, nodes).TryLock(t.Context(), "a", rig.TTL)), &with)
		assert.ErrorIs(t, said, redlock.ErrContended)
		assert.Equal(t, with.RetryAfter, said.RetryAfter)
		assert.Equal(t, with.Error(), said.Error())
		require.NoError(t, k.Unlock(t.Context()))
	})
}

// Lockers with scripts and without exclude each other, and wait for each other.
func TestLockersWithoutScriptsExcludeThoseWithScripts(t *testing.T) {
	each(t, func(t *testing.T, nodes []*rig.Node, l *redlock.Locker, _ []*modern) {
		t.Helper()
		other := rig.NewLocker(t, nodes)
		var held sync.Mutex
		var all sync.WaitGroup
		for _, locker := range []*redlock.Locker{l, other, l, other} {
			all.Go(func() {
				for range 10 {
					k, err := locker.Lock(t.Context(), "a", rig.TTL, redlock.WithRetry(redlock.Forever, 20*time.Millisecond))
					if !assert.NoError(t, err) {
						return
					}
					assert.True(t, held.TryLock(), "two have it")
					time.Sleep(5 * time.Millisecond)
					held.Unlock()
					assert.NoError(t, k.Unlock(t.Context()))
				}
			})
		}
		all.Wait()
		synctest.Wait()
		rig.RequireFree(t, nodes...)
	})
}

// An empty node that came back is given the value again, and counts from the next success on.
func TestALockWithoutScriptsLivesThroughTheRestartOfEachNode(t *testing.T) {
	rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
		t.Helper()
		nodes := rig.New(t, 3)
		modernize(t, nodes)
		l := rig.NewLocker(t, nodes, append(opts, redlock.WithoutScripts())...)
		k, err := l.Lock(t.Context(), "a", rig.TTL, rig.Forever)
		require.NoError(t, err)
		for _, n := range nodes {
			time.Sleep(2 * rig.TTL)
			n.FlushAll()
		}
		time.Sleep(2 * rig.TTL)
		assert.True(t, k.Valid())
		rig.RequireLocked(t, k, nodes...)
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestExtendWithoutScriptsTellsALostLock(t *testing.T) {
	for name, lose := range map[string]func(n *rig.Node){
		"gone":     func(n *rig.Node) { n.Del("a") },
		"taken":    func(n *rig.Node) { assert.NoError(t, n.Set("a", "somebody")) },
		"reserved": func(n *rig.Node) { assert.NoError(t, n.Set("a", "redlock:next")) },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, nodes []*rig.Node, l *redlock.Locker, _ []*modern) {
				t.Helper()
				k := rig.Lock(t, l)
				synctest.Wait()
				for _, n := range nodes {
					lose(n)
				}
				assert.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrLockLost)
				assert.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
			})
		})
	}
}

// What a node is sent to look whether it still has a lock must not shorten it.
func TestToLookForALockWithoutScriptsShortensNoKey(t *testing.T) {
	each(t, func(t *testing.T, nodes []*rig.Node, l *redlock.Locker, _ []*modern) {
		t.Helper()
		k, err := l.Lock(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		time.Sleep(15 * time.Second) // longer than a lock is taken to be there
		require.ErrorIs(t, rig.Err(l.TryLock(t.Context(), "a", rig.TTL)), redlock.ErrContended)
		synctest.Wait()
		for _, n := range nodes {
			assert.GreaterOrEqual(t, n.TTL("a"), 45*time.Second)
		}
		time.Sleep(time.Until(k.Until()))
		synctest.Wait()
		rig.RequireFree(t, nodes...)
	})
}

func TestAnOlderServerIsANodeErrorThatSaysWhatItTakes(t *testing.T) {
	each(t, func(t *testing.T, nodes []*rig.Node, l *redlock.Locker, knows []*modern) {
		t.Helper()
		for _, m := range knows {
			m.fail("DELEX IFEQ", "ERR unknown command 'delex'")
			m.fail("DELIFEQ", "ERR unknown command 'delifeq'")
		}
		err := rig.Err(l.TryLock(t.Context(), "a", rig.TTL))
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.ErrorContains(t, err, "Redis 8.4 or Valkey 9.0")
		synctest.Wait()
		rig.RequireFree(t, nodes...)
	})
}

func TestAUserWhoMayNotDeleteIsANodeError(t *testing.T) {
	each(t, func(t *testing.T, nodes []*rig.Node, l *redlock.Locker, knows []*modern) {
		t.Helper()
		rig.Unlock(t, rig.Lock(t, l)) // it may, at first
		for _, m := range knows {
			m.fail("DELEX IFEQ", "NOPERM this user has no permissions to run the 'delex' command")
		}
		k := rig.Lock(t, l)
		assert.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrNoQuorum)
		err := rig.Err(l.TryLock(t.Context(), "b", rig.TTL))
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.ErrorContains(t, err, "DELEX or DELIFEQ")
		time.Sleep(2 * rig.TTL)
		rig.RequireFree(t, nodes...)
	})
}

// A server without SET IFEQ has no DELEX either; a proxy may differ.
func TestAServerThatCannotCompareInSETFailsTheExtension(t *testing.T) {
	each(t, func(t *testing.T, _ []*rig.Node, l *redlock.Locker, knows []*modern) {
		t.Helper()
		k := rig.Lock(t, l, redlock.WithRetry(0, 0))
		for _, m := range knows {
			m.fail("SET IFEQ", "ERR syntax error")
		}
		err := k.Extend(t.Context(), rig.TTL)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.ErrorContains(t, err, "Redis 8.4 or Valkey 9.0")
		assert.True(t, k.Valid())
		require.NoError(t, k.Unlock(t.Context()))
	})
}

// Valkey has another command that compares and deletes.
func TestTheCommandThatDeletesIsFoundOutByTrying(t *testing.T) {
	each(t, func(t *testing.T, nodes []*rig.Node, l *redlock.Locker, _ []*modern) {
		t.Helper()
		for _, n := range nodes {
			n.Server().SetPreHook(func(c *server.Peer, cmd string, args ...string) bool {
				switch cmd {
				case "DELEX":
					c.WriteError("ERR unknown command 'delex'")
				case "DELIFEQ":
					if has, _ := n.Get(args[0]); has == args[1] {
						n.Del(args[0])
						c.WriteInt(1)
					} else {
						c.WriteInt(0)
					}
				default:
					return memory.SetIfEq(n.Miniredis, c, cmd, args)
				}
				return true
			})
		}
		for range 2 {
			k := rig.Lock(t, l)
			require.NoError(t, k.Unlock(t.Context()))
			synctest.Wait()
			rig.RequireFree(t, nodes...)
		}
		k := rig.Lock(t, l)
		synctest.Wait()
		for _, n := range nodes {
			n.Del("a")
		}
		assert.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
	})
}

func TestWhatTakesScriptsIsAnInvalidArgumentWithoutThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		modernize(t, nodes)
		_, err := redlock.New(rig.Clients(nodes), redlock.WithoutScripts(), redlock.WithFencing(redlock.Forever))
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		l := rig.NewLocker(t, nodes, redlock.WithoutScripts())
		assert.ErrorIs(t, rig.Err(l.Lock(t.Context(), "a", rig.TTL, redlock.WithFencing(redlock.Forever))), redlock.ErrInvalidArgument)
		assert.ErrorIs(t, rig.Err(l.LockAll(t.Context(), []string{"a", "b"}, rig.TTL)), redlock.ErrInvalidArgument)
		k, err := l.LockAll(t.Context(), []string{"a", "a"}, rig.TTL)
		require.NoError(t, err)
		for _, ttl := range []time.Duration{rig.TTL / 2, 2 * rig.TTL} {
			assert.ErrorIs(t, k.Extend(t.Context(), ttl), redlock.ErrInvalidArgument)
		}
		assert.NoError(t, k.Extend(t.Context(), rig.TTL+time.Microsecond), "it is cut to whole milliseconds")
		require.NoError(t, k.Unlock(t.Context()))
	})
}

// A gate keeps a resource for the next one in line.
func TestALockerWithoutScriptsLeavesWhatIsKeptForTheNextOneInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		modernize(t, nodes)
		require.NoError(t, nodes[0].Set("a", "redlock:next"))
		nodes[0].SetTTL("a", 100*time.Millisecond)
		l := rig.NewLocker(t, nodes, redlock.WithoutScripts())
		assert.ErrorIs(t, rig.Err(l.TryLock(t.Context(), "a", rig.TTL)), redlock.ErrContended)
		rig.Unlock(t, rig.Lock(t, l))
	})
}

func TestAHolderThatGoesAwayBetweenTwoCommandsOfAnAttemptIsAskedAgain(t *testing.T) {
	each(t, func(t *testing.T, nodes []*rig.Node, l *redlock.Locker, _ []*modern) {
		t.Helper()
		rig.Unlock(t, rig.Lock(t, l))
		synctest.Wait()
		for _, n := range nodes {
			require.NoError(t, n.Set("a", "somebody"))
			n.Server().SetPreHook(func(c *server.Peer, cmd string, args ...string) bool {
				if cmd == "GET" {
					n.Del("a")
				}
				return memory.SetIfEq(n.Miniredis, c, cmd, args)
			})
		}
		k, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.NoError(t, err)
		require.NoError(t, k.Unlock(t.Context()))
	})
}
