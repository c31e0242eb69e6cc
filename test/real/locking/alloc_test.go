package locking_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// An inertProvider makes spans that cost nothing, as if there were no tracing.
type inertProvider struct{ noop.TracerProvider }

func (inertProvider) Tracer(string, ...trace.TracerOption) trace.Tracer { return inertTracer{} }

type inertTracer struct{ noop.Tracer }

func (inertTracer) Start(ctx context.Context, _ string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	return ctx, noop.Span{}
}

func TestLockAndUnlockAllocateLittle(t *testing.T) {
	if rig.RaceEnabled {
		t.Skip("the race detector allocates too")
	}
	const telemetry = 6 // what the telemetry API may add where no SDK is installed
	for _, tt := range []struct {
		nodes, most int
	}{
		{1, 34},
		{3, 57},
		{5, 80},
	} {
		t.Run(fmt.Sprintf("%d nodes", tt.nodes), func(t *testing.T) {
			on := rig.NewReal(t, tt.nodes)
			bare := allocations(t, on, redlock.WithTracerProvider(inertProvider{}))
			full := allocations(t, on)
			owned := allocations(t, on, redlock.WithTracerProvider(inertProvider{}), redlock.WithOwner("billing-7f9c pid 4242"))
			t.Logf("%v allocations, %v with the telemetry API, %v with an owner", bare, full, owned)
			assert.LessOrEqual(t, bare, float64(tt.most))
			assert.LessOrEqual(t, owned, float64(tt.most))
			if tt.nodes == 1 { // else it depends on which node is first
				assert.LessOrEqual(t, owned, 1.02*bare)
			}
			assert.LessOrEqual(t, full, float64(tt.most+telemetry))
		})
	}
}

func allocations(t *testing.T, on *rig.Real, opts ...redlock.Option) float64 {
	t.Helper()
	l := on.Locker(t, opts...)
	ctx := t.Context()
	call := func() {
		lock, err := l.Lock(ctx, "k", rig.LongTTL)
		if err != nil {
			t.Fatal(err) // require would allocate
		}
		if err := lock.Unlock(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		call()
	}
	got := testing.AllocsPerRun(2000, call)
	rig.Drain(t, l)
	require.Zero(t, on.Keys(t))
	return got
}
