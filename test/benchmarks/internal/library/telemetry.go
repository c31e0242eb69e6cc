package library

import (
	"context"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/b0401464/redlock"
)

// RedlockWithoutTelemetry is this library without what the telemetry API costs
// where no SDK is installed: its tracer makes spans that are no objects.
func RedlockWithoutTelemetry() Library {
	l := Redlock(redlock.WithTracerProvider(inertProvider{}))
	l.Name, l.Settings = Ours+", no telemetry", l.Settings+", WithTracerProvider(one that makes nothing)"
	return l
}

type inertProvider struct{ noop.TracerProvider }

func (inertProvider) Tracer(string, ...trace.TracerOption) trace.Tracer { return inertTracer{} }

type inertTracer struct{ noop.Tracer }

func (inertTracer) Start(ctx context.Context, _ string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	return ctx, noop.Span{}
}
