package redlock

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/b0401464/redlock/internal/acquire"
	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/lease"
	"github.com/b0401464/redlock/internal/round"
	"github.com/b0401464/redlock/internal/text"
)

// ScopeName is the instrumentation scope of every span and metric.
const ScopeName = "github.com/b0401464/redlock"

// version is the version of the library, and of its instrumentation scope.
const version = "0.1.0"

// Names of spans.
const (
	spanWith    = "redlock.with"
	spanLock    = "redlock.lock"
	spanAttempt = "redlock.attempt"
	spanExtend  = "redlock.extend"
	spanUnlock  = "redlock.unlock"
)

// Attributes of spans and metrics. None is the namespace of another one.
const (
	keyResource      = attribute.Key("redlock.resource")
	keyResources     = attribute.Key("redlock.resources") // instead, of a lock on several
	keyTTL           = attribute.Key("redlock.ttl")
	keyAutomatic     = attribute.Key("redlock.automatic")
	keyResult        = attribute.Key("redlock.result")
	keyOutcome       = attribute.Key("redlock.outcome")
	keyQuorum        = attribute.Key("redlock.quorum")
	keyValidity      = attribute.Key("redlock.validity")
	keyToken         = attribute.Key("redlock.token")
	keyHolderMark    = attribute.Key("redlock.holder.mark") // of who has refused
	keyHolderOwner   = attribute.Key("redlock.holder.owner")
	keyHolderSince   = attribute.Key("redlock.holder.since")
	keyAttemptCount  = attribute.Key("redlock.attempt.count")
	keyAttemptNumber = attribute.Key("redlock.attempt.number")
	keyNodeCount     = attribute.Key("redlock.node.count")
	keyNodeNumber    = attribute.Key("redlock.node.number") // from 1
	keyNodeAgreed    = attribute.Key("redlock.node.agreed_count")
	keyNodeRefused   = attribute.Key("redlock.node.refused_count")
	keyNodeGone      = attribute.Key("redlock.node.gone_count")
	keyNodeFailed    = attribute.Key("redlock.node.failed_count")
)

// resultAcquired is the value of redlock.result for a Lock that went well; package lease has
// those of what comes after it. An operation that failed has its error.type there.
const resultAcquired = "acquired"

// durationBuckets are the bounds of every histogram, in seconds: from a round
// trip on a local network to the longest default wait.
var durationBuckets = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// holdBuckets are the bounds of how long locks are held, in seconds.
var holdBuckets = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300}

// telemetry makes the spans and metrics of a Locker.
type telemetry struct {
	errorOf func(*fault.Fault) error // of the Locker
	tracer  trace.Tracer
	nodes   []attribute.Set                            // what names each node
	extra   func(resource string) []attribute.KeyValue // nil unless WithMetricAttributes is given

	lockDuration   metric.Float64Histogram
	holdDuration   metric.Float64Histogram
	extendDuration metric.Float64Histogram
	unlockDuration metric.Float64Histogram
	attempts       metric.Int64Counter
	losses         metric.Int64Counter
	nodeErrors     metric.Int64Counter
	lateReplies    metric.Int64Counter
	active         metric.Int64UpDownCounter
	waiting        metric.Int64UpDownCounter
}

// newTelemetry makes the instruments. addrs has each node's address, empty
// where the client tells no single one.
func newTelemetry(tp trace.TracerProvider, mp metric.MeterProvider, extra func(string) []attribute.KeyValue, addrs []string) (*telemetry, error) {
	if tp == nil {
		tp = otel.GetTracerProvider()
	}
	if mp == nil {
		mp = otel.GetMeterProvider()
	}
	t := &telemetry{
		tracer: tp.Tracer(ScopeName, trace.WithInstrumentationVersion(version), trace.WithSchemaURL(semconv.SchemaURL)),
		extra:  extra,
	}
	for i, addr := range addrs {
		t.nodes = append(t.nodes, nodeAttributes(i, addr))
	}
	m := instruments{meter: mp.Meter(ScopeName, metric.WithInstrumentationVersion(version), metric.WithSchemaURL(semconv.SchemaURL))}
	t.lockDuration = m.histogram("redlock.lock.duration", "Duration of Lock and TryLock: all attempts and the pauses between them.", durationBuckets)
	t.holdDuration = m.histogram("redlock.hold.duration", "How long locks were held, by how that ended.", holdBuckets)
	t.extendDuration = m.histogram("redlock.extend.duration", "Duration of Extend, and of automatic extensions with their repeats.", durationBuckets)
	t.unlockDuration = m.histogram("redlock.unlock.duration", "Duration of Unlock.", durationBuckets)
	t.attempts = m.counter("redlock.lock.attempts", "{attempt}", "Attempts to acquire a lock, by outcome.")
	t.losses = m.counter("redlock.lock.losses", "{loss}", "Locks that expired or were found gone before they were released.")
	t.nodeErrors = m.counter("redlock.node.errors", "{error}", "Commands that failed on a node, or were not answered within the node timeout.")
	t.lateReplies = m.counter("redlock.node.late_replies", "{reply}", "Replies that a node sent after the node timeout.")
	t.active = m.upDownCounter("redlock.lock.active", "{lock}", "Locks held.")
	t.waiting = m.upDownCounter("redlock.lock.waiting", "{caller}", "Callers that wait behind others of their Locker or for their next attempt.")
	return t, fault.Join(m.errs)
}

// instruments makes instruments and collects what goes wrong.
type instruments struct {
	meter metric.Meter
	errs  []error
}

func (m *instruments) histogram(name, description string, buckets []float64) metric.Float64Histogram {
	h, err := m.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(buckets...))
	m.errs = append(m.errs, err)
	return h
}

func (m *instruments) counter(name, unit, description string) metric.Int64Counter {
	c, err := m.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	m.errs = append(m.errs, err)
	return c
}

func (m *instruments) upDownCounter(name, unit, description string) metric.Int64UpDownCounter {
	c, err := m.meter.Int64UpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	m.errs = append(m.errs, err)
	return c
}

// nodeAttributes names a node by its address, or by its position if it has no
// single one.
func nodeAttributes(index int, addr string) attribute.Set {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return attribute.NewSet(keyNodeNumber.Int(index + 1))
	}
	attrs := []attribute.KeyValue{semconv.ServerAddress(text.UTF8(host))}
	if n, err := strconv.Atoi(port); err == nil {
		attrs = append(attrs, semconv.ServerPort(n))
	}
	return attribute.NewSet(attrs...)
}

// noSpan is the span of what is not traced.
var noSpan = trace.SpanFromContext(context.Background())

// StartAttempt begins the span of an attempt, unless that of its Lock, in ctx, neither
// records nor names a trace: then there is no SDK. One that names a trace may be an
// SDK's that was not sampled.
func (t *telemetry) StartAttempt(ctx context.Context) (context.Context, trace.Span) {
	if lock := trace.SpanFromContext(ctx); !lock.IsRecording() && !lock.SpanContext().IsValid() {
		return ctx, noSpan
	}
	return t.tracer.Start(ctx, spanAttempt)
}

// startOn begins the span of an operation on resources. Attributes are set where it
// records only, so that they cost nothing without an SDK.
func (t *telemetry) startOn(ctx context.Context, name string, resources []string, ttl time.Duration) (context.Context, trace.Span) {
	ctx, span := t.tracer.Start(ctx, name)
	if span.IsRecording() {
		span.SetAttributes(named(resources))
		if ttl > 0 {
			span.SetAttributes(keyTTL.Float64(ttl.Seconds()))
		}
	}
	return ctx, span
}

// named returns the attribute that names resources.
func named(resources []string) attribute.KeyValue {
	if len(resources) == 1 {
		return keyResource.String(text.UTF8(resources[0]))
	}
	names := make([]string, len(resources))
	for i, resource := range resources {
		names[i] = text.UTF8(resource)
	}
	return keyResources.StringSlice(names)
}

// StartRenewal begins the span of a renewal. It is a trace of its own, linked to the span
// that took the lock, which may have ended long ago.
func (t *telemetry) StartRenewal(ctx context.Context, h *lease.Hold, ttl time.Duration) (context.Context, func(string, round.Result, *fault.Fault)) {
	began, opts := time.Now(), []trace.SpanStartOption{trace.WithNewRoot()}
	if h.Origin.IsValid() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: h.Origin}))
	}
	ctx, span := t.tracer.Start(ctx, spanExtend, opts...)
	if span.IsRecording() {
		span.SetAttributes(named(h.Resources), keyTTL.Float64(ttl.Seconds()), keyAutomatic.Bool(true))
	}
	return ctx, func(success string, last round.Result, f *fault.Fault) {
		err := t.errorOf(f)
		result, expected := resultOf(err, success), errors.Is(err, ErrUnlocked)
		setVotes(span, &last)
		finish(span, result, err, expected)
		t.record(ctx, t.extendDuration, began, h.Attrs, result, err, expected)
	}
}

// finish ends a span with the result of its operation. An error that is
// expected is a result, not a failure of the span.
func finish(span trace.Span, result string, err error, expected bool) {
	if span.IsRecording() {
		span.SetAttributes(keyResult.String(result))
		if err != nil && !expected {
			span.SetAttributes(semconv.ErrorTypeKey.String(errorType(err)))
			span.SetStatus(codes.Error, text.UTF8(err.Error()))
		}
	}
	span.End()
}

// record adds the time since began to a histogram, by the result of its operation.
func (t *telemetry) record(ctx context.Context, h metric.Float64Histogram, began time.Time, extra []attribute.KeyValue, result string, err error, expected bool) {
	if !h.Enabled(ctx) {
		return
	}
	attrs := slices.Concat(extra, []attribute.KeyValue{keyResult.String(result)})
	if err != nil && !expected {
		attrs = append(attrs, semconv.ErrorTypeKey.String(errorType(err)))
	}
	h.Record(ctx, time.Since(began).Seconds(), metric.WithAttributeSet(attribute.NewSet(attrs...)))
}

// resourceAttributes returns what WithMetricAttributes says of a resource. It is
// asked once for each lock, before anything is counted or sent, so that a panic
// does no harm, and copied, because attribute sets sort in place.
func (t *telemetry) resourceAttributes(resource string) []attribute.KeyValue {
	if t.extra == nil {
		return nil
	}
	return slices.Clone(t.extra(resource))
}

// endLock ends the span of a Lock that made attempts and returned err.
func (t *telemetry) endLock(ctx context.Context, span trace.Span, r *request, err error) {
	expected := r.expected(err)
	result := resultOf(err, resultAcquired)
	if span.IsRecording() {
		span.SetAttributes(
			keyNodeCount.Int(len(t.nodes)),
			keyQuorum.Int(r.locker.locks.Nodes.Quorum()),
			keyAttemptCount.Int(r.Attempts()),
		)
		if token := r.Hold.Token(); err == nil && token != 0 {
			span.SetAttributes(keyToken.Int64(token))
		}
		if e, ok := errors.AsType[*LockError](err); ok && e.HeldBy.Mark != "" {
			span.SetAttributes(e.HeldBy.attributes()...)
		}
	}
	finish(span, result, err, expected)
	t.record(ctx, t.lockDuration, r.Began(), r.Hold.Attrs, result, err, expected)
}

// EndAttempt ends it, and counts the attempt.
func (t *telemetry) EndAttempt(ctx context.Context, span trace.Span, extra []attribute.KeyValue, a acquire.Summary) {
	if span.IsRecording() {
		span.SetAttributes(
			keyAttemptNumber.Int(a.Number),
			keyNodeAgreed.Int(a.Agreed),
			keyNodeRefused.Int(a.Refused),
			keyNodeFailed.Int(a.Failed),
			keyOutcome.String(a.Outcome),
		)
		if a.Validity > 0 {
			span.SetAttributes(keyValidity.Float64(a.Validity.Seconds()))
		}
		if a.By.Mark != "" {
			span.SetAttributes(Holder(a.By.Holder()).attributes()...)
		}
	}
	span.End()
	if t.attempts.Enabled(ctx) {
		attrs := slices.Concat(extra, []attribute.KeyValue{keyOutcome.String(a.Outcome)})
		t.attempts.Add(ctx, 1, metric.WithAttributeSet(attribute.NewSet(attrs...)))
	}
}

// setVotes sets what the nodes said to an extension or a release.
func setVotes(span trace.Span, res *round.Result) {
	if span.IsRecording() {
		span.SetAttributes(keyNodeAgreed.Int(res.Agreed), keyNodeGone.Int(res.Refused), keyNodeFailed.Int(len(res.Failures)))
	}
}

// CountHeld adds n to the locks held.
func (t *telemetry) CountHeld(ctx context.Context, n int64, extra []attribute.KeyValue) {
	t.add(ctx, t.active, n, extra)
}

// CountWaiting adds n to the callers that wait.
func (t *telemetry) CountWaiting(ctx context.Context, n int64, extra []attribute.KeyValue) {
	t.add(ctx, t.waiting, n, extra)
}

func (t *telemetry) add(ctx context.Context, c metric.Int64UpDownCounter, n int64, extra []attribute.KeyValue) {
	if c.Enabled(ctx) {
		c.Add(ctx, n, metric.WithAttributeSet(attribute.NewSet(slices.Clone(extra)...)))
	}
}

// LockEnded records the end of a hold.
func (t *telemetry) LockEnded(ctx context.Context, extra []attribute.KeyValue, result string, d time.Duration) {
	if t.holdDuration.Enabled(ctx) {
		attrs := slices.Concat(extra, []attribute.KeyValue{keyResult.String(result)})
		t.holdDuration.Record(ctx, d.Seconds(), metric.WithAttributeSet(attribute.NewSet(attrs...)))
	}
	if result != lease.ResultReleased && t.losses.Enabled(ctx) {
		attrs := slices.Concat(extra, []attribute.KeyValue{keyResult.String(result)})
		t.losses.Add(ctx, 1, metric.WithAttributeSet(attribute.NewSet(attrs...)))
	}
}

// nodeFailed counts a command that failed on a node.
func (t *telemetry) nodeFailed(ctx context.Context, err *NodeError) {
	if t.nodeErrors.Enabled(ctx) {
		attrs := append(t.nodes[err.Node-1].ToSlice(), semconv.ErrorTypeKey.String(err.ErrorType()))
		t.nodeErrors.Add(ctx, 1, metric.WithAttributeSet(attribute.NewSet(attrs...)))
	}
}

// nodeLate counts a reply that came after the node timeout.
func (t *telemetry) nodeLate(ctx context.Context, node int) {
	if t.lateReplies.Enabled(ctx) {
		t.lateReplies.Add(ctx, 1, metric.WithAttributeSet(t.nodes[node]))
	}
}
