package errors_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

// fuzzedOptions are the values that options are given.
type fuzzedOptions struct {
	factor                                      float64
	count                                       int
	delay, jitter, maxWait, timeout, forHowLong time.Duration
}

// A fuzzedOption is an option and what is to be said of it.
type fuzzedOption struct {
	name string
	ok   bool
	opt  redlock.Option
}

// forCall returns the options that can be given to a call, too.
func (v fuzzedOptions) forCall() []fuzzedOption {
	return []fuzzedOption{
		{"WithRetry", v.count >= -1 && (v.delay == 0 || v.delay >= time.Millisecond), redlock.WithRetry(v.count, v.delay)},
		{"WithJitter", v.jitter == 0 || v.jitter >= time.Millisecond, redlock.WithJitter(v.jitter)},
		{"WithMaxWait", v.maxWait >= time.Millisecond, redlock.WithMaxWait(v.maxWait)},
		{"WithNodeTimeout", v.timeout >= time.Millisecond, redlock.WithNodeTimeout(v.timeout)},
		{"WithAutoExtend", v.forHowLong >= time.Millisecond || v.forHowLong == redlock.Forever, redlock.WithAutoExtend(v.forHowLong)},
		{"is nil", false, nil},
	}
}

// forNew returns the options of New.
func (v fuzzedOptions) forNew() []fuzzedOption {
	return append(v.forCall(),
		fuzzedOption{"WithDriftFactor", v.factor >= 0 && v.factor < 1, redlock.WithDriftFactor(v.factor)},
		fuzzedOption{"WithNodeErrorHandler", false, redlock.WithNodeErrorHandler(nil)},
		fuzzedOption{"WithMetricAttributes", false, redlock.WithMetricAttributes(nil)},
		fuzzedOption{"", true, redlock.WithTracerProvider(nil)},
		fuzzedOption{"", true, redlock.WithMeterProvider(nil)},
		fuzzedOption{"", true, redlock.WithoutAutoExtend()},
	)
}

// pick returns the options whose bit is set, and the names of the bad ones.
func pick(all []fuzzedOption, which uint16) (picked []redlock.Option, bad []string) {
	for i, o := range all {
		if which>>i&1 == 0 {
			continue
		}
		picked = append(picked, o.opt)
		if !o.ok {
			bad = append(bad, o.name)
		}
	}
	return picked, bad
}

func FuzzOptions(f *testing.F) {
	durations := []time.Duration{math.MinInt64, -2, redlock.Forever, 0, 1, time.Millisecond, rig.TTL, math.MaxInt64}
	for i, d := range durations {
		e := durations[(i+3)%len(durations)]
		for _, which := range []uint16{0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 0b11111, 0b1011111, 0xffff} {
			f.Add(0.01, int(d), int64(e), int64(d), int64(d), int64(d), int64(d), which, uint16(0))
			f.Add(0.5, 3, int64(d), int64(e), int64(e), int64(d), int64(e), uint16(0), which)
			f.Add(0.99, -1, int64(d), int64(d), int64(e), int64(e), int64(d), which, which)
		}
	}
	for _, factor := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), -5e-324, 5e-324, 1, 0.9998, 0.9999, 0.6664, 0.6665, 1e308} {
		f.Add(factor, 0, int64(0), int64(0), int64(1), int64(1), int64(1), uint16(64), uint16(0))
		f.Add(factor, 0, int64(0), int64(0), int64(1), int64(1), int64(1), uint16(64), uint16(16))
	}
	f.Fuzz(func(t *testing.T, factor float64, count int, delay, jitter, maxWait, timeout, forHowLong int64, forNew, forCall uint16) {
		v := fuzzedOptions{
			factor, count, time.Duration(delay), time.Duration(jitter),
			time.Duration(maxWait), time.Duration(timeout), time.Duration(forHowLong),
		}
		synctest.Test(t, func(t *testing.T) { v.check(t, forNew, forCall) })
	})
}

func (v fuzzedOptions) check(t *testing.T, forNew, forCall uint16) {
	t.Helper()
	nodes := rig.New(t, 1)
	opts, bad := pick(v.forNew(), forNew)
	l, err := redlock.New(rig.Clients(nodes), opts...)
	if len(bad) > 0 {
		requireRejected(t, err, bad...)
		require.Nil(t, l)
		require.Nil(t, nodes[0].Server())
		return
	}
	require.NoError(t, err)
	all, bad := pick(v.forCall(), forCall)
	callOpts := make([]redlock.LockOption, len(all))
	for i, o := range all {
		callOpts[i], _ = o.(redlock.LockOption)
	}
	if len(bad) > 0 {
		requireRejected(t, rig.Err(l.Lock(t.Context(), "a", rig.TTL, callOpts...)), bad...)
		requireRejected(t, rig.Err(l.TryLock(t.Context(), "a", rig.TTL, callOpts...)), bad...)
		requireRejected(t, l.With(t.Context(), "a", rig.TTL, unexpected, nil, callOpts...), bad...)
		require.Nil(t, nodes[0].Server())
		return
	}
	if forNew&64 == 0 {
		v.factor = 0.01
	}
	extends := forCall&16 != 0 || (forNew&16 != 0 && forNew&2048 == 0)
	k, err := l.Lock(t.Context(), "a", rig.TTL, callOpts...)
	x := ttlCheck{node: nodes[0], locker: l, factor: v.factor, extends: extends}
	if !x.accepted(t, rig.TTL, err) {
		require.Nil(t, nodes[0].Server())
		return
	}
	x.requireUntil(t, k, rig.TTL)
	v.contend(t, nodes[0], l, callOpts)
	require.NoError(t, k.Extend(t.Context(), rig.TTL))
	require.NoError(t, k.Unlock(t.Context()))
	require.NoError(t, l.Shutdown(t.Context()))
	rig.RequireFree(t, nodes...)
}

// contend has another caller wait for the lock in vain.
func (v fuzzedOptions) contend(t *testing.T, n *rig.Node, l *redlock.Locker, opts []redlock.LockOption) {
	t.Helper()
	if v.delay < time.Millisecond || v.timeout < time.Millisecond {
		return // as many attempts as fit into the wait
	}
	n.Slow(100 * time.Microsecond)
	defer n.Slow(0)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := l.Lock(ctx, "a", rig.TTL, opts...)
	require.LessOrEqual(t, time.Since(start), 20*time.Millisecond)
	rig.RequireNoOtherKind(t, err, redlock.ErrContended, redlock.ErrNoQuorum, context.DeadlineExceeded)
	for seam.OpenCalls(l) > 0 {
		time.Sleep(time.Millisecond)
	}
}

// A clientFunc is a client that can be nil without being a pointer.
type clientFunc func(cmd redis.Cmder) error

func (f clientFunc) Process(_ context.Context, cmd redis.Cmder) error { return f(cmd) }

// A clientMap is another one.
type clientMap map[string]string

func (clientMap) Process(context.Context, redis.Cmder) error { return nil }

func TestNilsOfAnyTypeAreNil(t *testing.T) {
	for _, c := range []redlock.Client{
		nil, (*redis.Client)(nil), (*redis.ClusterClient)(nil), (*redis.Ring)(nil), (*redis.AutoPipeliner)(nil), clientFunc(nil), clientMap(nil),
	} {
		requireRejected(t, rig.Err(redlock.New([]redlock.Client{rig.Stub{}, c})), "client 2 is nil")
	}
	for _, o := range []redlock.Option{
		nil, redlock.LockOption(nil), redlock.WithNodeErrorHandler(nil), redlock.WithMetricAttributes(nil),
	} {
		requireRejected(t, rig.Err(redlock.New([]redlock.Client{rig.Stub{}}, o)), "nil")
	}
	l, err := redlock.New([]redlock.Client{rig.Stub{Reply: int64(1)}},
		redlock.WithTracerProvider((*trace.TracerProvider)(nil)), redlock.WithMeterProvider((*metric.MeterProvider)(nil)))
	require.NoError(t, err, "a provider that is nil is the global one")
	require.NoError(t, l.With(t.Context(), "a", rig.TTL, func(context.Context, *redlock.Lock) error { return nil }, nil))
	rig.Drain(t, l)
}
