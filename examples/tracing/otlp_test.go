package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// A backend is a collector that keeps the names of what it gets.
type backend struct {
	tracepb.UnimplementedTraceServiceServer
	mu      sync.Mutex
	posts   map[string]int             // by path
	spans   map[string]map[string]bool // names by service
	metrics int
}

func newBackend() *backend {
	return &backend{posts: map[string]int{}, spans: map[string]map[string]bool{}}
}

// Export takes spans.
func (b *backend) Export(_ context.Context, r *tracepb.ExportTraceServiceRequest) (*tracepb.ExportTraceServiceResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, rs := range r.GetResourceSpans() {
		service := rs.GetResource().GetAttributes()[0].GetValue().GetStringValue()
		if b.spans[service] == nil {
			b.spans[service] = map[string]bool{}
		}
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				b.spans[service][s.GetName()] = true
			}
		}
	}
	return &tracepb.ExportTraceServiceResponse{}, nil
}

// ServeHTTP takes spans and metrics.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var spans tracepb.ExportTraceServiceRequest
	var metrics metricspb.ExportMetricsServiceRequest
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/traces":
		if err = proto.Unmarshal(body, &spans); err == nil {
			_, err = b.Export(r.Context(), &spans)
		}
	case "POST /v1/metrics":
		err = proto.Unmarshal(body, &metrics)
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.posts[r.URL.Path]++
	b.metrics += len(metrics.GetResourceMetrics())
}

func (b *backend) requireSpans(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Len(t, b.spans, 2)
	for service, task := range map[string]string{"billing": "charge card", "reports": "write report"} {
		for _, name := range []string{task, "redlock.with", "redlock.lock", "redlock.attempt", "redlock.extend", "redlock.unlock", "eval"} {
			assert.True(t, b.spans[service][name], "%s: %s", service, name)
		}
	}
}

func TestSpansAndMetricsGoToTheEndpointThatTheEnvironmentNames(t *testing.T) {
	plainEnvironment(t)
	b := newBackend()
	s := httptest.NewServer(b)
	defer s.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.URL)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &out, io.Discard))
	assert.Empty(t, out.String())
	b.requireSpans(t)
	assert.GreaterOrEqual(t, b.posts["/v1/traces"], 2)
	assert.GreaterOrEqual(t, b.posts["/v1/metrics"], 2)
	assert.GreaterOrEqual(t, b.metrics, 2)
}

func TestAnEndpointForSpansLeavesMetricsOnStdout(t *testing.T) {
	plainEnvironment(t)
	b := newBackend()
	s := httptest.NewServer(b)
	defer s.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", s.URL+"/v1/traces")
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-json"}, &out, io.Discard))
	b.requireSpans(t)
	assert.Contains(t, out.String(), "redlock.lock.duration")
	assert.NotContains(t, out.String(), "SpanContext")
	assert.Zero(t, b.posts["/v1/metrics"])
}

func TestTheEnvironmentChoosesGRPC(t *testing.T) {
	plainEnvironment(t)
	b := newBackend()
	s := grpc.NewServer()
	tracepb.RegisterTraceServiceServer(s, b)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() { assert.NoError(t, s.Serve(l)) })
	defer wg.Wait()
	defer s.Stop()
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://"+l.Addr().String())
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	require.NoError(t, run(t.Context(), nil, io.Discard, io.Discard))
	b.requireSpans(t)
}
