package locking_test

import (
	"context"
	"crypto/fips140"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

// envFIPSNodes tells the process below where its nodes are.
const envFIPSNodes = "REDLOCK_TEST_FIPS_NODES"

func TestLocksWorkWhereOnlyFIPS140IsAllowed(t *testing.T) {
	if addrs := os.Getenv(envFIPSNodes); addrs != "" {
		lockUnderFIPS(t, strings.Split(addrs, ","))
		return
	}
	t.Parallel()
	name := t.Name()
	inChild := func(t *testing.T, addrs []string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+name+"$") //nolint:gosec // itself
		cmd.Env = append(os.Environ(), "GODEBUG=fips140=only", envFIPSNodes+"="+strings.Join(addrs, ","))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	t.Run("on servers", func(t *testing.T) {
		var addrs []string
		for _, s := range servers.Start(t, 3) {
			addrs = append(addrs, s.Addr())
		}
		inChild(t, addrs)
	})
	t.Run("in memory", func(t *testing.T) {
		var addrs []string
		for range 3 { // in this process: they compute SHA-1 too
			addrs = append(addrs, miniredis.RunT(t).Addr())
		}
		inChild(t, addrs)
	})
}

// lockUnderFIPS takes every way on which something is hashed.
func lockUnderFIPS(t *testing.T, addrs []string) {
	t.Helper()
	require.True(t, fips140.Enforced())
	first := &severable{}
	failed := make(chan *redlock.NodeError, 100)
	newLocker := func(dial func(context.Context, string, string) (net.Conn, error), opts ...redlock.Option) *redlock.Locker {
		var all []*redis.Client
		for i, addr := range addrs {
			o := &redis.Options{Addr: addr}
			if i == 0 {
				o.Dialer = dial
			}
			c := redis.NewClient(o)
			t.Cleanup(func() { _ = c.Close() })
			all = append(all, c)
		}
		return rig.NewRealLocker(t, all, opts...)
	}
	l := newLocker(first.dial, redlock.WithFencing(2*rig.LongTTL),
		redlock.WithNodeErrorHandler(func(_ context.Context, e *redlock.NodeError) { failed <- e }))
	other := newLocker(nil)

	k, err := l.Lock(t.Context(), "k", rig.LongTTL)
	require.NoError(t, err)
	require.NoError(t, k.Extend(t.Context(), rig.LongTTL))
	_, err = other.TryLock(t.Context(), "k", rig.LongTTL)
	require.ErrorIs(t, err, redlock.ErrContended)
	rig.DrainCalls(t, l) // the first node has it too

	first.cut(true)
	require.NoError(t, k.Unlock(t.Context()))
	for e := range failed {
		if e.Op == redlock.OpRelease {
			break // its release is owed, and its value has been hashed
		}
	}
	first.cut(false)
	k, err = l.Lock(t.Context(), "k", rig.LongTTL)
	require.NoError(t, err)
	require.NoError(t, k.Unlock(t.Context()))
	rig.Drain(t, l)
	rig.Drain(t, other)
}

// A severable is the network to a node, which can be cut.
type severable struct {
	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

func (s *severable) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, rig.ErrRefused
	}
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	s.conns = append(s.conns, c)
	return c, err
}

func (s *severable) cut(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
	for _, c := range s.conns {
		if c != nil {
			_ = c.Close()
		}
	}
	s.conns = nil
}
