package errors_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A context or a provider of the program's may panic on the goroutine of a call, and
// somebody above may recover, as net/http does: the Locker goes on.

// A tripwire is a context of the program's that fails when it is asked for the n-th time.
type tripwire struct {
	context.Context //nolint:containedctx // it is one
	fail            func()
	at              wire
	errs, dones     int
}

// A wire is when a tripwire fails.
type wire struct{ err, done int }

func (c *tripwire) Err() error {
	if c.errs++; c.errs == c.at.err {
		c.fail()
	}
	return c.Context.Err()
}

func (c *tripwire) Done() <-chan struct{} {
	if c.dones++; c.dones == c.at.done {
		c.fail()
	}
	return c.Context.Done()
}

// survive runs f on a goroutine of its own, which a panic or Goexit does not harm, and
// reports whether f came to its end.
func survive(f func()) (returned bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		f()
		returned = true
	}()
	<-done
	return returned
}

var failures = map[string]func(){"panics": func() { panic("tripwire") }, "exits": runtime.Goexit}

func TestACallThatItsContextTearsDownLeavesNothingBehind(t *testing.T) {
	for how, fail := range failures {
		for name, at := range map[string]wire{
			"the first Err":         {err: 1},
			"the second Err":        {err: 2},
			"the third Err":         {err: 3},
			"Err before an attempt": {err: 4},
			"Err after an attempt":  {err: 5},
			"the sixth Err":         {err: 6},
			"the first Done":        {done: 1},
			"the second Done":       {done: 2},
		} {
			for what, call := range map[string]func(ctx *tripwire, l *redlock.Locker){
				"Lock":    func(ctx *tripwire, l *redlock.Locker) { drop(l.Lock(ctx, "a", time.Hour)) },
				"LockAll": func(ctx *tripwire, l *redlock.Locker) { drop(l.LockAll(ctx, []string{"a", "b"}, time.Hour)) },
				"With": func(ctx *tripwire, l *redlock.Locker) {
					_ = l.With(ctx, "a", time.Hour, func(context.Context, *redlock.Lock) error { return nil }, nil)
				},
				"Lock that waits": func(ctx *tripwire, l *redlock.Locker) {
					k, _ := l.Lock(context.Background(), "a", 2*time.Second)
					defer func() { _ = k.Unlock(context.Background()) }()
					drop(l.Lock(ctx, "a", time.Hour, redlock.WithRetry(100, time.Second)))
				},
			} {
				t.Run(what+" "+how+" at "+name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						nodes, r := rig.New(t, 3), rig.NewRecorder()
						l := rig.NewLocker(t, nodes, r.Option())
						rig.WarmUp(t, l)
						for _, n := range nodes {
							n.Slow(time.Millisecond)
						}
						ctx := &tripwire{Context: context.Background(), fail: fail, at: at}
						survive(func() { call(ctx, l) })
						rig.RequireUsable(t, l, nodes...)
						assert.Len(t, r.Ended(), len(r.Started()), "spans that were begun have ended")
					})
				})
			}
		}
	}
}

// drop unlocks a lock that was granted.
func drop(k *redlock.Lock, _ error) { _ = k.Unlock(context.Background()) }

// A badProcessor panics at the end of a span, and a badSampler at its beginning.
type badProcessor struct {
	sdktrace.SpanProcessor
	span string
	on   atomic.Bool
}

func (p *badProcessor) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

func (p *badProcessor) OnEnd(s sdktrace.ReadOnlySpan) {
	if p.on.Load() && s.Name() == p.span {
		panic("OnEnd")
	}
}

func (p *badProcessor) Shutdown(context.Context) error   { return nil }
func (p *badProcessor) ForceFlush(context.Context) error { return nil }

type badSampler struct {
	sdktrace.Sampler
	span string
	on   atomic.Bool
}

func (p *badSampler) ShouldSample(s sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if p.on.Load() && s.Name == p.span {
		panic("ShouldSample")
	}
	return p.Sampler.ShouldSample(s)
}

func TestACallThatATracerProviderTearsDownLeavesNothingBehind(t *testing.T) {
	for _, span := range []string{"redlock.with", "redlock.lock", "redlock.attempt", "redlock.unlock"} {
		processor := &badProcessor{span: span}
		sampler := &badSampler{span: span, Sampler: sdktrace.AlwaysSample()}
		for end, on := range map[string]*atomic.Bool{"beginning": &sampler.on, "end": &processor.on} {
			t.Run("at the "+end+" of "+span, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nodes := rig.New(t, 3)
					provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(processor), sdktrace.WithSampler(sampler))
					l := rig.NewLocker(t, nodes, redlock.WithTracerProvider(provider))
					rig.WarmUp(t, l)
					on.Store(true)
					assert.PanicsWithValue(t, map[string]any{"beginning": "ShouldSample", "end": "OnEnd"}[end], func() {
						_ = l.With(t.Context(), "a", time.Hour, func(context.Context, *redlock.Lock) error { return nil }, nil)
					})
					on.Store(false)
					rig.RequireUsable(t, l, nodes...)
				})
			})
		}
	}
}

// A badMeter has an instrument that panics.
type badMeter struct {
	noop.Meter
	name string
	on   *atomic.Bool
}

type badProvider struct {
	noop.MeterProvider
	meter badMeter
}

func (p badProvider) Meter(string, ...metric.MeterOption) metric.Meter { return p.meter }

func (m badMeter) Float64Histogram(name string, _ ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return badHistogram{fails: name == m.name, on: m.on}, nil
}

func (m badMeter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return badCounter{fails: name == m.name, on: m.on}, nil
}

func (m badMeter) Int64UpDownCounter(name string, _ ...metric.Int64UpDownCounterOption) (metric.Int64UpDownCounter, error) {
	return badCounter{fails: name == m.name, on: m.on}, nil
}

type badHistogram struct {
	noop.Float64Histogram
	fails bool
	on    *atomic.Bool
}

func (badHistogram) Enabled(context.Context) bool { return true }

func (h badHistogram) Record(context.Context, float64, ...metric.RecordOption) {
	if h.fails && h.on.Load() {
		panic("Record")
	}
}

type badCounter struct {
	embedded.Int64Counter
	embedded.Int64UpDownCounter
	fails bool
	on    *atomic.Bool
}

func (badCounter) Enabled(context.Context) bool { return true }

func (c badCounter) Add(context.Context, int64, ...metric.AddOption) {
	if c.fails && c.on.Load() {
		panic("Add")
	}
}

func TestACallThatAMeterProviderTearsDownLeavesNothingBehind(t *testing.T) {
	for _, name := range []string{
		"redlock.lock.active", "redlock.lock.attempts", "redlock.lock.duration", "redlock.hold.duration", "redlock.unlock.duration",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes, m := rig.New(t, 3), badMeter{name: name, on: new(atomic.Bool)}
				l := rig.NewLocker(t, nodes, redlock.WithMeterProvider(badProvider{meter: m}))
				rig.WarmUp(t, l)
				m.on.Store(true)
				assert.Panics(t, func() {
					_ = l.With(t.Context(), "a", time.Hour, func(context.Context, *redlock.Lock) error { return nil }, nil)
				})
				m.on.Store(false)
				rig.RequireUsable(t, l, nodes...)
			})
		})
	}
}

func TestAnExtendThatItsContextTearsDownDoesNotStopAutomaticExtension(t *testing.T) {
	for how, fail := range failures {
		for name, at := range map[string]wire{"Err": {err: 1}, "Done": {done: 1}, "Done in a round": {done: 2}} {
			t.Run(how+" at "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nodes, r := rig.New(t, 3), rig.NewRecorder()
					l := rig.NewLocker(t, nodes, r.Option())
					k, _ := rig.Keep(t, l, 15*time.Second)
					for _, n := range nodes {
						n.Slow(time.Millisecond)
					}
					ctx := &tripwire{Context: context.Background(), fail: fail, at: at}
					assert.False(t, survive(func() { _ = k.Extend(ctx, 15*time.Second) }))
					time.Sleep(time.Minute)
					assert.True(t, k.Valid())
					require.NoError(t, k.Unlock(t.Context()))
					time.Sleep(time.Second)
					assert.Len(t, r.Ended(), len(r.Started()), "spans that were begun have ended")
				})
			})
		}
	}
}

func TestAnUnlockThatItsContextTearsDownReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, r := rig.New(t, 3), rig.NewRecorder()
		l := rig.NewLocker(t, nodes, r.Option())
		k := rig.Lock(t, l)
		ctx := &tripwire{Context: context.Background(), fail: failures["panics"], at: wire{done: 1}}
		for _, n := range nodes {
			n.Slow(time.Millisecond)
		}
		assert.Panics(t, func() { _ = k.Unlock(ctx) })
		rig.RequireUsable(t, l, nodes...)
		assert.Len(t, r.Ended(), len(r.Started()), "spans that were begun have ended")
	})
}

func TestThePanicOfAttributesEndsTheSpanOfWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, r := rig.New(t, 1), rig.NewRecorder()
		l := rig.NewLocker(t, nodes, r.Option(), redlock.WithMetricAttributes(func(resource string) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("kind", resource[5:6])}
		}))
		assert.Panics(t, func() {
			_ = l.With(t.Context(), "a", time.Minute, func(context.Context, *redlock.Lock) error { return nil }, nil)
		})
		spans := r.Take()
		require.Len(t, spans, 1)
		rig.RequireFailed(t, spans[0], "panicked")
	})
}
