package main

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/extra/redisotel/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/b0401464/redlock"
)

// A bench is a service on three quick nodes, the last of which can be held up.
type bench struct {
	*service
	spans *tracetest.SpanRecorder
	nodes *nodes
	sent  chan string // the address of a node for each command of the library that it gets
	// release lets the last node answer.
	release func()
}

func newBench(t *testing.T, instrument func(*service) error) *bench {
	t.Helper()
	n, err := startNodes(nil)
	require.NoError(t, err)
	t.Cleanup(n.close)
	gate := make(chan struct{})
	b := &bench{
		spans: tracetest.NewSpanRecorder(), nodes: n, sent: make(chan string, 1000),
		release: sync.OnceFunc(func() { close(gate) }),
	}
	t.Cleanup(b.release)
	for i, m := range n.embedded {
		m.Server().SetPreHook(func(_ *server.Peer, command string, args ...string) bool {
			if strings.HasPrefix(command, "EVAL") || slices.Contains(args, "nx") {
				b.sent <- n.addrs[i]
				if i == len(n.embedded)-1 {
					<-gate
				}
			}
			return false
		})
	}
	b.service, err = newService("tests", n.addrs, export{spans: []sdktrace.SpanProcessor{b.spans}})
	require.NoError(t, err)
	require.NoError(t, b.connect(t.Context()))
	require.NoError(t, instrument(b.service))
	t.Cleanup(func() {
		b.release()
		assert.NoError(t, b.close(context.Background()))
	})
	return b
}

// with runs With, whose function starts a span and extends, and returns the
// lock's value. The function waits until every node has got the acquire.
func (b *bench) with(t *testing.T) (value string) {
	t.Helper()
	err := b.locker.With(t.Context(), invoice, ttl, func(ctx context.Context, lock *redlock.Lock) error {
		ctx, span := b.tracers.Tracer("tests").Start(ctx, "work")
		defer span.End()
		value = lock.Value()
		for got := map[string]bool{}; len(got) < len(b.nodes.addrs); {
			got[<-b.sent] = true
		}
		return lock.Extend(ctx, ttl)
	}, nil)
	require.NoError(t, err)
	require.NotEmpty(t, value)
	return value
}

// settle waits until no command is under way and returns all spans.
func (b *bench) settle(t *testing.T) []sdktrace.ReadOnlySpan {
	t.Helper()
	require.NoError(t, b.locker.Shutdown(t.Context()))
	return b.spans.Ended()
}

// named returns the only span of that name.
func named(t *testing.T, spans []sdktrace.ReadOnlySpan, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	var found []sdktrace.ReadOnlySpan
	for _, s := range spans {
		if s.Name() == name {
			found = append(found, s)
		}
	}
	require.Len(t, found, 1, name)
	return found[0]
}

// commandsBelow returns how many commands each node was sent below a span.
func (b *bench) commandsBelow(parent sdktrace.ReadOnlySpan, spans []sdktrace.ReadOnlySpan) []int {
	all := make([]int, len(b.nodes.addrs))
	for _, s := range spans {
		if s.SpanKind() == trace.SpanKindClient && s.Parent().SpanID() == parent.SpanContext().SpanID() {
			for i, addr := range b.nodes.addrs {
				if addr == net.JoinHostPort(text(s, "server.address"), text(s, "server.port")) {
					all[i]++
				}
			}
		}
	}
	return all
}

func TestSpansOfTheFunctionAndOfCommandsAreBelowTheLibrarys(t *testing.T) {
	b := newBench(t, (*service).instrument)
	b.release()
	b.with(t)
	spans := b.settle(t)
	with := named(t, spans, "redlock.with")
	work := named(t, spans, "work")
	assert.Equal(t, with.SpanContext().SpanID(), work.Parent().SpanID(), "what the function starts is below redlock.with")
	assert.Equal(t, work.SpanContext().SpanID(), named(t, spans, "redlock.extend").Parent().SpanID())
	for name, least := range map[string]int{
		"redlock.attempt": 3, "redlock.unlock": 3,
		"redlock.extend": 2, // a node that has not answered the acquire is not asked
	} {
		asked := slices.DeleteFunc(b.commandsBelow(named(t, spans, name), spans), func(n int) bool { return n == 0 })
		assert.GreaterOrEqual(t, len(asked), least, "nodes asked below %s", name)
	}
	operations := map[trace.SpanID]bool{}
	for _, s := range spans {
		operations[s.SpanContext().SpanID()] = strings.HasPrefix(s.Name(), "redlock.")
	}
	for _, s := range spans {
		assert.Equal(t, with.SpanContext().TraceID(), s.SpanContext().TraceID(), s.Name())
		if s.SpanKind() == trace.SpanKindClient {
			assert.True(t, operations[s.Parent().SpanID()], "%s is right below an operation", s.Name())
		}
	}
}

func TestLateCommandsOfASlowNodeAreInTheSameTrace(t *testing.T) {
	b := newBench(t, (*service).instrument)
	b.with(t) // while the last node answers nothing
	early := b.spans.Ended()
	attempt, unlock := named(t, early, "redlock.attempt"), named(t, early, "redlock.unlock")
	assert.Zero(t, b.commandsBelow(attempt, early)[2])
	b.release()
	spans := b.settle(t)
	assert.Positive(t, b.commandsBelow(attempt, spans)[2], "the acquire, below a span that has ended")
	assert.Positive(t, b.commandsBelow(unlock, spans)[2], "the release, below a span that has ended")
	with := named(t, spans, "redlock.with")
	for _, s := range spans {
		assert.Equal(t, with.SpanContext().TraceID(), s.SpanContext().TraceID(), s.Name())
		if _, port, _ := net.SplitHostPort(b.nodes.addrs[2]); text(s, "server.port") == port {
			assert.False(t, s.EndTime().Before(with.EndTime()), s.Name())
		}
	}
}

// shows reports whether a span shows a text anywhere.
func shows(s sdktrace.ReadOnlySpan, secret string) bool {
	if strings.Contains(s.Status().Description, secret) {
		return true
	}
	all := s.Attributes()
	for _, e := range s.Events() {
		all = append(all, e.Attributes...)
	}
	for _, kv := range all {
		if strings.Contains(kv.Value.String(), secret) {
			return true
		}
	}
	return false
}

func TestNoSpanShowsTheLocksValue(t *testing.T) {
	b := newBench(t, (*service).instrument)
	b.release()
	value := b.with(t)
	for _, s := range b.settle(t) {
		assert.False(t, shows(s, value), s.Name())
		assert.Empty(t, text(s, "db.statement"), s.Name())
	}
}

func TestRedisotelShowsTheLocksValueUnlessToldNotTo(t *testing.T) {
	b := newBench(t, func(s *service) error {
		var errs []error
		for _, c := range s.clients {
			errs = append(errs, redisotel.InstrumentTracing(c, redisotel.WithTracerProvider(s.tracers)))
		}
		return errors.Join(errs...)
	})
	b.release()
	value := b.with(t)
	for _, s := range b.settle(t) {
		if s.SpanKind() == trace.SpanKindClient {
			assert.Contains(t, text(s, "db.statement"), value, s.Name())
		}
	}
}

func TestNoScriptOnANodeThatDoesNotKnowItLooksLikeAnError(t *testing.T) {
	b := newBench(t, (*service).instrument)
	b.release()
	b.with(t)
	b.with(t)
	var operations int
	for _, s := range b.settle(t) {
		assert.NotEqual(t, codes.Error, s.Status().Code, "%s: %s", s.Name(), s.Status().Description)
		if strings.HasPrefix(s.Name(), "redlock.") {
			operations++
		}
	}
	assert.Equal(t, 10, operations)
}
