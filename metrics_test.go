package redlock_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/b0401464/redlock"
)

// A meter reads the metrics of a Locker.
type meter struct {
	reader   *sdkmetric.ManualReader
	provider *sdkmetric.MeterProvider
}

func newMeter() meter {
	r := sdkmetric.NewManualReader()
	return meter{r, sdkmetric.NewMeterProvider(sdkmetric.WithReader(r))}
}

func (m meter) option() redlock.Option { return redlock.WithMeterProvider(m.provider) }

// read returns all metrics by name.
func (m meter) read(t *testing.T) map[string]metricdata.Metrics {
	t.Helper()
	var data metricdata.ResourceMetrics
	require.NoError(t, m.reader.Collect(t.Context(), &data))
	all := map[string]metricdata.Metrics{}
	for _, s := range data.ScopeMetrics {
		assert.Equal(t, redlock.ScopeName, s.Scope.Name)
		assert.Equal(t, redlock.Version, s.Scope.Version)
		for _, metric := range s.Metrics {
			all[metric.Name] = metric
		}
	}
	return all
}

// values returns the sums or counts of a metric by the value of one attribute.
func (m meter) values(t *testing.T, name string, key attribute.Key) map[string]int64 {
	t.Helper()
	got := map[string]int64{}
	add := func(set attribute.Set, n int64) {
		v, _ := set.Value(key)
		got[v.String()] += n
	}
	switch d := m.read(t)[name].Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range d.DataPoints {
			add(p.Attributes, p.Value)
		}
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			add(p.Attributes, int64(p.Count)) //nolint:gosec // small
		}
	case nil:
	default:
		t.Fatalf("%s is %T", name, d)
	}
	return got
}

const byResult = attribute.Key("redlock.result")

func TestMetricsHaveTheirUnitsAndBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		m := newMeter()
		l := newLocker(t, nodes, m.option())
		require.NoError(t, l.With(t.Context(), "a", ttl, func(ctx context.Context, k *redlock.Lock) error {
			return k.Extend(ctx, ttl)
		}, nil))
		nodes[0].slow(2 * time.Second) // one late reply, and one lost when the node fails
		k := lock(t, l)
		_, err := l.TryLock(t.Context(), "a", ttl)
		require.ErrorIs(t, err, redlock.ErrContended)
		_, err = l.Lock(t.Context(), "a", ttl, redlock.WithMaxWait(time.Second))
		require.ErrorIs(t, err, redlock.ErrContended)
		nodes[1].SetError("ERR broken")
		require.Error(t, k.Extend(t.Context(), ttl))
		time.Sleep(time.Minute)

		all := m.read(t)
		for name, unit := range map[string]string{
			"redlock.lock.duration":     "s",
			"redlock.hold.duration":     "s",
			"redlock.extend.duration":   "s",
			"redlock.unlock.duration":   "s",
			"redlock.lock.attempts":     "{attempt}",
			"redlock.lock.active":       "{lock}",
			"redlock.lock.waiting":      "{caller}",
			"redlock.lock.losses":       "{loss}",
			"redlock.node.errors":       "{error}",
			"redlock.node.late_replies": "{reply}",
		} {
			if assert.Contains(t, all, name) {
				assert.Equal(t, unit, all[name].Unit, name)
				assert.NotEmpty(t, all[name].Description, name)
			}
			delete(all, name)
		}
		assert.Empty(t, all)
		h, ok := m.read(t)["redlock.lock.duration"].Data.(metricdata.Histogram[float64])
		require.True(t, ok)
		assert.Equal(t, []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}, h.DataPoints[0].Bounds)
	})
}

func TestMetricsOfLocksThatAreReleasedLostAndExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		m := newMeter()
		l := newLocker(t, nodes, m.option())
		active := func() int64 { return m.values(t, "redlock.lock.active", byResult)[""] }

		k := lock(t, l)
		assert.Equal(t, int64(1), active())
		require.NoError(t, k.Unlock(t.Context()))
		assert.Equal(t, int64(0), active())

		k = lock(t, l)
		for _, n := range nodes {
			n.Del("a")
		}
		require.ErrorIs(t, k.Extend(t.Context(), ttl), redlock.ErrLockLost)
		assert.Equal(t, int64(0), active())

		k = lock(t, l)
		for _, n := range nodes {
			n.Del("a")
		}
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)

		lock(t, l) // never unlocked
		assert.Equal(t, int64(1), active())
		time.Sleep(ttl)
		assert.Equal(t, int64(0), active())

		assert.Equal(t, map[string]int64{"released": 1, "lost": 2, "expired": 1}, m.values(t, "redlock.hold.duration", byResult))
		assert.Equal(t, map[string]int64{"lost": 2, "expired": 1}, m.values(t, "redlock.lock.losses", byResult))
		assert.Equal(t, map[string]int64{"acquired": 4}, m.values(t, "redlock.lock.duration", byResult))
		assert.Equal(t, map[string]int64{"acquired": 4}, m.values(t, "redlock.lock.attempts", "redlock.outcome"))
		assert.Equal(t, map[string]int64{"lock_lost": 1}, m.values(t, "redlock.extend.duration", byResult))
		assert.Equal(t, map[string]int64{"released": 1, "lock_lost": 1}, m.values(t, "redlock.unlock.duration", byResult))
		assert.Equal(t, map[string]int64{"": 1, "lock_lost": 1}, m.values(t, "redlock.unlock.duration", "error.type"))
	})
}

func TestWaitingCountsCallersThatWereRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		m := newMeter()
		k := lock(t, newLocker(t, nodes))
		l := newLocker(t, nodes, m.option())
		waiting := func() int64 { return m.values(t, "redlock.lock.waiting", byResult)[""] }
		ctx, cancel := context.WithCancel(t.Context())
		for range 5 {
			go func() { _, _ = l.Lock(ctx, "a", ttl, redlock.WithRetry(redlock.Forever, time.Second)) }()
		}
		synctest.Wait()
		assert.Equal(t, int64(5), waiting())
		cancel()
		synctest.Wait()
		assert.Equal(t, int64(0), waiting())
		assert.Equal(t, map[string]int64{"canceled": 5}, m.values(t, "redlock.lock.duration", byResult))
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestMetricsTellWhichNodeIsSick(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"by itself": nil, "in batches": {redlock.WithAutoPipeline()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				m := newMeter()
				l := newLocker(t, nodes, append(opts, m.option())...)
				warmUp(t, l)
				nodes[1].SetError("ERR broken")
				nodes[2].slow(2 * time.Second)
				_, err := l.TryLock(t.Context(), "a", ttl)
				require.ErrorIs(t, err, redlock.ErrNoQuorum)
				time.Sleep(time.Minute)
				assert.Equal(t, map[string]int64{"127.0.0.2": 2}, m.values(t, "redlock.node.errors", "server.address"), "acquire and release")
				assert.Equal(t, map[string]int64{"6379": 2}, m.values(t, "redlock.node.errors", "server.port"))
				assert.Equal(t, map[string]int64{"ERR": 2}, m.values(t, "redlock.node.errors", "error.type"))
				assert.Equal(t, map[string]int64{"127.0.0.3": 2}, m.values(t, "redlock.node.late_replies", "server.address"))
			})
		})
	}
}

func TestANodeWithoutASingleAddressIsToldByItsIndex(t *testing.T) {
	m := newMeter()
	l, err := redlock.New([]stub{{reply: int64(1)}, {reply: int64(1)}, {}}, m.option())
	require.NoError(t, err)
	k, err := l.TryLock(t.Context(), "a", ttl)
	require.NoError(t, err)
	require.NoError(t, k.Unlock(t.Context()))
	require.NoError(t, l.Shutdown(t.Context()))
	assert.Equal(t, map[string]int64{"2": 2}, m.values(t, "redlock.node.errors", "redlock.node.index"))
}

func TestResourcesAreOnMetricsOnlyByChoice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		const kind = attribute.Key("kind")
		plain, chosen := newMeter(), newMeter()
		for _, l := range []*redlock.Locker{
			newLocker(t, nodes, plain.option()),
			newLocker(t, nodes, chosen.option(), redlock.WithMetricAttributes(func(resource string) []attribute.KeyValue {
				return []attribute.KeyValue{kind.String("kind of " + resource)}
			})),
		} {
			k := lock(t, l)
			require.NoError(t, k.Extend(t.Context(), ttl))
			require.NoError(t, k.Unlock(t.Context()))
		}
		for name := range plain.read(t) {
			assert.NotContains(t, plain.values(t, name, "redlock.resource"), "a", name)
		}
		for _, name := range []string{
			"redlock.lock.duration", "redlock.hold.duration", "redlock.extend.duration", "redlock.unlock.duration",
			"redlock.lock.attempts", "redlock.lock.active",
		} {
			assert.Contains(t, chosen.values(t, name, kind), "kind of a", name)
		}
		assert.Equal(t, map[string]int64{"kind of a": 0}, chosen.values(t, "redlock.lock.active", kind), "equal attributes up and down")
	})
}

func TestProvidersThatAreNilAreIgnoredAndANilAttributeFunctionIsAnError(t *testing.T) {
	_, err := redlock.New([]stub{{}}, redlock.WithTracerProvider(nil), redlock.WithMeterProvider(nil))
	require.NoError(t, err)
	_, err = redlock.New([]stub{{}}, redlock.WithMetricAttributes(nil))
	require.ErrorIs(t, err, redlock.ErrInvalidArgument)
}
