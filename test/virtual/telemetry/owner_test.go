package telemetry_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestTheSpanOfARefusalNamesTheOwnerAndNoMetricDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		r, m := rig.NewRecorder(), rig.NewMeter()
		taken := time.Now().UTC()
		k := rig.Lock(t, rig.NewLocker(t, nodes, r.Option(), m.Option()), redlock.WithOwner("billing-7f9c pid 4242"))
		for _, s := range r.Take() {
			assert.NotContains(t, rig.Attributes(s), attribute.Key("redlock.holder.mark"), "nobody else has it")
		}
		l := rig.NewLocker(t, nodes, r.Option(), m.Option())
		_, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		_, err = l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(time.Second))
		require.ErrorIs(t, err, redlock.ErrContended)
		spans := r.Take()
		require.NotEmpty(t, spans)
		for _, s := range spans {
			attrs := rig.Attributes(s)
			if outcome, isAttempt := attrs["redlock.outcome"]; isAttempt && outcome != "held" {
				continue // cut off by the bound of the wait
			}
			assert.Equal(t, "billing-7f9c pid 4242", attrs["redlock.holder.owner"], s.Name())
			assert.Equal(t, k.Mark(), attrs["redlock.holder.mark"], s.Name())
			assert.Equal(t, taken.Format(time.RFC3339Nano), attrs["redlock.holder.since"], s.Name())
			for key, v := range attrs {
				if text, ok := v.(string); ok {
					assert.NotContains(t, text, k.Value()[:8], key)
				}
			}
		}
		for name, metric := range m.Read(t) {
			for _, set := range attributeSets(metric.Data) {
				for _, kv := range set.ToSlice() {
					assert.False(t, strings.HasPrefix(string(kv.Key), "redlock.holder"), name)
					assert.NotContains(t, kv.Value.String(), "billing", name)
				}
			}
		}
	})
}

// attributeSets returns those of the data points of a metric.
func attributeSets(data metricdata.Aggregation) (all []attribute.Set) {
	switch d := data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range d.DataPoints {
			all = append(all, p.Attributes)
		}
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			all = append(all, p.Attributes)
		}
	}
	return all
}
