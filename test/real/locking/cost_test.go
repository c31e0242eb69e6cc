package locking_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// TestTelemetryCostsLittleTime measures Lock+Unlock on one node without
// tracing, with the API alone, and with an SDK that records, in turns. The
// bound is generous, because a busy machine's noise is larger than the effect;
// the figures are printed.
func TestTelemetryCostsLittleTime(t *testing.T) {
	if rig.RaceEnabled {
		t.Skip("the race detector costs more")
	}
	on := rig.NewReal(t, 1)
	lockers := []*redlock.Locker{
		on.Locker(t, redlock.WithTracerProvider(inertProvider{})),
		on.Locker(t),
		on.Locker(t,
			redlock.WithTracerProvider(sdktrace.NewTracerProvider()), // samples, and exports nowhere
			redlock.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())))),
	}
	const turns, calls = 150, 40
	times := make([][]time.Duration, len(lockers))
	for turn := range turns {
		for j := range lockers {
			i := (turn + j) % len(lockers) // nobody is always first
			l, start := lockers[i], time.Now()
			for range calls {
				k, err := l.Lock(t.Context(), "k", rig.LongTTL)
				require.NoError(t, err)
				require.NoError(t, k.Unlock(t.Context()))
			}
			times[i] = append(times[i], time.Since(start)/calls)
		}
	}
	median := func(i int) time.Duration {
		slices.Sort(times[i])
		return times[i][turns/2]
	}
	bare, api, sdk := median(0), median(1), median(2)
	t.Logf("Lock+Unlock on one node: %v without tracing, %v (%+.1f %%) with the API, %v (%+.1f %%) with an SDK",
		bare, api, 100*(float64(api)/float64(bare)-1), sdk, 100*(float64(sdk)/float64(bare)-1))
	assert.Less(t, float64(api), 1.25*float64(bare))
}
