package unlock_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A deleter is how a node knows DELEX: it counts those that it is sent, scripts apart.
type deleter struct {
	sent    atomic.Int64
	direct  atomic.Pointer[string] // what it answers to one that a client sends; nil to do it
	unknown atomic.Bool            // in scripts, too
}

func newDeleter(t *testing.T, n *rig.Node) *deleter {
	t.Helper()
	d := new(deleter)
	c, err := n.Dial() // a server that nobody has dialled is none yet
	require.NoError(t, err)
	require.NoError(t, c.Close())
	n.Server().SetPreHook(func(c *server.Peer, cmd string, args ...string) bool {
		if cmd != "DELEX" {
			return false
		}
		direct := slices.Contains(args, "ifeq") // in a script it is in capitals
		if direct {
			d.sent.Add(1)
		}
		if text := d.direct.Load(); direct && text != nil {
			c.WriteError(*text)
			return true
		}
		if d.unknown.Load() {
			c.WriteError("ERR unknown command 'DELEX'")
			return true
		}
		return false
	})
	return d
}

// lockTwice has a Locker learn from its first release what the server has.
func lockTwice(t *testing.T, l *redlock.Locker) {
	t.Helper()
	for range 2 {
		rig.LockOnce(t, l, "a")
		synctest.Wait()
	}
}

func TestAReleaseIsNativeOnceAScriptHasToldThatTheServerHasOne(t *testing.T) {
	for _, size := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, size)
			l := rig.NewLocker(t, nodes, redlock.WithAutoPipeline())
			var all []*deleter
			for _, n := range nodes {
				all = append(all, newDeleter(t, n))
			}
			rig.LockOnce(t, l, "a")
			synctest.Wait()
			for _, d := range all {
				require.Zero(t, d.sent.Load(), "nobody knows")
			}
			rig.LockOnce(t, l, "a")
			synctest.Wait()
			for _, d := range all {
				assert.EqualValues(t, 1, d.sent.Load())
			}
			rig.RequireFree(t, nodes...)
			k := rig.Lock(t, l)
			synctest.Wait()
			for _, n := range nodes {
				n.Del("a")
			}
			assert.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
		})
	}
}

func TestAServerThatHasNoNativeReleaseIsSentNone(t *testing.T) {
	rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
		t.Helper()
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, opts...)
		d := newDeleter(t, nodes[0])
		d.unknown.Store(true)
		lockTwice(t, l)
		lockTwice(t, l)
		assert.Zero(t, d.sent.Load())
		rig.RequireFree(t, nodes...)
	})
}

// At a gate the script of a release that knows no line goes first there, as it takes less of the
// server, in a batch with a look for who waits.
func TestAQuietReleaseAtAGateIsTheScriptWithoutALineWhereNoCommandDoesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes, redlock.WithAutoPipeline())
		newDeleter(t, nodes[0]).unknown.Store(true)
		lockTwice(t, l)
		sent := sentTo(nodes[0])
		quiet := []string{"set", "evalsha", "exists"}
		rig.LockOnce(t, l, "a")
		assert.Equal(t, quiet, sent())
		require.NoError(t, nodes[0].Client.ScriptFlush(t.Context()).Err())
		sent()
		rig.LockOnce(t, l, "a")
		assert.Equal(t, append(quiet, "evalsha", "eval"), sent(), "it knows neither script any more")
		rig.RequireFree(t, nodes...)
		rig.LockOnce(t, l, "a")
		assert.Equal(t, []string{"set", "eval", "exists"}, sent())
		rig.LockOnce(t, l, "a")
		assert.Equal(t, quiet, sent())
		k := rig.Lock(t, l)
		synctest.Wait()
		nodes[0].Del("a")
		assert.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
	})
}

var name = regexp.MustCompile(`\*\d+\r\n\$\d+\r\n(\w+)\r\n`)

// sentTo returns what returns the names of the commands that the node was sent since it was
// called last.
func sentTo(n *rig.Node) (take func() []string) {
	var mu sync.Mutex
	var all []string
	n.Node.OnSend(func(request []byte) {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range name.FindAllSubmatch(request, -1) {
			all = append(all, string(m[1]))
		}
	})
	return func() []string {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		defer func() { all = nil }()
		return all
	}
}

// What a command waits for its batch says nothing of how far away the node is.
func TestManyCallersHaveNearNodesSentNativeCommandsAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		nodes[0].Slow(2 * time.Millisecond)
		l := rig.NewLocker(t, nodes, redlock.WithAutoPipeline())
		lockTwice(t, l)
		sent := sentTo(nodes[0])
		const callers = 1000
		for range 3 {
			var all sync.WaitGroup
			for i := range callers {
				all.Go(func() { rig.LockOnce(t, l, strconv.Itoa(i)) })
			}
			all.Wait()
		}
		count := make(map[string]int)
		for _, name := range sent() {
			count[name]++
		}
		assert.Equal(t, 3*callers, count["set"])
		assert.Zero(t, count["evalsha"]+count["eval"])
	})
}

// Scripts may run it and the user may not, or a server of a Cluster is older than another one.
func TestANativeReleaseThatIsRefusedIsDoneByTheScriptAndNotSentAgain(t *testing.T) {
	for _, text := range []string{"ERR unknown command 'delex'", "NOPERM this user has no permissions to run the 'delex' command", "ERR what is that"} {
		t.Run(strings.Fields(text)[0], func(t *testing.T) {
			rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
				t.Helper()
				nodes := rig.New(t, 3)
				var log rig.ErrorLog
				l := rig.NewLocker(t, nodes, append(opts, log.Option())...)
				lockTwice(t, l)
				var all []*deleter
				for _, n := range nodes {
					all = append(all, newDeleter(t, n))
					all[len(all)-1].direct.Store(&text)
				}
				lockTwice(t, l)
				sum := int64(0)
				for _, d := range all {
					assert.LessOrEqual(t, d.sent.Load(), int64(1))
					sum += d.sent.Load()
				}
				assert.Positive(t, sum)
				rig.RequireFree(t, nodes...)
				assert.Empty(t, log.Take(0), "the script has done it")
			})
		})
	}
}

// The release of a lock that was free when it was taken is native, or a script that knows no
// line, and another process has come to wait for it meanwhile.
func TestANativeReleaseLetsTheNextOneInLineGo(t *testing.T) {
	for first, unknown := range map[string]bool{"delex": false, "evalsha": true} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 1)
			holder, waiter := rig.NewLocker(t, nodes, redlock.WithAutoPipeline()), rig.NewLocker(t, nodes)
			newDeleter(t, nodes[0]).unknown.Store(unknown)
			lockTwice(t, holder)
			rig.WarmUp(t, waiter)
			k := rig.Lock(t, holder)
			has := make(chan *redlock.Lock, 1)
			go func() {
				lock, err := waiter.Lock(t.Context(), "a", rig.TTL, redlock.WithRetry(redlock.Forever, 10*time.Second))
				assert.NoError(t, err)
				has <- lock
			}()
			time.Sleep(100 * time.Millisecond)
			require.Equal(t, 1, rig.Waiting(t, nodes))
			sent, released := sentTo(nodes[0]), time.Now()
			require.NoError(t, k.Unlock(t.Context()))
			next := <-has
			assert.Equal(t, []string{first, "exists"}, sent()[:2])
			assert.Less(t, time.Since(released), 20*time.Millisecond, "it asks by itself after 10 s only")
			require.NoError(t, next.Unlock(t.Context()))
		})
	}
}

// The line of a resource has permissions of its own. Where they are missing a release is to find
// that out now and then only: an error costs a round trip, and may open a circuit breaker.
func TestANativeReleaseThatMayNotUseTheLineHasTheNodeDoWithoutLines(t *testing.T) {
	for name, unknown := range map[string]bool{"a command": false, "a script": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 1)
				refused := refuseLines(t, nodes[0], unknown)
				l := rig.NewLocker(t, nodes, redlock.WithAutoPipeline())
				lockTwice(t, l)
				time.Sleep(2 * time.Minute)
				refused.Store(0)
				for range 20 {
					rig.LockOnce(t, l, "a")
					synctest.Wait()
				}
				assert.Positive(t, refused.Load(), "it may be allowed by now")
				assert.LessOrEqual(t, refused.Load(), int64(2), "a look, and the script")
				rig.RequireFree(t, nodes...)
			})
		})
	}
}

// refuseLines has a node refuse commands that name the key of a line, and counts them. It knows
// DELEX unless unknown is set.
func refuseLines(t *testing.T, n *rig.Node, unknown bool) *atomic.Int64 {
	t.Helper()
	newDeleter(t, n) // starts the server
	var refused atomic.Int64
	n.Server().SetPreHook(func(c *server.Peer, cmd string, args ...string) bool {
		switch {
		case cmd == "DELEX" && unknown:
			c.WriteError("ERR unknown command 'DELEX'")
		case slices.Contains(args, "{a}:redlock:line"):
			refused.Add(1)
			c.WriteError("NOPERM No permissions to access a key")
		default:
			return false
		}
		return true
	})
	return &refused
}

// Time goes on in the scripts of some servers: a key can run out there between two commands.
func TestAReleaseWhoseKeyRunsOutWithinTheScriptHasRemovedIt(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"at a gate": {redlock.WithAutoPipeline()}, "without a line": {redlock.WithoutWaitingLine()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 1)
				newDeleter(t, nodes[0]).unknown.Store(true)
				l := rig.NewLocker(t, nodes, opts...)
				lockTwice(t, l)
				k := rig.Lock(t, l)
				nodes[0].Server().SetPreHook(func(c *server.Peer, cmd string, _ ...string) bool {
					if cmd == "DEL" {
						c.WriteInt(0)
					}
					return cmd == "DEL"
				})
				assert.NoError(t, k.Unlock(t.Context()))
			})
		})
	}
}
