package telemetry_test

import (
	"context"
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

func TestMetricsHaveTheirUnitsAndBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		m := rig.NewMeter()
		l := rig.NewLocker(t, nodes, m.Option())
		require.NoError(t, l.With(t.Context(), "a", rig.TTL, func(ctx context.Context, k *redlock.Lock) error {
			return k.Extend(ctx, rig.TTL)
		}, nil))
		nodes[0].Slow(2 * time.Second) // one late reply, and one lost when the node fails
		k := rig.Lock(t, l)
		_, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		_, err = l.Lock(t.Context(), "a", rig.TTL, redlock.WithMaxWait(time.Second))
		require.ErrorIs(t, err, redlock.ErrContended)
		nodes[1].SetError("ERR broken")
		require.Error(t, k.Extend(t.Context(), rig.TTL))
		time.Sleep(time.Minute)

		all := m.Read(t)
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
		h, ok := m.Read(t)["redlock.lock.duration"].Data.(metricdata.Histogram[float64])
		require.True(t, ok)
		assert.Equal(t, []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}, h.DataPoints[0].Bounds)
	})
}

func TestMetricsOfLocksThatAreReleasedLostAndExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		m := rig.NewMeter()
		l := rig.NewLocker(t, nodes, m.Option())
		active := func() int64 { return m.Values(t, "redlock.lock.active", rig.ByResult)[""] }

		k := rig.Lock(t, l)
		assert.Equal(t, int64(1), active())
		require.NoError(t, k.Unlock(t.Context()))
		assert.Equal(t, int64(0), active())

		k = rig.Lock(t, l)
		for _, n := range nodes {
			n.Del("a")
		}
		require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrLockLost)
		assert.Equal(t, int64(0), active())

		k = rig.Lock(t, l)
		for _, n := range nodes {
			n.Del("a")
		}
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)

		rig.Lock(t, l) // never unlocked
		assert.Equal(t, int64(1), active())
		time.Sleep(rig.TTL)
		assert.Equal(t, int64(0), active())

		assert.Equal(t, map[string]int64{"released": 1, "lost": 2, "expired": 1}, m.Values(t, "redlock.hold.duration", rig.ByResult))
		assert.Equal(t, map[string]int64{"lost": 2, "expired": 1}, m.Values(t, "redlock.lock.losses", rig.ByResult))
		assert.Equal(t, map[string]int64{"acquired": 4}, m.Values(t, "redlock.lock.duration", rig.ByResult))
		assert.Equal(t, map[string]int64{"acquired": 4}, m.Values(t, "redlock.lock.attempts", "redlock.outcome"))
		assert.Equal(t, map[string]int64{"lock_lost": 1}, m.Values(t, "redlock.extend.duration", rig.ByResult))
		assert.Equal(t, map[string]int64{"released": 1, "lock_lost": 1}, m.Values(t, "redlock.unlock.duration", rig.ByResult))
		assert.Equal(t, map[string]int64{"": 1, "lock_lost": 1}, m.Values(t, "redlock.unlock.duration", "error.type"))
	})
}

func TestWaitingCountsCallersThatWereRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		m := rig.NewMeter()
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		l := rig.NewLocker(t, nodes, m.Option())
		waiting := func() int64 { return m.Values(t, "redlock.lock.waiting", rig.ByResult)[""] }
		ctx, cancel := context.WithCancel(t.Context())
		for range 5 {
			go func() { _, _ = l.Lock(ctx, "a", rig.TTL, redlock.WithRetry(redlock.Forever, time.Second)) }()
		}
		synctest.Wait()
		assert.Equal(t, int64(5), waiting())
		cancel()
		synctest.Wait()
		assert.Equal(t, int64(0), waiting())
		assert.Equal(t, map[string]int64{"canceled": 5}, m.Values(t, "redlock.lock.duration", rig.ByResult))
		require.NoError(t, k.Unlock(t.Context()))
	})
}

func TestMetricsTellWhichNodeIsSick(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{"by itself": nil, "in batches": {redlock.WithAutoPipeline()}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				m := rig.NewMeter()
				l := rig.NewLocker(t, nodes, append(opts, m.Option())...)
				rig.WarmUp(t, l)
				nodes[1].SetError("ERR broken")
				nodes[2].Slow(2 * time.Second)
				_, err := l.TryLock(t.Context(), "a", rig.TTL)
				require.ErrorIs(t, err, redlock.ErrNoQuorum)
				time.Sleep(time.Minute)
				assert.Equal(t, map[string]int64{"127.0.0.2": 2, "127.0.0.3": 2}, m.Values(t, "redlock.node.errors", "server.address"), "acquire and release")
				assert.Equal(t, map[string]int64{"6379": 4}, m.Values(t, "redlock.node.errors", "server.port"))
				assert.Equal(t, map[string]int64{"ERR": 2, "no_answer": 2}, m.Values(t, "redlock.node.errors", "error.type"))
				assert.Equal(t, map[string]int64{"127.0.0.3": 2}, m.Values(t, "redlock.node.late_replies", "server.address"))
			})
		})
	}
}

func TestANodeWithoutASingleAddressIsToldByItsIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := rig.NewMeter()
		l, err := redlock.New([]rig.Stub{{Reply: int64(1)}, {Reply: int64(1)}, {}}, m.Option())
		require.NoError(t, err)
		k, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.NoError(t, err)
		require.NoError(t, k.Unlock(t.Context()))
		require.NoError(t, l.Shutdown(t.Context()))
		assert.Equal(t, map[string]int64{"3": 2}, m.Values(t, "redlock.node.errors", "redlock.node.number"))
	})
}

func TestResourcesAreOnMetricsOnlyByChoice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		const kind = attribute.Key("kind")
		plain, chosen := rig.NewMeter(), rig.NewMeter()
		for _, l := range []*redlock.Locker{
			rig.NewLocker(t, nodes, plain.Option()),
			rig.NewLocker(t, nodes, chosen.Option(), redlock.WithMetricAttributes(func(resource string) []attribute.KeyValue {
				return []attribute.KeyValue{kind.String("kind of " + resource)}
			})),
		} {
			k := rig.Lock(t, l)
			require.NoError(t, k.Extend(t.Context(), rig.TTL))
			require.NoError(t, k.Unlock(t.Context()))
		}
		for name := range plain.Read(t) {
			assert.NotContains(t, plain.Values(t, name, "redlock.resource"), "a", name)
		}
		for _, name := range []string{
			"redlock.lock.duration", "redlock.hold.duration", "redlock.extend.duration", "redlock.unlock.duration",
			"redlock.lock.attempts", "redlock.lock.active",
		} {
			assert.Contains(t, chosen.Values(t, name, kind), "kind of a", name)
		}
		assert.Equal(t, map[string]int64{"kind of a": 0}, chosen.Values(t, "redlock.lock.active", kind), "equal attributes up and down")
	})
}

func TestProvidersThatAreNilAreIgnoredAndANilAttributeFunctionIsAnError(t *testing.T) {
	_, err := redlock.New([]rig.Stub{{}}, redlock.WithTracerProvider(nil), redlock.WithMeterProvider(nil))
	require.NoError(t, err)
	_, err = redlock.New([]rig.Stub{{}}, redlock.WithMetricAttributes(nil))
	require.ErrorIs(t, err, redlock.ErrInvalidArgument)
}
