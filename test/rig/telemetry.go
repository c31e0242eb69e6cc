package rig

import (
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
)

// A Meter reads the metrics of a Locker.
type Meter struct {
	reader   *sdkmetric.ManualReader
	provider *sdkmetric.MeterProvider
}

// NewMeter returns a Meter that has read nothing.
func NewMeter() Meter {
	r := sdkmetric.NewManualReader()
	return Meter{r, sdkmetric.NewMeterProvider(sdkmetric.WithReader(r))}
}

// Option has a Locker report to m.
func (m Meter) Option() redlock.Option { return redlock.WithMeterProvider(m.provider) }

// Read returns all metrics by name.
func (m Meter) Read(t *testing.T) map[string]metricdata.Metrics {
	t.Helper()
	var data metricdata.ResourceMetrics
	require.NoError(t, m.reader.Collect(t.Context(), &data))
	all := map[string]metricdata.Metrics{}
	for _, s := range data.ScopeMetrics {
		assert.Equal(t, redlock.ScopeName, s.Scope.Name)
		assert.Equal(t, seam.Version, s.Scope.Version)
		for _, metric := range s.Metrics {
			all[metric.Name] = metric
		}
	}
	return all
}

// Values returns the sums or counts of a metric by the value of one attribute.
func (m Meter) Values(t *testing.T, name string, key attribute.Key) map[string]int64 {
	t.Helper()
	got := map[string]int64{}
	add := func(set attribute.Set, n int64) {
		v, _ := set.Value(key)
		got[v.String()] += n
	}
	switch d := m.Read(t)[name].Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range d.DataPoints {
			add(p.Attributes, p.Value)
		}
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			add(p.Attributes, int64(p.Count)) //nolint:gosec // small
		}
	case nil:
	default:
		t.Fatalf("%s is %T", name, d)
	}
	return got
}

// ByResult is the attribute that tells calls apart by their outcome.
const ByResult = attribute.Key("redlock.result")

// A Recorder records the spans of a Locker.
type Recorder struct {
	*tracetest.SpanRecorder
	Provider *sdktrace.TracerProvider
}

// NewRecorder returns a Recorder without spans.
func NewRecorder() Recorder {
	r := tracetest.NewSpanRecorder()
	return Recorder{r, sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r))}
}

// Option has a Locker report to r.
func (r Recorder) Option() redlock.Option { return redlock.WithTracerProvider(r.Provider) }

// Take returns the spans that have ended since the last call, in that order.
func (r Recorder) Take() []sdktrace.ReadOnlySpan {
	defer r.Reset()
	return r.Ended()
}

// Attrs is the attributes of a span.
type Attrs map[attribute.Key]any

// Attributes returns the attributes of s.
func Attributes(s sdktrace.ReadOnlySpan) Attrs {
	all := Attrs{}
	for _, kv := range s.Attributes() {
		all[kv.Key] = kv.Value.AsInterface()
	}
	return all
}

// RequireOK requires that the spans tell of no failure.
func RequireOK(t *testing.T, spans ...sdktrace.ReadOnlySpan) {
	t.Helper()
	for _, s := range spans {
		assert.Equal(t, codes.Unset, s.Status().Code, s.Name())
		assert.NotContains(t, Attributes(s), attribute.Key("error.type"), s.Name())
	}
}

// RequireFailed requires that s tells of a failure of this type.
func RequireFailed(t *testing.T, s sdktrace.ReadOnlySpan, errorType string) {
	t.Helper()
	assert.Equal(t, codes.Error, s.Status().Code, s.Name())
	assert.NotEmpty(t, s.Status().Description)
	assert.Equal(t, errorType, Attributes(s)["error.type"], s.Name())
}
