package redlock_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/faultproxy"
	"github.com/b0401464/redlock/internal/redistest"
)

const (
	realPatience = 60 * time.Second // for states that must come; a busy machine is slow
	realTick     = 5 * time.Millisecond
	realTTL      = 30 * time.Second // longer than anything that a test waits for
)

// A realRig is real servers and the ways to them.
type realRig struct {
	servers []*redistest.Server
	proxies []*faultproxy.Proxy // of clients; nil if they go straight to the servers
	clients []*redis.Client     // what a Locker is given
	direct  []*redis.Client     // straight to the servers, to look at what they hold
}

// newRealRig starts n servers, with a client of default options for each.
func newRealRig(t *testing.T, n int, opts ...redistest.Option) *realRig {
	t.Helper()
	rig := &realRig{servers: redistest.Start(t, n, opts...)}
	for _, s := range rig.servers {
		rig.direct = append(rig.direct, s.Client(t))
	}
	rig.clients = rig.newClients(t)
	return rig
}

// newRealProxiedRig is newRealRig with a proxy in front of each server.
func newRealProxiedRig(t *testing.T, n int, opts ...func(*redis.Options)) *realRig {
	t.Helper()
	rig := &realRig{servers: redistest.Start(t, n)}
	for _, s := range rig.servers {
		rig.direct = append(rig.direct, s.Client(t))
		rig.proxies = append(rig.proxies, faultproxy.New(t, s.Addr()))
	}
	rig.clients = rig.newClients(t, opts...)
	return rig
}

// newClients returns clients of another process.
func (rig *realRig) newClients(t *testing.T, opts ...func(*redis.Options)) []*redis.Client {
	t.Helper()
	all := make([]*redis.Client, len(rig.servers))
	for i, s := range rig.servers {
		all[i] = s.Client(t, append([]func(*redis.Options){func(o *redis.Options) {
			if rig.proxies != nil {
				o.Addr = rig.proxies[i].Addr()
			}
		}}, opts...)...)
	}
	return all
}

// locker returns a Locker on the rig's clients.
func (rig *realRig) locker(t *testing.T, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	return newRealLocker(t, rig.clients, opts...)
}

func newRealLocker[C redlock.Client](t *testing.T, clients []C, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	l, err := redlock.New(clients, opts...)
	require.NoError(t, err)
	return l
}

// other returns the Locker of another process.
func (rig *realRig) other(t *testing.T) *redlock.Locker {
	t.Helper()
	return newRealLocker(t, rig.newClients(t))
}

// setFault makes f decide on the requests of scripts at every node.
func (rig *realRig) setFault(f func(node int, cmd []string) faultproxy.Fault) {
	for i, p := range rig.proxies {
		p.SetFault(faultproxy.OnlyScripts(func(cmd []string) faultproxy.Fault { return f(i, cmd) }))
	}
}

// keys returns how many keys all servers hold together. KEYS passes over those
// that have expired and are not deleted yet, DBSIZE does not.
func (rig *realRig) keys(t require.TestingT) int {
	n := 0
	for _, c := range rig.direct {
		keys, err := c.Keys(context.Background(), "*").Result()
		require.NoError(t, err)
		n += len(keys)
	}
	return n
}

// holders returns on how many servers key has value.
func (rig *realRig) holders(t require.TestingT, key, value string) int {
	n := 0
	for i := range rig.direct {
		if rig.get(t, i, key) == value {
			n++
		}
	}
	return n
}

// get returns the value of key on one server, "" if there is none.
func (rig *realRig) get(t require.TestingT, node int, key string) string {
	values, err := rig.direct[node].MGet(context.Background(), key).Result()
	require.NoError(t, err)
	value, _ := values[0].(string)
	return value
}

// pttl returns how long key lasts on one server.
func (rig *realRig) pttl(t require.TestingT, node int, key string) time.Duration {
	left, err := rig.direct[node].PTTL(context.Background(), key).Result()
	require.NoError(t, err)
	return left
}

// requireEmpty requires that no key is left, soon.
func (rig *realRig) requireEmpty(t *testing.T, within time.Duration) {
	t.Helper()
	realEventually(t, within, func(c *assert.CollectT) {
		assert.Zero(c, rig.keys(c), "keys left behind")
	})
}

// realEventually requires that check passes before the deadline.
func realEventually(t *testing.T, within time.Duration, check func(c *assert.CollectT)) {
	t.Helper()
	require.EventuallyWithT(t, check, within, realTick)
}

// poll reports whether cond came true in time.
func poll(within time.Duration, cond func() bool) bool {
	tick := time.NewTicker(realTick)
	defer tick.Stop()
	for deadline := time.Now().Add(within); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// drain shuts the Locker down and waits until its background is idle.
func drain(t *testing.T, l *redlock.Locker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), realPatience)
	defer cancel()
	require.NoError(t, l.Shutdown(ctx))
}

// lockOnce locks and unlocks key.
func lockOnce(t require.TestingT, l *redlock.Locker, key string, opts ...redlock.LockOption) {
	lock, err := l.Lock(context.Background(), key, realTTL, opts...)
	require.NoError(t, err)
	require.NoError(t, lock.Unlock(context.Background()))
}

// loadScripts makes the servers know the scripts, so that every command is one
// request from then on.
func (rig *realRig) loadScripts(t *testing.T) {
	t.Helper()
	l := rig.other(t)
	lock, err := l.Lock(t.Context(), "load scripts", realTTL)
	require.NoError(t, err)
	require.NoError(t, lock.Extend(t.Context(), realTTL))
	require.NoError(t, lock.Unlock(t.Context()))
	drain(t, l)
}

// A realCounter counts node errors.
type realCounter struct{ n atomic.Int64 }

func (c *realCounter) option() redlock.Option {
	return redlock.WithNodeErrorHandler(func(context.Context, *redlock.NodeError) { c.n.Add(1) })
}

// median sorts all and returns the one in the middle.
func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// waiting returns how many Lockers stand in the lines for key on all servers.
func (rig *realRig) waiting(t require.TestingT, key string) int {
	n := int64(0)
	for _, c := range rig.direct {
		for _, line := range []string{"{" + key + "}:redlock:line", key + ":redlock:line"} {
			waiting, err := c.ZCard(context.Background(), line).Result()
			require.NoError(t, err)
			n += waiting
		}
	}
	return int(n)
}
