package observability

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
	"github.com/b0401464/redlock/test/servers"
)

const (
	job  = "shop"
	step = 250 * time.Millisecond // from one scrape, or evaluation of the rules, to the next
)

// A world is a program that locks, on three nodes.
type world struct {
	nodes  []*servers.Server
	locker *redlock.Locker
	kept   *redlock.Lock // for as long as nobody takes it away
	target string        // where its metrics are
}

// unnamed is a client that does not tell the address of its node.
type unnamed struct{ client *redis.Client }

func (u unnamed) Process(ctx context.Context, cmd redis.Cmder) error {
	return u.client.Process(ctx, cmd)
}

// newWorld starts nodes and what locks on them until t ends.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{nodes: servers.Start(t, 3)}
	provider := w.export(t)
	var clients []*redis.Client
	var others []unnamed
	for _, n := range w.nodes {
		clients = append(clients, n.Client(t))
		others = append(others, unnamed{n.Client(t)})
	}
	w.locker = newLocker(t, clients, provider)
	reports := newLocker(t, others, provider)

	// Registered after the lockers, so that it ends before they are shut down.
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	t.Cleanup(func() { stop(); work.Wait() })
	for range 3 {
		work.Go(func() { lockAgain(ctx, w.locker.Lock, "invoice:42") })
	}
	work.Go(func() { lockAgain(ctx, w.locker.TryLock, "invoice:42") })
	work.Go(func() { lockAgain(ctx, reports.Lock, "report") })
	w.keep(t)
	return w
}

// export returns a provider whose metrics the exporter shows on the loopback interface.
func (w *world) export(t *testing.T) metric.MeterProvider {
	t.Helper()
	registry := client.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry))
	require.NoError(t, err)
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.Cleanup(server.Close)
	w.target = server.Listener.Addr().String()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	t.Cleanup(func() { require.NoError(t, provider.Shutdown(context.Background())) })
	return provider
}

func newLocker[C redlock.Client](t *testing.T, clients []C, provider metric.MeterProvider) *redlock.Locker {
	t.Helper()
	l, err := redlock.New(clients, redlock.WithMeterProvider(provider), redlock.WithMaxWait(2*time.Second))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Shutdown(context.Background())) })
	return l
}

type locking func(ctx context.Context, resource string, ttl time.Duration, opts ...redlock.LockOption) (*redlock.Lock, error)

// lockAgain takes a lock, holds it for a moment and releases it, until ctx ends.
func lockAgain(ctx context.Context, lock locking, resource string) {
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		k, err := lock(ctx, resource, 10*time.Second)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		if err == nil {
			_ = k.Unlock(context.WithoutCancel(ctx)) // counted, which is what this is for
		}
	}
}

// keep takes a lock for longer than the test lasts.
func (w *world) keep(t *testing.T) {
	t.Helper()
	k, err := w.locker.Lock(t.Context(), "leader", time.Hour, redlock.WithMaxWait(rig.Patience), redlock.WithRetry(1, 100*time.Millisecond))
	require.NoError(t, err)
	w.kept = k
	t.Cleanup(func() { _ = k.Unlock(context.Background()) }) // lost by then, unless the test has failed
}

// wipe empties all nodes but the last one.
func (w *world) wipe(t *testing.T) {
	t.Helper()
	for _, n := range w.nodes[:2] {
		require.NoError(t, n.Client(t).FlushAll(t.Context()).Err())
	}
}

// leave takes a lock and does not release it before it has ended.
func (w *world) leave(t *testing.T) {
	t.Helper()
	k, err := w.locker.Lock(t.Context(), "left", 2*time.Second, redlock.WithMaxWait(rig.Patience), redlock.WithNodeTimeout(time.Second))
	require.NoError(t, err)
	require.True(t, rig.Poll(rig.Patience, func() bool { return !k.Valid() }))
}
