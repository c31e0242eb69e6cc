package telemetry_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// begun notes the names of spans, and records none.
type begun struct {
	mu    sync.Mutex
	names []string
}

func (b *begun) note(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.names = append(b.names, name)
}

// ShouldSample makes it the sampler of an SDK.
func (b *begun) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	b.note(p.Name)
	return sdktrace.NeverSample().ShouldSample(p)
}

func (b *begun) Description() string { return "notes names" }

// A begunProvider is what there is without an SDK.
type begunProvider struct {
	noop.TracerProvider
	begun *begun
}

func (p begunProvider) Tracer(string, ...trace.TracerOption) trace.Tracer {
	return begunTracer{begun: p.begun}
}

type begunTracer struct {
	noop.Tracer
	begun *begun
}

func (t begunTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	t.begun.note(name)
	return t.Tracer.Start(ctx, name, opts...)
}

func TestAttemptsHaveSpansExceptWhereNothingIsTraced(t *testing.T) {
	all := []string{"redlock.lock", "redlock.attempt", "redlock.unlock"}
	without := []string{"redlock.lock", "redlock.unlock"}
	above := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	for _, tt := range []struct {
		name     string
		provider func(*begun) trace.TracerProvider
		parent   trace.SpanContext
		want     []string
	}{
		{"an SDK that samples none", func(b *begun) trace.TracerProvider {
			return sdktrace.NewTracerProvider(sdktrace.WithSampler(b))
		}, trace.SpanContext{}, all},
		{"no SDK", func(b *begun) trace.TracerProvider { return begunProvider{begun: b} }, trace.SpanContext{}, without},
		{"no SDK, and a span above", func(b *begun) trace.TracerProvider { return begunProvider{begun: b} }, above, all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := new(begun)
				l := rig.NewLocker(t, rig.New(t, 1), redlock.WithTracerProvider(tt.provider(b)))
				ctx := trace.ContextWithSpanContext(t.Context(), tt.parent)
				lock, err := l.Lock(ctx, "a", rig.TTL)
				require.NoError(t, err)
				require.NoError(t, lock.Unlock(ctx))
				assert.Equal(t, tt.want, b.names)
			})
		})
	}
}
