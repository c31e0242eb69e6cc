package redlock_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"

	"github.com/b0401464/redlock"
)

// Nodes at different distances: one is always the last to answer.

func newDistantNodes(t *testing.T, far time.Duration) ([]*node, *redlock.Locker) {
	t.Helper()
	nodes := newNodes(t, 3)
	l := newLocker(t, nodes)
	warmUp(t, l)
	nodes[0].slow(time.Millisecond)
	nodes[1].slow(time.Millisecond)
	nodes[2].slow(far)
	return nodes, l
}

func TestAFarNodeCountsAfterOneQuestionToTheOthers(t *testing.T) {
	for _, far := range []time.Duration{3 * time.Millisecond, 20 * time.Millisecond, 80 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			nodes, l := newDistantNodes(t, far)
			before := nodes[0].commands()
			k, err := l.Lock(t.Context(), "a", 10*time.Second)
			require.NoError(t, err)
			time.Sleep(5 * time.Second)
			assert.LessOrEqual(t, nodes[0].commands()-before, 2, "the acquire, and the question")
			nodes[0].Del("a") // restarted empty
			require.NoError(t, k.Extend(t.Context(), 10*time.Second), "far is %v", far)
		})
	}
}

func TestAFarNodeThatLostTheLockCountsAgainAfterAnExtension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, l := newDistantNodes(t, 80*time.Millisecond)
		k, err := l.Lock(t.Context(), "a", time.Minute)
		require.NoError(t, err)
		time.Sleep(time.Second)
		nodes[2].Del("a")
		require.NoError(t, k.Extend(t.Context(), time.Minute))
		before := nodes[0].commands()
		time.Sleep(5 * time.Second)
		assert.LessOrEqual(t, nodes[0].commands()-before, 1, "the question")
		nodes[0].Del("a")
		require.NoError(t, k.Extend(t.Context(), time.Minute))
	})
}

func TestALateExtensionDoesNotOutlastALockThatIsNeverUnlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		k, err := l.Lock(t.Context(), "a", 3*time.Second)
		require.NoError(t, err)
		synctest.Wait()
		nodes[2].freeze()
		require.NoError(t, k.Extend(t.Context(), 3*time.Second))
		time.Sleep(2500 * time.Millisecond)
		nodes[2].thaw()
		time.Sleep(600 * time.Millisecond)
		assert.False(t, k.Valid())
		requireFree(t, nodes...)
	})
}

func TestAnEarlierLongerExtensionOfUnknownOutcomeLeavesNoKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		warmUp(t, l)
		k := lock(t, l)
		for _, n := range nodes {
			n.slow(20 * time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, k.Extend(ctx, time.Hour), redlock.ErrNoQuorum)
		time.Sleep(time.Second)
		require.NoError(t, k.Extend(t.Context(), ttl))
		time.Sleep(ttl)
		requireFree(t, nodes...)
	})
}

func TestAttributesOfTheUserAreCopiedAndAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		shared := append(make([]attribute.KeyValue, 0, 8), attribute.String("zone", "z"), attribute.String("app", "a"))
		asked := 0
		m := newMeter()
		l := newLocker(t, nodes, m.option(), redlock.WithMetricAttributes(func(string) []attribute.KeyValue {
			asked++
			return shared
		}))
		k := lock(t, l)
		require.NoError(t, k.Extend(t.Context(), ttl))
		require.NoError(t, k.Unlock(t.Context()))
		assert.Equal(t, 1, asked)
		assert.Equal(t, "zone", string(shared[0].Key), "not sorted in place")
		assert.Empty(t, shared[:3][2].Key, "not appended to")
	})
}

func TestAPanicInTheUsersAttributesLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		r := newRecorder()
		l := newLocker(t, nodes, r.option(), redlock.WithMetricAttributes(func(resource string) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("kind", resource[5:6])}
		}))
		assert.Panics(t, func() { _, _ = l.Lock(t.Context(), "a", ttl) })
		assert.Empty(t, r.Started())
		assert.Zero(t, nodes[0].commands())
		require.NoError(t, l.Shutdown(t.Context()))
	})
}

func TestARefusalThatTheContextEndedIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		lock(t, newLocker(t, nodes))
		r := newRecorder()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := newLocker(t, nodes, r.option()).Lock(ctx, "a", ttl, redlock.WithRetry(1, time.Hour), redlock.WithJitter(0))
		require.ErrorIs(t, err, redlock.ErrContended)
		spans := r.take()
		last := spans[len(spans)-1]
		assert.Equal(t, codes.Error, last.Status().Code)
		requireFailed(t, last, "deadline_exceeded")
	})
}
