package rig

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/faultproxy"
	"github.com/b0401464/redlock/test/servers"
)

// Times of tests on real servers.
const (
	Patience = 60 * time.Second // for states that must come; a busy machine is slow
	Tick     = 5 * time.Millisecond
	LongTTL  = 3 * Patience // so that what is gone when a test looks did not run out

	// NodeTimeout is how long a node that is well may take for an answer on a busy
	// machine. Tests in which a majority answers nothing set another one.
	NodeTimeout = 20 * time.Second
)

// A Real is real servers and the ways to them.
type Real struct {
	Servers []*servers.Server
	Proxies []*faultproxy.Proxy // of clients; nil if they go straight to the servers
	Clients []*redis.Client     // what a Locker is given
	Direct  []*redis.Client     // straight to the servers, to look at what they hold
}

// NewReal starts n servers, with a client of default options for each.
func NewReal(t *testing.T, n int, opts ...servers.Option) *Real {
	t.Helper()
	on := &Real{Servers: servers.Start(t, n, opts...)}
	for _, s := range on.Servers {
		on.Direct = append(on.Direct, s.Client(t))
	}
	on.Clients = on.NewClients(t)
	return on
}

// NewProxied is NewReal with a proxy in front of each server.
func NewProxied(t *testing.T, n int, opts ...func(*redis.Options)) *Real {
	t.Helper()
	on := &Real{Servers: servers.Start(t, n)}
	for _, s := range on.Servers {
		on.Direct = append(on.Direct, s.Client(t))
		on.Proxies = append(on.Proxies, faultproxy.New(t, s.Addr()))
	}
	on.Clients = on.NewClients(t, opts...)
	return on
}

// NewClients returns clients of another process.
func (on *Real) NewClients(t *testing.T, opts ...func(*redis.Options)) []*redis.Client {
	t.Helper()
	all := make([]*redis.Client, len(on.Servers))
	for i, s := range on.Servers {
		all[i] = s.Client(t, append([]func(*redis.Options){func(o *redis.Options) {
			if on.Proxies != nil {
				o.Addr = on.Proxies[i].Addr()
			}
		}}, opts...)...)
	}
	return all
}

// Hang is for clients that wait for an answer for longer than a test does: a call that
// returns while a node is frozen was decided without it.
func Hang(o *redis.Options) { o.ReadTimeout = LongTTL }

// Locker returns a Locker on the rig's clients.
func (on *Real) Locker(t *testing.T, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	return NewRealLocker(t, on.Clients, opts...)
}

// NewRealLocker returns a Locker whose nodes may be slow, as on a busy machine.
func NewRealLocker[C redlock.Client](t *testing.T, clients []C, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	l, err := redlock.New(clients, append([]redlock.Option{redlock.WithNodeTimeout(NodeTimeout)}, opts...)...)
	require.NoError(t, err)
	return l
}

// Other returns the Locker of another process.
func (on *Real) Other(t *testing.T) *redlock.Locker {
	t.Helper()
	return NewRealLocker(t, on.NewClients(t))
}

// Drain shuts the Locker down and waits until its background is idle.
func Drain(t *testing.T, l *redlock.Locker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	require.NoError(t, l.Shutdown(ctx))
}

// LockOnce locks and unlocks key.
func LockOnce(t require.TestingT, l *redlock.Locker, key string, opts ...redlock.LockOption) {
	lock, err := l.Lock(context.Background(), key, LongTTL, opts...)
	require.NoError(t, err)
	require.NoError(t, lock.Unlock(context.Background()))
}

// LoadScripts makes the servers know the scripts, so that every command is one
// request from then on.
func (on *Real) LoadScripts(t *testing.T) {
	t.Helper()
	l := on.Other(t)
	lock, err := l.Lock(t.Context(), "load scripts", LongTTL)
	require.NoError(t, err)
	require.NoError(t, lock.Extend(t.Context(), LongTTL))
	require.NoError(t, lock.Unlock(t.Context()))
	Drain(t, l)
}

// Others returns n Lockers of other processes; each lists the nodes in another order.
func (on *Real) Others(t *testing.T, n int) []*redlock.Locker {
	t.Helper()
	var all []*redlock.Locker
	for i := range n {
		clients := on.NewClients(t)
		at := i % len(clients)
		all = append(all, NewRealLocker(t, slices.Concat(clients[at:], clients[:at])))
	}
	return all
}

// Gate returns the server that keeps the line for key, in which somebody waits.
func (on *Real) Gate(t *testing.T, key string) int {
	t.Helper()
	gate := -1
	require.True(t, Poll(Patience, func() bool {
		for i, c := range on.Direct {
			if c.Exists(t.Context(), "{"+key+"}:redlock:line").Val() > 0 {
				gate = i
			}
		}
		return gate >= 0
	}), "nobody waits in line")
	return gate
}
