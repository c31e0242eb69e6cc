package errors_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestUnlockNamesOnlyNodesThatHaveFailed(t *testing.T) {
	for name, tt := range map[string]struct {
		turn func(n *rig.Node)
		kind error
		want int
	}{
		"lost":        {func(n *rig.Node) { n.Del("a") }, redlock.ErrLockLost, 0},
		"no quorum":   {func(n *rig.Node) { n.SetError("ERR broken") }, redlock.ErrNoQuorum, 2},
		"still asked": {func(n *rig.Node) { n.Slow(time.Millisecond) }, context.Canceled, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l := rig.NewLocker(t, nodes)
				rig.WarmUp(t, l)
				k := rig.Lock(t, l)
				tt.turn(nodes[0])
				tt.turn(nodes[1])
				nodes[2].Slow(5 * time.Millisecond) // it is well, and not the first to answer
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if !errors.Is(tt.kind, context.Canceled) {
					ctx = t.Context()
				}
				err := k.Unlock(ctx)
				require.ErrorIs(t, err, tt.kind)
				e, ok := errors.AsType[*redlock.LockError](err)
				require.True(t, ok)
				require.Len(t, e.Nodes, tt.want, "%v", err)
			})
		})
	}
}

func TestErrorsAreToldInOneLine(t *testing.T) {
	t.Run("that no Sentinel can be reached", func(t *testing.T) {
		c := redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: "m", SentinelAddrs: []string{"127.0.0.1:1", "127.0.0.1:2"}, MaxRetries: -1, DialerRetries: 1,
			Dialer: func(context.Context, string, string) (net.Conn, error) { return nil, rig.ErrRefused },
		})
		t.Cleanup(func() { assert.NoError(t, c.Close()) })
		l, err := redlock.New([]*redis.Client{c})
		require.NoError(t, err)
		_, err = l.TryLock(t.Context(), "a", rig.LongTTL, redlock.WithNodeTimeout(rig.LongTTL/2))
		assert.NotContains(t, err.Error(), "\n")
		e, ok := errors.AsType[*redlock.NodeError](err)
		require.True(t, ok)
		assert.NotContains(t, e.Error(), "\n")
	})
	t.Run("the cause of the caller's context", func(t *testing.T) {
		l, err := redlock.New([]rig.Stub{{}})
		require.NoError(t, err)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.Join(rig.ErrRefused, rig.ErrRefused))
		_, err = l.TryLock(ctx, "a", rig.TTL)
		require.ErrorIs(t, err, context.Canceled)
		assert.NotContains(t, err.Error(), "\n")
	})
	for name, raw := range map[string]string{
		"an error with a carriage return": "-ERR a\rredlock: all is well\r\n",
		"an error that is a blob":         "!26\r\nERR a\nredlock: all is well\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				on := newBadRig(t, badFleet{nodes: 1, bad: 1})
				on.says = &answer{raw: raw}
				on.turnBad()
				_, err := on.locker.TryLock(t.Context(), "a", rig.TTL)
				assert.ErrorContains(t, err, "all is well")
				assert.NotContains(t, err.Error(), "\r")
				assert.NotContains(t, err.Error(), "\n")
			})
		})
	}
}

func TestOptionsThatAreWrongAreToldInOneLine(t *testing.T) {
	_, err := redlock.New([]rig.Stub{{}}, redlock.WithDriftFactor(-1), redlock.WithNodeTimeout(-1), nil)
	require.ErrorIs(t, err, redlock.ErrInvalidArgument)
	for _, name := range []string{"WithDriftFactor", "WithNodeTimeout", "option 3"} {
		assert.ErrorContains(t, err, name)
	}
	assert.NotContains(t, err.Error(), "\n")
}

func TestALongAnswerIsCutInTheTextOfAnError(t *testing.T) {
	l, err := redlock.New([]failing{{errors.New(strings.Repeat("x", 1<<20))}})
	require.NoError(t, err)
	_, err = l.TryLock(t.Context(), "a", rig.TTL)
	require.ErrorIs(t, err, redlock.ErrNoQuorum)
	assert.Less(t, len(err.Error()), 1000)
	assert.ErrorContains(t, err, "1048576 bytes")
}

// An exporter drops all spans of a batch if one of them has a text that is not
// UTF-8.
func TestSpansAreUTF8WhateverTheNameAndTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := tracetest.NewSpanRecorder()
		on := newBadRig(t, badFleet{nodes: 1, bad: 1}, redlock.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))))
		on.says = &answer{raw: "-ERR unknown command 'evalsha', with args beginning with: '0123' '1' 'a\xff'\r\n"}
		k, err := on.locker.TryLock(t.Context(), "a\xff", rig.TTL)
		require.NoError(t, err)
		on.turnBad()
		require.Error(t, k.Extend(t.Context(), rig.TTL))
		require.Error(t, k.Unlock(t.Context()))
		on.shutdown(t)
		for _, s := range recorder.Ended() {
			assert.True(t, utf8.ValidString(s.Status().Description), "%s: %q", s.Name(), s.Status().Description)
			for _, a := range s.Attributes() {
				if a.Value.Type() == attribute.STRING {
					assert.True(t, utf8.ValidString(a.Value.AsString()), "%s: %s %q", s.Name(), a.Key, a.Value.AsString())
				}
			}
		}
	})
}

func TestRetryAfterOfAKeyThatOutlastsADurationIsNotShort(t *testing.T) {
	const wraps = 18446744073710 // that many milliseconds, in nanoseconds, are almost 2^64
	l, err := redlock.New([]rig.Stub{{Reply: []any{int64(wraps + 5000), "01234567"}}})
	require.NoError(t, err)
	_, err = l.TryLock(t.Context(), "a", rig.TTL)
	e, ok := errors.AsType[*redlock.LockError](err)
	require.True(t, ok)
	require.False(t, 0 < e.RetryAfter && e.RetryAfter < time.Hour, "%v", err)
}

type failing struct{ err error }

func (c failing) Process(context.Context, redis.Cmder) error { return c.err }

type wrappedClient struct{ *redis.Client }

type clusterOfNone struct{ rig.Stub }

func (clusterOfNone) Options() *redis.ClusterOptions { return nil }

type ringOfNone struct{ rig.Stub }

func (ringOfNone) Options() *redis.RingOptions { return nil }

func TestNewDoesNotPanicForClientsWithoutOptions(t *testing.T) {
	for _, c := range []redlock.Client{clusterOfNone{}, ringOfNone{}, wrappedClient{}} {
		t.Run(fmt.Sprintf("%T", c), func(t *testing.T) {
			_, err := redlock.New([]redlock.Client{c})
			if _, wraps := c.(wrappedClient); wraps {
				require.ErrorIs(t, err, redlock.ErrInvalidArgument)
			} else {
				require.NoError(t, err, "it tells no address, and may work")
			}
		})
	}
}

type panicking struct{}

func (panicking) Process(_ context.Context, cmd redis.Cmder) error {
	panic(fmt.Sprint("no route for ", cmd.Args()))
}

func TestAPanicThatQuotesTheCommandIsStillToldAsAPanic(t *testing.T) {
	l, err := redlock.New([]panicking{{}})
	require.NoError(t, err)
	_, err = l.TryLock(t.Context(), "a", rig.TTL)
	e, ok := errors.AsType[*redlock.NodeError](err)
	require.True(t, ok, "%v", err)
	assert.ErrorContains(t, e, "the client panicked")
	assert.Equal(t, "panic", e.ErrorType())
}

type optionsOf struct {
	rig.Stub
	f func() *redis.Options
}

func (c optionsOf) Options() *redis.Options { return c.f() }

func TestWhatNewRejectsIsToldInOneLineOfUTF8(t *testing.T) {
	for name, f := range map[string]func() *redis.Options{
		"options that panic": func() *redis.Options { panic(errors.Join(rig.ErrRefused, rig.ErrRefused)) },
		"the same address":   func() *redis.Options { return &redis.Options{Addr: "a\nb\xff"} },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := redlock.New([]redlock.Client{optionsOf{f: f}, optionsOf{f: f}})
			require.ErrorIs(t, err, redlock.ErrInvalidArgument)
			assert.NotContains(t, err.Error(), "\n")
			assert.NotContains(t, err.Error(), "\xff")
		})
	}
}

type brokenError struct{ text string }

func (e *brokenError) Error() string { return e.text }

func TestAnErrorOfAClientThatPanicsWhenItIsReadIsAFailureOfItsNode(t *testing.T) {
	l, err := redlock.New([]failing{{(*brokenError)(nil)}})
	require.NoError(t, err)
	_, err = l.TryLock(t.Context(), "a", rig.TTL)
	require.ErrorIs(t, err, redlock.ErrNoQuorum)
	assert.ErrorContains(t, err, "panicked")
}

func TestNodesThatRefusedAreNotToldToHaveNotAnsweredWhenTheyAreAskedAgain(t *testing.T) {
	for trip := 5 * time.Millisecond; trip <= 20*time.Millisecond; trip += time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 3)
			gate, _ := rig.FindGate(t, nodes)
			rig.Lock(t, rig.NewLocker(t, nodes))
			l := rig.NewLocker(t, nodes, redlock.WithNodeTimeout(50*time.Millisecond), redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) {
				t.Errorf("round trips of %v: %v", trip, err)
			}))
			rig.WarmUp(t, l)
			for _, n := range nodes {
				n.Slow(trip)
			}
			for range 20 {
				_, err := l.TryLock(t.Context(), "a", rig.TTL)
				require.ErrorIs(t, err, redlock.ErrContended)
				gate.Del("a") // as after a restart without data
				_, err = l.Lock(t.Context(), "a", rig.TTL, redlock.WithRetry(1, 10*time.Millisecond))
				assert.ErrorIs(t, err, redlock.ErrContended)
				assert.NotErrorIs(t, err, redlock.ErrNoQuorum)
			}
			synctest.Wait()
		})
	}
}
