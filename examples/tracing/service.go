package main

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/extra/redisotel/v9"
	"github.com/redis/go-redis/v9"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/b0401464/redlock"
)

// What the services contend for, and for how long they have it at most.
const (
	invoice = "invoice:42"
	ttl     = 10 * time.Second
)

// A service has what a process of its own would have: telemetry, a client for
// each node and a Locker on them.
type service struct {
	tracers *sdktrace.TracerProvider
	meters  *sdkmetric.MeterProvider
	clients []*redis.Client
	locker  *redlock.Locker
}

func newService(name string, addrs []string, e export) (*service, error) {
	res := resource.NewSchemaless(semconv.ServiceName(name))
	traces := []sdktrace.TracerProviderOption{sdktrace.WithResource(res)}
	for _, p := range e.spans {
		traces = append(traces, sdktrace.WithSpanProcessor(p))
	}
	metrics := []sdkmetric.Option{sdkmetric.WithResource(res)}
	if e.metrics != nil {
		metrics = append(metrics, sdkmetric.WithReader(e.metrics))
	}
	s := &service{
		tracers: sdktrace.NewTracerProvider(traces...),
		meters:  sdkmetric.NewMeterProvider(metrics...),
		clients: newClients(addrs),
	}
	var err error
	s.locker, err = redlock.New(s.clients,
		redlock.WithTracerProvider(s.tracers),
		redlock.WithMeterProvider(s.meters),
		// The work takes less than a tenth of a second, so look again soon.
		redlock.WithRetry(redlock.Forever, 45*time.Millisecond),
		redlock.WithJitter(2*time.Millisecond),
	)
	if err != nil {
		return nil, errors.Join(err, closeClients(s.clients))
	}
	return s, nil
}

// connect opens a connection to each node, so that what is traced later needs
// none.
func (s *service) connect(ctx context.Context) error {
	var errs []error
	for _, c := range s.clients {
		errs = append(errs, c.Ping(ctx).Err())
	}
	return errors.Join(errs...)
}

// instrument makes the clients trace their commands.
func (s *service) instrument() error {
	opts := []redisotel.TracingOption{
		redisotel.WithTracerProvider(s.tracers),
		// Or else db.statement shows the arguments, and the lock's value is one:
		// who knows it can extend or release the lock.
		redisotel.WithDBStatement(false),
		// The caller would always be the library.
		redisotel.WithCallerEnabled(false),
	}
	var errs []error
	for _, c := range s.clients {
		errs = append(errs, redisotel.InstrumentTracing(c, opts...))
	}
	return errors.Join(errs...)
}

// work does a task under the lock: half of it, an extension, the other half.
// It calls began when it has the lock.
func (s *service) work(ctx context.Context, task string, d time.Duration, began func()) error {
	var unlockErr error
	err := s.locker.With(ctx, invoice, ttl, func(ctx context.Context, lock *redlock.Lock) error {
		began()
		ctx, span := s.tracers.Tracer("github.com/b0401464/redlock/examples/tracing").Start(ctx, task)
		defer span.End()
		if err := pause(ctx, d/2); err != nil {
			return err
		}
		if err := lock.Extend(ctx, ttl); err != nil {
			return err
		}
		return pause(ctx, d/2)
	}, func(err error) { unlockErr = err })
	return errors.Join(err, unlockErr)
}

// pause stands for work. It fails with the reason why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// close ends a service in the order that loses no span: the Locker waits for
// what its nodes still owe, the clients are of no use after it, and then the
// last spans and metrics are exported.
func (s *service) close(ctx context.Context) error {
	return errors.Join(
		s.locker.Shutdown(ctx),
		closeClients(s.clients),
		s.tracers.Shutdown(ctx),
		s.meters.Shutdown(ctx),
	)
}
