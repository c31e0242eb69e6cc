package lock_test

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
	"github.com/b0401464/redlock/test/rig"
)

// Nodes at different distances: one is always the last to answer.

func newDistantNodes(t *testing.T, far time.Duration) ([]*rig.Node, *redlock.Locker) {
	t.Helper()
	nodes := rig.New(t, 3)
	l := rig.NewLocker(t, nodes)
	rig.WarmUp(t, l)
	nodes[0].Slow(time.Millisecond)
	nodes[1].Slow(time.Millisecond)
	nodes[2].Slow(far)
	return nodes, l
}

func TestAFarNodeCountsAfterOneQuestionToTheOthers(t *testing.T) {
	for _, far := range []time.Duration{3 * time.Millisecond, 20 * time.Millisecond, 80 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			nodes, l := newDistantNodes(t, far)
			before := nodes[0].Commands()
			k, err := l.Lock(t.Context(), "a", 10*time.Second)
			require.NoError(t, err)
			time.Sleep(5 * time.Second)
			assert.LessOrEqual(t, nodes[0].Commands()-before, 2, "the acquire, and the question")
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
		before := nodes[0].Commands()
		time.Sleep(5 * time.Second)
		assert.LessOrEqual(t, nodes[0].Commands()-before, 1, "the question")
		nodes[0].Del("a")
		require.NoError(t, k.Extend(t.Context(), time.Minute))
	})
}

func TestALateExtensionDoesNotOutlastALockThatIsNeverUnlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		k, err := l.Lock(t.Context(), "a", 3*time.Second)
		require.NoError(t, err)
		synctest.Wait()
		nodes[2].Freeze()
		require.NoError(t, k.Extend(t.Context(), 3*time.Second))
		time.Sleep(2500 * time.Millisecond)
		nodes[2].Thaw()
		time.Sleep(600 * time.Millisecond)
		assert.False(t, k.Valid())
		rig.RequireFree(t, nodes...)
	})
}

func TestAnEarlierLongerExtensionOfUnknownOutcomeLeavesNoKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		k := rig.Lock(t, l)
		for _, n := range nodes {
			n.Slow(20 * time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, k.Extend(ctx, time.Hour), redlock.ErrNoQuorum)
		time.Sleep(time.Second)
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
		time.Sleep(rig.TTL)
		rig.RequireFree(t, nodes...)
	})
}

func TestAttributesOfTheUserAreCopiedAndAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		shared := append(make([]attribute.KeyValue, 0, 8), attribute.String("zone", "z"), attribute.String("app", "a"))
		asked := 0
		m := rig.NewMeter()
		l := rig.NewLocker(t, nodes, m.Option(), redlock.WithMetricAttributes(func(string) []attribute.KeyValue {
			asked++
			return shared
		}))
		k := rig.Lock(t, l)
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
		require.NoError(t, k.Unlock(t.Context()))
		assert.Equal(t, 1, asked)
		assert.Equal(t, "zone", string(shared[0].Key), "not sorted in place")
		assert.Empty(t, shared[:3][2].Key, "not appended to")
	})
}

func TestAPanicInTheUsersAttributesLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		r := rig.NewRecorder()
		l := rig.NewLocker(t, nodes, r.Option(), redlock.WithMetricAttributes(func(resource string) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("kind", resource[5:6])}
		}))
		assert.Panics(t, func() { _, _ = l.Lock(t.Context(), "a", rig.TTL) })
		assert.Empty(t, r.Started())
		assert.Zero(t, nodes[0].Commands())
		require.NoError(t, l.Shutdown(t.Context()))
	})
}

func TestARefusalThatTheContextEndedIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		rig.Lock(t, rig.NewLocker(t, nodes))
		r := rig.NewRecorder()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := rig.NewLocker(t, nodes, r.Option()).Lock(ctx, "a", rig.TTL, redlock.WithRetry(1, time.Hour), redlock.WithJitter(0))
		require.ErrorIs(t, err, redlock.ErrContended)
		spans := r.Take()
		last := spans[len(spans)-1]
		assert.Equal(t, codes.Error, last.Status().Code)
		rig.RequireFailed(t, last, "deadline_exceeded")
	})
}
