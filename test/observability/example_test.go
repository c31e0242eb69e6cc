package observability

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func monitored(clients []*redis.Client) (*redlock.Locker, error) {
	reader, err := prometheus.New() // go.opentelemetry.io/otel/exporters/prometheus; promhttp.Handler shows it
	if err != nil {
		return nil, err
	}
	provider := metric.NewMeterProvider(metric.WithReader(reader)) // go.opentelemetry.io/otel/sdk/metric
	return redlock.New(clients, redlock.WithMeterProvider(provider))
}

func Example() {
	clients, closeAll := rig.StartNodes()
	defer closeAll()
	locker, err := monitored(clients)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := locker.Lock(context.Background(), "invoice:42", time.Second); err != nil {
		fmt.Println(err)
	}
	_ = locker.Shutdown(context.Background())

	page := httptest.NewRecorder()
	promhttp.Handler().ServeHTTP(page, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/metrics", http.NoBody))
	fmt.Println(strings.Contains(page.Body.String(), "redlock_lock_duration_seconds_count{"))
	// Output: true
}
