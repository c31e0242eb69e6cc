package faults_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

func TestTimeOutOfANodeIsNotTakenForTheCallersContext(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		opt  func(*redis.Options)
	}{
		{"the dial timeout of the client", func(o *redis.Options) { o.DialTimeout = time.Nanosecond }},
		{"a dialer of its own", func(o *redis.Options) {
			o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
				return (&net.Dialer{Timeout: time.Nanosecond}).DialContext(ctx, network, addr)
			}
		}},
		{"a dialer with a context of its own", func(o *redis.Options) {
			o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
				ctx, cancel := context.WithTimeout(ctx, time.Nanosecond)
				defer cancel()
				return (&net.Dialer{}).DialContext(ctx, network, addr)
			}
		}},
		{"a dialer that says so", func(o *redis.Options) {
			o.Dialer = func(context.Context, string, string) (net.Conn, error) {
				return nil, fmt.Errorf("i/o timeout: %w", context.DeadlineExceeded)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			on := rig.NewReal(t, 3)
			var log rig.ErrorLog
			l := rig.NewRealLocker(t, on.NewClients(t, tt.opt), redlock.WithNodeTimeout(rig.LongTTL), log.Option())
			begun := time.Now()
			_, err := l.TryLock(t.Context(), "k", 2*rig.LongTTL)
			t.Logf("after %v: %v", time.Since(begun), err)
			rig.RequireOfNode(t, err)
			require.ErrorIs(t, err, redlock.ErrNoQuorum)
			e, ok := errors.AsType[*redlock.LockError](err)
			require.True(t, ok)
			require.NotEmpty(t, e.Nodes)
			for _, n := range e.Nodes {
				rig.RequireOfNode(t, n)
				require.ErrorContains(t, n.Err, "timeout")
				require.ErrorIs(t, n.Err, context.DeadlineExceeded, "or this shows nothing")
				require.ErrorContains(t, err, n.Addr)
				require.ErrorContains(t, err, n.Err.Error())
			}
			rig.Drain(t, l)
			reported := log.Take(3)
			require.NotEmpty(t, reported)
			for _, n := range reported {
				rig.RequireOfNode(t, n)
			}
		})
	}
}

func TestNodeThatSwallowsEverythingIsNotTakenForTheCallersContext(t *testing.T) {
	t.Parallel()
	on := rig.NewProxied(t, 3, func(o *redis.Options) { o.DialTimeout = 50 * time.Millisecond }, giveUpSoon)
	for _, p := range on.Proxies {
		p.BlackHole(true)
	}
	l := on.Locker(t, redlock.WithNodeTimeout(rig.LongTTL))
	_, err := l.TryLock(t.Context(), "k", 2*rig.LongTTL)
	rig.RequireOfNode(t, err)
	require.ErrorIs(t, err, redlock.ErrNoQuorum)
	require.ErrorContains(t, err, "timeout")
	_, err = l.Lock(t.Context(), "k", rig.LongTTL, redlock.WithNodeTimeout(20*time.Millisecond), redlock.WithMaxWait(100*time.Millisecond))
	rig.RequireOfNode(t, err)
	require.ErrorIs(t, err, redlock.ErrNoQuorum)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = l.Lock(ctx, "k", rig.LongTTL)
	require.ErrorIs(t, err, context.DeadlineExceeded, "here it was the caller's")
	for _, p := range on.Proxies {
		p.BlackHole(false)
	}
	rig.Drain(t, l)
	// A command that was given up may arrive after its release.
	for key, left := range on.Left(t, 0) {
		require.LessOrEqual(t, left, 2*rig.LongTTL, key)
	}
}

func TestForgottenScriptsAreSentAgain(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3)
	var log rig.ErrorLog
	l := on.Locker(t, log.Option())
	forget := func() {
		for _, c := range on.Direct {
			require.NoError(t, c.ScriptFlush(t.Context()).Err())
		}
	}
	for range 200 {
		forget()
		lock, err := l.TryLock(t.Context(), "k", rig.LongTTL)
		require.NoError(t, err)
		rig.DrainCalls(t, l) // an extension is not queued behind an unanswered acquire
		forget()
		require.NoError(t, lock.Extend(t.Context(), rig.LongTTL))
		forget()
		require.NoError(t, lock.Unlock(t.Context()))
	}
	rig.Drain(t, l)
	for _, e := range log.Take(0) {
		assert.NoError(t, e)
	}
	on.RequireEmpty(t, rig.LongTTL/3)
}

func TestKeyOfAnotherTypeIsReportedOnceForEachNodeAndCommand(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3)
	for _, c := range on.Direct {
		require.NoError(t, c.LPush(t.Context(), "k", "a list").Err())
	}
	var log rig.ErrorLog
	l := on.Locker(t, log.Option())
	_, err := l.TryLock(t.Context(), "k", rig.LongTTL)
	t.Log(err)
	require.ErrorIs(t, err, redlock.ErrNoQuorum)
	require.NotErrorIs(t, err, redlock.ErrContended)
	require.ErrorContains(t, err, "WRONGTYPE")
	e, ok := errors.AsType[*redlock.LockError](err)
	require.True(t, ok)
	require.NotEmpty(t, e.Nodes)
	for _, n := range e.Nodes {
		require.Equal(t, on.Servers[n.Node-1].Addr(), n.Addr)
		require.ErrorContains(t, err, n.Addr)
	}
	rig.Drain(t, l)
	times := map[string]int{}
	for _, n := range log.Take(6) {
		times[fmt.Sprintf("%d %s", n.Node-1, n.Op)]++
		require.ErrorContains(t, n, "WRONGTYPE")
		require.ErrorContains(t, n, on.Servers[n.Node-1].Addr())
	}
	require.Equal(t, map[string]int{
		"0 acquire": 1, "1 acquire": 1, "2 acquire": 1,
		"0 release": 1, "1 release": 1, "2 release": 1,
	}, times)
	for i := range on.Direct {
		require.Equal(t, "list", on.Direct[i].Type(t.Context(), "k").Val(), "it is not ours to remove")
	}
}

func TestKeyOfAnotherTypeOnAMinorityDoesNoHarm(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3)
	require.NoError(t, on.Direct[1].LPush(t.Context(), "k", "a list").Err())
	var log rig.ErrorLog
	l := on.Locker(t, log.Option())
	lock, err := l.TryLock(t.Context(), "k", rig.LongTTL)
	require.NoError(t, err)
	rig.DrainCalls(t, l)
	require.NoError(t, lock.Extend(t.Context(), rig.LongTTL))
	rig.DrainCalls(t, l)
	require.NoError(t, lock.Unlock(t.Context()))
	rig.Drain(t, l)
	var ops []redlock.Op
	for _, n := range log.Take(3) {
		require.Equal(t, 2, n.Node)
		ops = append(ops, n.Op)
	}
	require.ElementsMatch(t, []redlock.Op{redlock.OpAcquire, redlock.OpExtend, redlock.OpRelease}, ops)
}

func TestShutdownWaitsForTheNodeErrorHandler(t *testing.T) {
	t.Parallel()
	on := rig.NewReal(t, 3)
	require.NoError(t, on.Direct[1].LPush(t.Context(), "k", "a list").Err())
	called, goOn := make(chan struct{}, 2), make(chan struct{})
	l := on.Locker(t, redlock.WithNodeErrorHandler(func(context.Context, *redlock.NodeError) {
		called <- struct{}{}
		<-goOn
	}))
	lock, err := l.TryLock(t.Context(), "k", rig.LongTTL)
	require.NoError(t, err)
	<-called
	require.NoError(t, lock.Unlock(t.Context()))

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err = l.Shutdown(ctx)
	close(goOn)
	require.ErrorIs(t, err, context.DeadlineExceeded, "the background was not idle: the handler was running")
	rig.Drain(t, l)
}

// A valueSpy is a client that notes the lock values it was given.
type valueSpy struct {
	client *redis.Client
	mu     sync.Mutex
	values map[string]bool
}

func (s *valueSpy) Process(ctx context.Context, cmd redis.Cmder) error {
	if args := cmd.Args(); len(args) > 4 {
		s.mu.Lock()
		s.values[args[4].(string)] = true
		s.mu.Unlock()
	}
	return s.client.Process(ctx, cmd)
}

// requireSecret requires that text shows no part of a value from its beginning
// that is long enough to be no accident.
func (s *valueSpy) requireSecret(t *testing.T, text string) {
	t.Helper()
	const accident = 10
	s.mu.Lock()
	defer s.mu.Unlock()
	require.NotEmpty(t, s.values)
	for v := range s.values {
		require.Len(t, v, 32)
		require.NotContains(t, text, v[:accident])
	}
}

func TestNoErrorShowsTheLocksValue(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		opts       []servers.Option
		setup      func(t *testing.T, c *redis.Client)
	}{
		{"unknown command", "unknown command", []servers.Option{servers.WithArgs("--rename-command", "EVALSHA", "", "--rename-command", "EVAL", "")}, nil},
		{"forbidden command", "NOPERM", nil, func(t *testing.T, c *redis.Client) {
			t.Helper()
			require.NoError(t, c.Do(t.Context(), "ACL", "SETUSER", "default", "-evalsha", "-eval").Err())
		}},
		{"forbidden key", "NOPERM", nil, func(t *testing.T, c *redis.Client) {
			t.Helper()
			require.NoError(t, c.Do(t.Context(), "ACL", "SETUSER", "default", "resetkeys", "~other").Err())
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			on := rig.NewReal(t, 1, tt.opts...)
			if tt.setup != nil {
				tt.setup(t, on.Direct[0])
			}
			spy := &valueSpy{client: on.Clients[0], values: map[string]bool{}}
			var log rig.ErrorLog
			l := rig.NewRealLocker(t, []*valueSpy{spy}, log.Option())
			// The longer the key, the less of what follows it does Redis quote.
			for n := 1; n < 100; n++ {
				_, err := l.TryLock(t.Context(), strings.Repeat("k", n), rig.LongTTL)
				require.ErrorContains(t, err, tt.want)
				spy.requireSecret(t, err.Error())
				rig.DrainCalls(t, l)
				reported := log.Take(2)
				assert.Len(t, reported, 2, "acquire and release")
				for _, e := range reported {
					spy.requireSecret(t, e.Error())
					spy.requireSecret(t, fmt.Sprintf("%+v", e.Err))
				}
			}
			rig.Drain(t, l)
		})
	}
}
