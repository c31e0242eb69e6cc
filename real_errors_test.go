package redlock_test

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
	"github.com/b0401464/redlock/internal/redistest"
)

// A realLog keeps node errors.
type realLog struct {
	mu  sync.Mutex
	all []*redlock.NodeError
}

func (g *realLog) option() redlock.Option {
	return redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.all = append(g.all, err)
	})
}

// take waits for a number of node errors, returns all so far and forgets them.
func (g *realLog) take(least int) []*redlock.NodeError {
	poll(realTTL/3, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.all) >= least
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.all
	g.all = nil
	return all
}

// requireOfNode requires that err does not read as if the caller's context had
// ended.
func requireOfNode(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, context.Canceled)
}

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
			rig := newRealRig(t, 3)
			var log realLog
			l := newRealLocker(t, rig.newClients(t, tt.opt), redlock.WithNodeTimeout(realTTL), log.option())
			begun := time.Now()
			_, err := l.TryLock(t.Context(), "k", 2*realTTL)
			t.Logf("after %v: %v", time.Since(begun), err)
			requireOfNode(t, err)
			require.ErrorIs(t, err, redlock.ErrNotAcquired)
			require.ErrorIs(t, err, redlock.ErrNoQuorum)
			e, ok := errors.AsType[*redlock.LockError](err)
			require.True(t, ok)
			require.NotEmpty(t, e.Nodes)
			for _, n := range e.Nodes {
				requireOfNode(t, n)
				require.ErrorContains(t, n.Err, "timeout")
				require.ErrorIs(t, n.Err, context.DeadlineExceeded, "or this shows nothing")
				require.ErrorContains(t, err, n.Addr)
				require.ErrorContains(t, err, n.Err.Error())
			}
			drain(t, l)
			reported := log.take(3)
			require.NotEmpty(t, reported)
			for _, n := range reported {
				requireOfNode(t, n)
			}
		})
	}
}

func TestNodeThatSwallowsEverythingIsNotTakenForTheCallersContext(t *testing.T) {
	t.Parallel()
	rig := newRealProxiedRig(t, 3, func(o *redis.Options) { o.DialTimeout = 50 * time.Millisecond }, giveUpSoon)
	for _, p := range rig.proxies {
		p.BlackHole(true)
	}
	l := rig.locker(t, redlock.WithNodeTimeout(realTTL))
	_, err := l.TryLock(t.Context(), "k", 2*realTTL)
	requireOfNode(t, err)
	require.ErrorIs(t, err, redlock.ErrNoQuorum)
	require.ErrorContains(t, err, "timeout")
	_, err = l.Lock(t.Context(), "k", realTTL, redlock.WithNodeTimeout(20*time.Millisecond), redlock.WithMaxWait(100*time.Millisecond))
	requireOfNode(t, err)
	require.ErrorIs(t, err, redlock.ErrNoQuorum)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = l.Lock(ctx, "k", realTTL)
	require.ErrorIs(t, err, context.DeadlineExceeded, "here it was the caller's")
	for _, p := range rig.proxies {
		p.BlackHole(false)
	}
	drain(t, l)
	// A command that was given up may arrive after its release.
	for key, left := range rig.left(t, 0) {
		require.LessOrEqual(t, left, 2*realTTL, key)
	}
}

func TestForgottenScriptsAreSentAgain(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 3)
	var log realLog
	l := rig.locker(t, log.option())
	forget := func() {
		for _, c := range rig.direct {
			require.NoError(t, c.ScriptFlush(t.Context()).Err())
		}
	}
	for range 200 {
		forget()
		lock, err := l.TryLock(t.Context(), "k", realTTL)
		require.NoError(t, err)
		drainCalls(t, l) // an extension is not queued behind an unanswered acquire
		forget()
		require.NoError(t, lock.Extend(t.Context(), realTTL))
		forget()
		require.NoError(t, lock.Unlock(t.Context()))
	}
	drain(t, l)
	for _, e := range log.take(0) {
		assert.NoError(t, e)
	}
	rig.requireEmpty(t, realTTL/3)
}

func TestKeyOfAnotherTypeIsReportedOnceForEachNodeAndCommand(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 3)
	for _, c := range rig.direct {
		require.NoError(t, c.LPush(t.Context(), "k", "a list").Err())
	}
	var log realLog
	l := rig.locker(t, log.option())
	_, err := l.TryLock(t.Context(), "k", realTTL)
	t.Log(err)
	require.ErrorIs(t, err, redlock.ErrNoQuorum)
	require.NotErrorIs(t, err, redlock.ErrContended)
	require.ErrorContains(t, err, "WRONGTYPE")
	e, ok := errors.AsType[*redlock.LockError](err)
	require.True(t, ok)
	require.NotEmpty(t, e.Nodes)
	for _, n := range e.Nodes {
		require.Equal(t, rig.servers[n.Node].Addr(), n.Addr)
		require.ErrorContains(t, err, n.Addr)
	}
	drain(t, l)
	times := map[string]int{}
	for _, n := range log.take(6) {
		times[fmt.Sprintf("%d %s", n.Node, n.Op)]++
		require.ErrorContains(t, n, "WRONGTYPE")
		require.ErrorContains(t, n, rig.servers[n.Node].Addr())
	}
	require.Equal(t, map[string]int{
		"0 acquire": 1, "1 acquire": 1, "2 acquire": 1,
		"0 release": 1, "1 release": 1, "2 release": 1,
	}, times)
	for i := range rig.direct {
		require.Equal(t, "list", rig.direct[i].Type(t.Context(), "k").Val(), "it is not ours to remove")
	}
}

func TestKeyOfAnotherTypeOnAMinorityDoesNoHarm(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 3)
	require.NoError(t, rig.direct[1].LPush(t.Context(), "k", "a list").Err())
	var log realLog
	l := rig.locker(t, log.option())
	lock, err := l.TryLock(t.Context(), "k", realTTL)
	require.NoError(t, err)
	drainCalls(t, l)
	require.NoError(t, lock.Extend(t.Context(), realTTL))
	drainCalls(t, l)
	require.NoError(t, lock.Unlock(t.Context()))
	drain(t, l)
	var ops []string
	for _, n := range log.take(3) {
		require.Equal(t, 1, n.Node)
		ops = append(ops, n.Op)
	}
	require.ElementsMatch(t, []string{redlock.NodeAcquire, redlock.NodeExtend, redlock.NodeRelease}, ops)
}

func TestShutdownWaitsForTheNodeErrorHandler(t *testing.T) {
	t.Parallel()
	rig := newRealRig(t, 3)
	require.NoError(t, rig.direct[1].LPush(t.Context(), "k", "a list").Err())
	called, goOn := make(chan struct{}, 2), make(chan struct{})
	l := rig.locker(t, redlock.WithNodeErrorHandler(func(context.Context, *redlock.NodeError) {
		called <- struct{}{}
		<-goOn
	}))
	lock, err := l.TryLock(t.Context(), "k", realTTL)
	require.NoError(t, err)
	<-called
	require.NoError(t, lock.Unlock(t.Context()))

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err = l.Shutdown(ctx)
	close(goOn)
	require.ErrorIs(t, err, context.DeadlineExceeded, "the background was not idle: the handler was running")
	drain(t, l)
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
		opts       []redistest.Option
		setup      func(t *testing.T, c *redis.Client)
	}{
		{"unknown command", "unknown command", []redistest.Option{redistest.WithArgs("--rename-command", "EVALSHA", "")}, nil},
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
			rig := newRealRig(t, 1, tt.opts...)
			if tt.setup != nil {
				tt.setup(t, rig.direct[0])
			}
			spy := &valueSpy{client: rig.clients[0], values: map[string]bool{}}
			var log realLog
			l := newRealLocker(t, []*valueSpy{spy}, log.option())
			// The longer the key, the less of what follows it does Redis quote.
			for n := 1; n < 100; n++ {
				_, err := l.TryLock(t.Context(), strings.Repeat("k", n), realTTL)
				require.ErrorContains(t, err, tt.want)
				spy.requireSecret(t, err.Error())
				drainCalls(t, l)
				reported := log.take(2)
				assert.Len(t, reported, 2, "acquire and release")
				for _, e := range reported {
					spy.requireSecret(t, e.Error())
					spy.requireSecret(t, fmt.Sprintf("%+v", e.Err))
				}
			}
			drain(t, l)
		})
	}
}
