package rig

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/faultproxy"
)

// Once makes the next script request at each node meet f, and no other.
// It returns how many have.
func (on *Real) Once(f faultproxy.Fault) *atomic.Int64 {
	var met atomic.Int64
	spent := make([]atomic.Bool, len(on.Proxies))
	on.SetFault(func(node int, _ []string) faultproxy.Fault {
		if spent[node].Swap(true) {
			return faultproxy.Pass
		}
		met.Add(1)
		return f
	})
	return &met
}

// DrainCalls waits until no node call is under way.
func DrainCalls(t *testing.T, l *redlock.Locker) {
	t.Helper()
	quiet := 0 // looks in a row: what an answer leads to, as a key put back, begins when its call has ended
	require.Eventually(t, func() bool {
		if quiet++; seam.OpenCalls(l) != 0 {
			quiet = 0
		}
		return quiet == 3
	}, Patience, Tick)
}

// HoldNext keeps the next script request at a node back, and all that are not
// is the one. release applies it and waits until it has been answered.
func (on *Real) HoldNext(t *testing.T, node int) (release func() string) {
	t.Helper()
	gate := make(chan struct{})
	var held atomic.Bool
	on.Proxies[node].SetFault(faultproxy.OnlyLocks(func([]string) faultproxy.Fault {
		if held.Swap(true) {
			return faultproxy.Pass
		}
		return faultproxy.Hold(gate)
	}))
	before := len(on.Proxies[node].LateReplies())
	return func() string {
		require.True(t, held.Load(), "nothing was held back")
		close(gate)
		var late []string
		require.Eventually(t, func() bool {
			late = on.Proxies[node].LateReplies()
			return len(late) > before
		}, Patience, Tick)
		return late[before]
	}
}

// SetFault makes f decide on the requests of scripts at every node.
func (on *Real) SetFault(f func(node int, cmd []string) faultproxy.Fault) {
	for i, p := range on.Proxies {
		p.SetFault(faultproxy.OnlyLocks(func(cmd []string) faultproxy.Fault { return f(i, cmd) }))
	}
}

// BehindProxies returns another way to the same servers, which can be cut off.
func (on *Real) BehindProxies(t *testing.T) *Real {
	t.Helper()
	own := &Real{Servers: on.Servers, Direct: on.Direct}
	for _, s := range on.Servers {
		own.Proxies = append(own.Proxies, faultproxy.New(t, s.Addr()))
	}
	own.Clients = own.NewClients(t)
	return own
}

// CutOff keeps the clients from all servers.
func (on *Real) CutOff(refused bool) {
	for _, p := range on.Proxies {
		if refused {
			p.Refuse(true)
			p.Cut()
		} else {
			p.BlackHole(true)
		}
	}
}

// Reconnect ends what CutOff began.
func (on *Real) Reconnect() {
	for _, p := range on.Proxies {
		p.Refuse(false)
		p.BlackHole(false)
	}
}

// Silence is how long a node answers nothing until it counts as silent.
const Silence = time.Second // the node timeout of these tests

// FreezeUntilSilent freezes a node, with whatever is under way, and uses the
// Locker until the node has owed an answer for longer than the node timeout.
func (on *Real) FreezeUntilSilent(t *testing.T, node int, l *redlock.Locker, nodeTimeout time.Duration) {
	t.Helper()
	on.Servers[node].Freeze()
	once := func() {
		lock, err := l.Lock(t.Context(), "silence", LongTTL)
		require.NoError(t, err)
		if err := lock.Unlock(t.Context()); !errors.Is(err, redlock.ErrNoQuorum) { // a busy machine
			require.NoError(t, err)
		}
	}
	once()
	begun := time.Now()
	require.True(t, Poll(Patience, func() bool {
		once()
		return time.Since(begun) > nodeTimeout
	}))
}
