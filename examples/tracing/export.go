package main

import (
	"context"
	"io"
	"os"
	"sync"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// An export is where the telemetry of one service goes.
type export struct {
	spans   []sdktrace.SpanProcessor
	metrics sdkmetric.Reader // nil: nowhere
	silent  bool             // the spans go nowhere
}

// newExport returns what the environment asks for; without a word from it,
// spans and metrics are written to out, one a line, if out is not nil.
func newExport(ctx context.Context, out io.Writer) (export, error) {
	silent := false
	var spanOpts []autoexport.SpanOption
	if !hasEndpoint("TRACES") {
		spanOpts = append(spanOpts, autoexport.WithFallbackSpanExporter(func(context.Context) (sdktrace.SpanExporter, error) {
			if out == nil {
				silent = true
				return tracetest.NewNoopExporter(), nil
			}
			return stdouttrace.New(stdouttrace.WithWriter(out))
		}))
	}
	spans, err := autoexport.NewSpanExporter(ctx, spanOpts...)
	if err != nil {
		return export{}, err
	}
	var metricOpts []autoexport.MetricOption
	if !hasEndpoint("METRICS") {
		metricOpts = append(metricOpts, autoexport.WithFallbackMetricReader(func(context.Context) (sdkmetric.Reader, error) {
			if out == nil {
				return sdkmetric.NewManualReader(), nil
			}
			e, err := stdoutmetric.New(stdoutmetric.WithWriter(out))
			return sdkmetric.NewPeriodicReader(e), err
		}))
	}
	metrics, err := autoexport.NewMetricReader(ctx, metricOpts...)
	if err != nil {
		return export{}, err
	}
	return export{[]sdktrace.SpanProcessor{sdktrace.NewBatchSpanProcessor(spans)}, metrics, silent}, nil
}

// hasEndpoint reports whether the environment names an OTLP endpoint for a
// signal.
func hasEndpoint(signal string) bool {
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
}

// A lockedWriter keeps the lines of concurrent writers apart.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// A collector keeps the spans that have ended, for the tree and the picture.
type collector struct {
	mu    sync.Mutex
	spans []sdktrace.ReadOnlySpan
}

// OnStart does nothing.
func (c *collector) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd keeps the span.
func (c *collector) OnEnd(s sdktrace.ReadOnlySpan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans = append(c.spans, s)
}

// Shutdown does nothing.
func (c *collector) Shutdown(context.Context) error { return nil }

// ForceFlush does nothing.
func (c *collector) ForceFlush(context.Context) error { return nil }

func (c *collector) all() []sdktrace.ReadOnlySpan {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spans
}
