package main

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// aSpan returns a span of a service that begins and ends at milliseconds.
func aSpan(service string, id, parent byte, name string, from, to int, attrs ...attribute.KeyValue) sdktrace.ReadOnlySpan {
	of := func(id byte) trace.SpanContext {
		return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{id}})
	}
	at := func(ms int) time.Time { return time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }
	stub := tracetest.SpanStub{
		Name: name, SpanContext: of(id), StartTime: at(from), EndTime: at(to), Attributes: attrs,
		Resource: resource.NewSchemaless(semconv.ServiceName(service)), SpanKind: trace.SpanKindInternal,
	}
	if parent != 0 {
		stub.Parent = of(parent)
	}
	if !strings.Contains(name, ".") && name != "work" {
		stub.SpanKind = trace.SpanKindClient
	}
	return stub.Snapshot()
}

func TestTheTreeShowsEachSpanBelowItsParentWithItsTimes(t *testing.T) {
	node := func(port int) []attribute.KeyValue {
		return []attribute.KeyValue{attribute.String("server.address", "10.0.0.1"), attribute.Int("server.port", port)}
	}
	spans := []sdktrace.ReadOnlySpan{ // in the order in which they ended
		aSpan("billing", 4, 3, "set", 1, 2, node(1)...),
		aSpan("billing", 3, 2, "redlock.attempt", 0, 3, attribute.Int("redlock.attempt.number", 1), attribute.String("redlock.outcome", "acquired"),
			attribute.String("redlock.node.refused_count", "0"), attribute.Int("redlock.node.agreed_count", 1)),
		aSpan("billing", 2, 1, "redlock.lock", 0, 4, attribute.String("redlock.result", "acquired"), attribute.Int("redlock.attempt.count", 1)),
		aSpan("billing", 6, 1, "work", 5, 20),
		aSpan("billing", 1, 0, "redlock.with", 0, 30, attribute.String("redlock.result", "done")),
		aSpan("billing", 5, 3, "set", 1, 40, node(2)...),
		aSpan("reports", 8, 0, "publish", 60, 70, node(3)...),
		aSpan("billing", 7, 3, "eval", 41, 50, node(2)...),
	}
	var out bytes.Buffer
	require.NoError(t, writeTree(&out, spans, []string{"10.0.0.1:1", "10.0.0.1:2"}))
	assert.Equal(t, strings.Join([]string{
		"  begins    takes  billing and reports contend for the lock on invoice:42",
		"",
		"  0.0 ms    30 ms  billing: redlock.with  done",
		"  0.0 ms   4.0 ms  ├─ redlock.lock  acquired after 1 attempt",
		"  0.0 ms   3.0 ms  │  └─ redlock.attempt  #1 acquired, 1 node agreed",
		"  1.0 ms   1.0 ms  │     ├─ set  node 1",
		"  1.0 ms    39 ms  │     ├─ set  node 2, late",
		"   41 ms   9.0 ms  │     └─ eval  node 2, afterwards",
		"  5.0 ms    15 ms  └─ work",
		"",
		"   60 ms    10 ms  reports: publish  10.0.0.1:3",
		"",
		"late: the node answered when the span above had ended, and nobody waited for it",
		"afterwards: sent when the span above had ended",
		"",
	}, "\n"), out.String())
}

func TestARunPrintsATreeOfAllItsSpans(t *testing.T) {
	plainEnvironment(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &out, io.Discard))
	for _, want := range []string{
		`billing: redlock\.with  done\n`, `├─ charge card\n`, `└─ redlock\.unlock  released, \d nodes agreed\n`,
		`reports: redlock\.with  done\n`, `├─ write report\n`, `redlock\.attempt  #1 held, \d nodes? refused\n`,
		`│  └─ redlock\.extend  extended, \d nodes agreed\n`, `node 3, late\n`, `\nlate: `,
	} {
		assert.Regexp(t, want, out.String())
	}
	tree, _, _ := strings.Cut(out.String(), "\nlate:")
	line := regexp.MustCompile(`^( begins    takes|[ \d.]+ ms [ \d.]+ ms)  `)
	for l := range strings.Lines(strings.ReplaceAll(tree, "\n\n", "\n")) {
		assert.Regexp(t, line, strings.TrimPrefix(l, " "))
		assert.LessOrEqual(t, utf8.RuneCountInString(l), 100, l)
	}
	assert.NotContains(t, out.String(), "{", "JSON is for -json")
}

func TestNothingIsPrintedWhereTheEnvironmentWantsNoSpans(t *testing.T) {
	plainEnvironment(t)
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, &out, io.Discard))
	assert.Empty(t, out.String())
}
