package telemetry_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

func requireSpan(t *testing.T, s sdktrace.ReadOnlySpan, name string, want rig.Attrs) {
	t.Helper()
	require.Equal(t, name, s.Name())
	assert.Equal(t, trace.SpanKindInternal, s.SpanKind())
	assert.Equal(t, redlock.ScopeName, s.InstrumentationScope().Name)
	assert.Equal(t, seam.Version, s.InstrumentationScope().Version)
	assert.Empty(t, s.Events())
	assert.Equal(t, want, rig.Attributes(s), name)
}

func requireChild(t *testing.T, parent, child sdktrace.ReadOnlySpan) {
	t.Helper()
	assert.Equal(t, parent.SpanContext().SpanID(), child.Parent().SpanID(), "%s under %s", child.Name(), parent.Name())
	assert.Equal(t, parent.SpanContext().TraceID(), child.SpanContext().TraceID())
}

func TestSpansOfWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		r := rig.NewRecorder()
		l := rig.NewLocker(t, nodes, r.Option())
		require.NoError(t, l.With(t.Context(), "a", rig.TTL, func(ctx context.Context, lock *redlock.Lock) error {
			_, span := r.Provider.Tracer("mine").Start(ctx, "work")
			synctest.Wait()
			defer span.End()
			return lock.Extend(ctx, rig.TTL)
		}, nil))
		spans := r.Take()
		require.Len(t, spans, 6)
		attempt, lockSpan, extend, work, unlock, with := spans[0], spans[1], spans[2], spans[3], spans[4], spans[5]
		requireChild(t, lockSpan, attempt)
		for _, s := range []sdktrace.ReadOnlySpan{lockSpan, extend, work, unlock} {
			requireChild(t, with, s)
		}
		rig.RequireOK(t, spans...)
		requireSpan(t, with, "redlock.with", rig.Attrs{"redlock.resource": "a", "redlock.ttl": 10.0, "redlock.result": "done"})
		requireSpan(t, lockSpan, "redlock.lock", rig.Attrs{
			"redlock.resource": "a", "redlock.ttl": 10.0, "redlock.result": "acquired",
			"redlock.node.count": int64(3), "redlock.quorum": int64(2), "redlock.attempt.count": int64(1),
		})
		requireSpan(t, attempt, "redlock.attempt", rig.Attrs{
			"redlock.attempt.number": int64(1), "redlock.outcome": "acquired", "redlock.validity": 9.898,
			"redlock.node.agreed_count": int64(2), "redlock.node.refused_count": int64(0), "redlock.node.failed_count": int64(0),
		})
		requireSpan(t, extend, "redlock.extend", rig.Attrs{
			"redlock.resource": "a", "redlock.ttl": 10.0, "redlock.result": "extended",
			"redlock.node.agreed_count": int64(2), "redlock.node.gone_count": int64(0), "redlock.node.failed_count": int64(0),
		})
		requireSpan(t, unlock, "redlock.unlock", rig.Attrs{
			"redlock.resource": "a", "redlock.result": "released",
			"redlock.node.agreed_count": int64(2), "redlock.node.gone_count": int64(0), "redlock.node.failed_count": int64(0),
		})
	})
}

func TestSpansOfALockThatWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		holder, r := rig.Lock(t, rig.NewLocker(t, nodes)), rig.NewRecorder()
		time.AfterFunc(150*time.Millisecond, func() { assert.NoError(t, holder.Unlock(context.Background())) })
		rig.Lock(t, rig.NewLocker(t, nodes, r.Option(), redlock.WithoutWaitingLine()), redlock.WithRetry(5, 100*time.Millisecond), redlock.WithJitter(0))
		spans := r.Take()
		require.Len(t, spans, 4)
		for i, outcome := range []string{"held", "held", "acquired"} {
			requireChild(t, spans[3], spans[i])
			assert.Equal(t, outcome, rig.Attributes(spans[i])["redlock.outcome"])
			assert.Equal(t, int64(i+1), rig.Attributes(spans[i])["redlock.attempt.number"])
		}
		assert.Equal(t, int64(2), rig.Attributes(spans[0])["redlock.node.refused_count"])
		assert.Equal(t, int64(3), rig.Attributes(spans[3])["redlock.attempt.count"])
		rig.RequireOK(t, spans...)
		assert.Equal(t, 200*time.Millisecond, spans[3].EndTime().Sub(spans[3].StartTime()))
	})
}

func TestAnExpectedRefusalIsAResultAndNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		rig.Lock(t, rig.NewLocker(t, nodes))
		r := rig.NewRecorder()
		l := rig.NewLocker(t, nodes, r.Option())
		_, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		err = l.With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error { return nil }, nil, redlock.WithRetry(0, 0))
		require.ErrorIs(t, err, redlock.ErrContended)
		spans := r.Take()
		require.Len(t, spans, 5)
		rig.RequireOK(t, spans...)
		for _, s := range []sdktrace.ReadOnlySpan{spans[1], spans[3], spans[4]} {
			assert.Equal(t, "contended", rig.Attributes(s)["redlock.result"], s.Name())
		}
		_, err = l.Lock(t.Context(), "a", rig.TTL, redlock.WithRetry(1, 0))
		require.ErrorIs(t, err, redlock.ErrContended)
		spans = r.Take()
		rig.RequireFailed(t, spans[len(spans)-1], "contended")
	})
}

func TestSpansOfFailures(t *testing.T) {
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancelLate := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancelLate()
	for name, c := range map[string]struct {
		run        func(t *testing.T, nodes []*rig.Node, l *redlock.Locker) error
		span       string
		errorType  string
		wantResult string
	}{
		"no quorum": {func(t *testing.T, nodes []*rig.Node, l *redlock.Locker) error {
			t.Helper()
			nodes[0].SetError("ERR broken")
			nodes[1].SetError("ERR broken")
			_, err := l.TryLock(t.Context(), "a", rig.TTL)
			return err
		}, "redlock.lock", "no_quorum", "no_quorum"},
		"cancelled": {func(_ *testing.T, _ []*rig.Node, l *redlock.Locker) error {
			_, err := l.Lock(canceled, "a", rig.TTL)
			return err
		}, "redlock.lock", "canceled", "canceled"},
		"deadline": {func(_ *testing.T, _ []*rig.Node, l *redlock.Locker) error {
			_, err := l.Lock(late, "a", rig.TTL)
			return err
		}, "redlock.lock", "deadline_exceeded", "deadline_exceeded"},
		"lost while held": {func(t *testing.T, _ []*rig.Node, l *redlock.Locker) error {
			t.Helper()
			return l.With(t.Context(), "a", rig.TTL, func(ctx context.Context, _ *redlock.Lock) error {
				<-ctx.Done()
				return nil
			}, nil)
		}, "redlock.with", "lock_lost", "lost"},
		"fn failed": {func(t *testing.T, _ []*rig.Node, l *redlock.Locker) error {
			t.Helper()
			return l.With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error { return rig.ErrBody }, nil)
		}, "redlock.with", "*errors.errorString", "failed"},
		"fn panicked": {func(t *testing.T, _ []*rig.Node, l *redlock.Locker) error {
			t.Helper()
			assert.Panics(t, func() {
				_ = l.With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error { panic("boom") }, nil)
			})
			return rig.ErrBody
		}, "redlock.with", "panicked", "panicked"},
		"unlock of a lost lock": {func(t *testing.T, nodes []*rig.Node, l *redlock.Locker) error {
			t.Helper()
			k := rig.Lock(t, l)
			nodes[0].Del("a")
			nodes[1].Del("a")
			return k.Unlock(t.Context())
		}, "redlock.unlock", "lock_lost", "lock_lost"},
		"extend of a lost lock": {func(t *testing.T, nodes []*rig.Node, l *redlock.Locker) error {
			t.Helper()
			k := rig.Lock(t, l)
			nodes[0].Del("a")
			nodes[1].Del("a")
			return k.Extend(t.Context(), rig.TTL)
		}, "redlock.extend", "lock_lost", "lock_lost"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				r := rig.NewRecorder()
				l := rig.NewLocker(t, nodes, r.Option())
				require.Error(t, c.run(t, nodes, l))
				spans := r.Take()
				i := len(spans) - 1
				for c.span != spans[i].Name() { // what goes on in the background may end later
					i--
				}
				rig.RequireFailed(t, spans[i], c.errorType)
				assert.Equal(t, c.wantResult, rig.Attributes(spans[i])["redlock.result"])
			})
		})
	}
}

func TestAFrozenNodeShowsAsFailedAndItsReplyAsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		r, m := rig.NewRecorder(), rig.NewMeter()
		l := rig.NewLocker(t, nodes, r.Option(), m.Option())
		rig.WarmUp(t, l)
		nodes[2].Freeze()
		_, err := l.TryLock(t.Context(), "b", rig.TTL)
		require.NoError(t, err)
		time.Sleep(1500 * time.Millisecond) // now it is silent
		r.Take()
		require.NoError(t, l.With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error { return nil }, nil))
		spans := r.Take()
		rig.RequireOK(t, spans...)
		for _, s := range spans {
			if s.Name() == "redlock.attempt" || s.Name() == "redlock.unlock" {
				assert.Equal(t, int64(2), rig.Attributes(s)["redlock.node.agreed_count"], s.Name())
				assert.Equal(t, int64(1), rig.Attributes(s)["redlock.node.failed_count"], s.Name())
			}
		}
		assert.Empty(t, m.Values(t, "redlock.node.late_replies", "server.address"))
		nodes[2].Thaw()
		synctest.Wait()
		assert.Equal(t, map[string]int64{"127.0.0.3": 1}, m.Values(t, "redlock.node.late_replies", "server.address"))
	})
}

func TestAnAutomaticExtensionIsATraceOfItsOwnThatIsLinkedToTheLockSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		r, m := rig.NewRecorder(), rig.NewMeter()
		l := rig.NewLocker(t, nodes, r.Option(), m.Option())
		rig.WarmUp(t, l)
		r.Take()
		ctx, parent := r.Provider.Tracer("caller").Start(t.Context(), "caller")
		k, err := l.Lock(ctx, "a", 9*time.Second, redlock.WithAutoExtend(redlock.Forever))
		require.NoError(t, err)
		parent.End()
		taken := r.Take()[1]
		require.Equal(t, "redlock.lock", taken.Name())
		time.Sleep(3100 * time.Millisecond)
		spans := r.Take()
		require.Len(t, spans, 1)
		requireSpan(t, spans[0], "redlock.extend", rig.Attrs{
			"redlock.resource": "a", "redlock.ttl": 9.0, "redlock.automatic": true, "redlock.result": "extended",
			"redlock.node.agreed_count": int64(2), "redlock.node.gone_count": int64(0), "redlock.node.failed_count": int64(0),
		})
		rig.RequireOK(t, spans...)
		assert.False(t, spans[0].Parent().IsValid())
		assert.NotEqual(t, taken.SpanContext().TraceID(), spans[0].SpanContext().TraceID())
		require.Len(t, spans[0].Links(), 1)
		assert.Equal(t, taken.SpanContext(), spans[0].Links()[0].SpanContext)
		assert.Equal(t, map[string]int64{"extended": 2}, m.Values(t, "redlock.extend.duration", rig.ByResult), "with the one of the warm up")

		nodes[0].FlushAll()
		nodes[1].FlushAll()
		time.Sleep(3 * time.Second)
		require.False(t, k.Valid())
		spans = r.Take()
		require.Len(t, spans, 1)
		rig.RequireFailed(t, spans[0], "lock_lost")
	})
}

func TestAnAutomaticExtensionThatUnlockCutShortIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		r := rig.NewRecorder()
		l := rig.NewLocker(t, nodes, r.Option())
		k, _ := rig.Keep(t, l, 9*time.Second)
		for _, n := range nodes {
			n.Slow(100 * time.Millisecond)
		}
		r.Take()
		time.Sleep(3050 * time.Millisecond)
		require.NoError(t, k.Unlock(t.Context()))
		synctest.Wait()
		spans := r.Take()
		require.Len(t, spans, 2)
		rig.RequireOK(t, spans...)
		assert.Equal(t, "redlock.extend", spans[0].Name())
		assert.Equal(t, "unlocked", rig.Attributes(spans[0])["redlock.result"])
	})
}

func TestSpansNeverShowTheLocksValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		r := rig.NewRecorder()
		k := rig.Lock(t, rig.NewLocker(t, nodes, r.Option()))
		value := k.Value()
		nodes[0].SetError("ERR unknown command, with args beginning with: '" + value + "'")
		nodes[1].SetError("ERR unknown command, with args beginning with: '" + value[:20])
		err := k.Unlock(t.Context())
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		for _, s := range r.Take() {
			assert.NotContains(t, s.Status().Description, value[:8])
			for k, v := range rig.Attributes(s) {
				if text, ok := v.(string); ok {
					assert.NotContains(t, text, value[:8], k)
				}
			}
		}
		assert.Contains(t, err.Error(), "[value]")
	})
}

func TestNoAttributeNameIsANamespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		r := rig.NewRecorder()
		l := rig.NewLocker(t, nodes, r.Option())
		require.NoError(t, l.With(t.Context(), "a", rig.TTL, func(ctx context.Context, k *redlock.Lock) error {
			return errors.Join(k.Extend(ctx, rig.TTL))
		}, nil))
		names := map[attribute.Key]bool{}
		for _, s := range r.Take() {
			for k := range rig.Attributes(s) {
				names[k] = true
			}
		}
		for name := range names {
			for other := range names {
				assert.False(t, strings.HasPrefix(string(other), string(name)+"."), "%s and %s", name, other)
			}
		}
	})
}
