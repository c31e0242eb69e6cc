package errors_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func FuzzResourceNames(f *testing.F) {
	for _, name := range rig.HostileNames() {
		f.Add(name)
	}
	f.Fuzz(checkResourceName)
}

func TestResourceNamesMayBeAsLongAsRedisTakesThem(t *testing.T) {
	for _, part := range []string{"x", "\x00", "\r\n", "\xff", "{}"} {
		checkResourceName(t, strings.Repeat(part, 1<<20/len(part)))
	}
}

// checkResourceName demands that a resource can be locked, extended and unlocked
// under its very name, or that nothing is sent.
func checkResourceName(t *testing.T, resource string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l, other := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
		k, err := l.TryLock(t.Context(), resource, rig.TTL)
		if resource == "" {
			requireRejected(t, err)
			requireRejected(t, rig.Err(l.Lock(t.Context(), resource, rig.TTL)))
			requireRejected(t, l.With(t.Context(), resource, rig.TTL, unexpected, nil))
			require.Zero(t, nodes[0].Commands())
			return
		}
		require.NoError(t, err)
		require.Equal(t, resource, k.Resource())
		requireOnly(t, nodes[0], resource, k.Value())
		require.Equal(t, rig.TTL, nodes[0].TTL(resource))

		_, err = other.TryLock(t.Context(), resource, rig.TTL)
		require.IsType(t, (*redlock.LockError)(nil), err)
		rig.RequireNoOtherKind(t, err, redlock.ErrContended)
		require.Equal(t, []string{resource}, err.(*redlock.LockError).Resources) //nolint:errorlint // it was checked
		rig.RequireTidy(t, err, k.Value())

		require.NoError(t, k.Extend(t.Context(), 2*rig.TTL))
		requireOnly(t, nodes[0], resource, k.Value())
		require.Equal(t, 2*rig.TTL, nodes[0].TTL(resource))
		require.NoError(t, k.Unlock(t.Context()))
		rig.RequireFree(t, nodes...)

		require.NoError(t, other.With(t.Context(), resource, rig.TTL, func(_ context.Context, k *redlock.Lock) error {
			requireOnly(t, nodes[0], resource, k.Value())
			return nil
		}, nil))
		rig.RequireFree(t, nodes...)
	})
}

func unexpected(context.Context, *redlock.Lock) error { panic("called without a lock") }

// requireOnly demands that a node has this key and value, and nothing else.
func requireOnly(t *testing.T, n *rig.Node, key, value string) {
	t.Helper()
	require.Equal(t, []string{key}, n.Keys())
	got, err := n.Get(key)
	require.NoError(t, err)
	require.Equal(t, value, got)
}

// requireRejected demands an error that says only that an argument is of no use.
func requireRejected(t *testing.T, err error, says ...string) {
	t.Helper()
	require.ErrorIs(t, err, redlock.ErrInvalidArgument)
	rig.RequireNoOtherKind(t, err, redlock.ErrInvalidArgument)
	for _, text := range says {
		require.ErrorContains(t, err, text)
	}
}

func FuzzTTLs(f *testing.F) {
	for _, d := range []time.Duration{
		math.MinInt64, -time.Hour, -1, 0, 1, 10, time.Millisecond - 1, time.Millisecond, 2 * time.Millisecond, 2*time.Millisecond + 1,
		3*time.Millisecond - 1, 3 * time.Millisecond, 4 * time.Millisecond, rig.TTL, rig.TTL + 999*time.Microsecond, 30 * 24 * time.Hour,
		math.MaxInt64 / 2, math.MaxInt64 - 1, math.MaxInt64,
	} {
		f.Add(int64(d), int64(rig.TTL), 0.01, false)
		f.Add(int64(d), int64(rig.TTL), 0.01, true)
		f.Add(int64(rig.TTL), int64(d), 0.01, true)
		f.Add(int64(d), int64(d), 0.0, true)
		f.Add(int64(d), int64(d), 0.9999999999999999, false)
		f.Add(int64(d), int64(d), 0.666, true)
		f.Add(int64(d), int64(d), math.NaN(), false)
	}
	f.Fuzz(func(t *testing.T, first, next int64, factor float64, extends bool) {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 1)
			l, err := redlock.New(rig.Clients(nodes), redlock.WithDriftFactor(factor))
			if !(factor >= 0 && factor < 1) {
				requireRejected(t, err, "WithDriftFactor")
				return
			}
			require.NoError(t, err)
			x := ttlCheck{node: nodes[0], locker: l, factor: factor, extends: extends}
			x.run(t, time.Duration(first), time.Duration(next))
			require.NoError(t, l.Shutdown(t.Context()))
			rig.RequireFree(t, nodes...)
		})
	})
}

// A ttlCheck locks once and extends once.
type ttlCheck struct {
	node    *rig.Node
	locker  *redlock.Locker
	factor  float64
	extends bool // automatically
}

func (x *ttlCheck) run(t *testing.T, first, next time.Duration) {
	t.Helper()
	var opts []redlock.LockOption
	if x.extends {
		opts = append(opts, redlock.WithAutoExtend(redlock.Forever))
	}
	k, err := x.locker.TryLock(t.Context(), "a", first, opts...)
	if !x.accepted(t, first, err) {
		require.Zero(t, x.node.Commands())
		require.Nil(t, k)
		return
	}
	x.requireUntil(t, k, first)
	require.Equal(t, first.Truncate(time.Millisecond), x.node.TTL("a"))

	until, sent := k.Until(), x.node.Commands()
	if err := k.Extend(t.Context(), next); x.accepted(t, next, err) {
		x.requireUntil(t, k, next)
		require.Equal(t, max(first, next).Truncate(time.Millisecond), x.node.TTL("a"))
	} else {
		require.Equal(t, until, k.Until())
		require.Equal(t, sent, x.node.Commands())
	}

	left := time.Until(k.Until())
	held, cancel := k.Context(t.Context())
	defer cancel()
	switch {
	case left > time.Minute: // as many steps as it lasts seconds
	case x.extends:
		time.Sleep(3 * left)
		require.NoError(t, held.Err())
	default:
		time.Sleep(left - 1)
		require.True(t, k.Valid())
		require.NoError(t, held.Err())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.False(t, k.Valid())
		require.ErrorIs(t, context.Cause(held), redlock.ErrLockLost)
	}
	require.NoError(t, k.Unlock(t.Context()))
}

// accepted demands that err is nil or a rejection, whichever d deserves.
func (x *ttlCheck) accepted(t *testing.T, d time.Duration, err error) bool {
	t.Helper()
	if err != nil {
		requireRejected(t, err, "ttl "+d.String())
	}
	drift, rounding := x.drift(d)
	whole := float64(d / time.Millisecond)
	room := whole - drift
	if x.extends {
		room -= whole / 3
	}
	switch {
	case d < time.Millisecond, room < -rounding:
		require.Error(t, err)
	case room > rounding:
		require.NoError(t, err)
	}
	return err == nil
}

// drift returns the drift of d in milliseconds, and how far it may be off.
func (x *ttlCheck) drift(d time.Duration) (ms, rounding float64) {
	whole := float64(d / time.Millisecond)
	return whole*x.factor + 2, 1 + math.Abs(whole)*0x1p-50
}

// requireUntil demands that a lock that was granted just now for d says so.
func (x *ttlCheck) requireUntil(t *testing.T, k *redlock.Lock, d time.Duration) {
	t.Helper()
	require.True(t, k.Valid())
	d = d.Truncate(time.Millisecond)
	valid := time.Until(k.Until())
	assert.Positive(t, valid)
	assert.Less(t, valid, d)
	drift, rounding := x.drift(d)
	assert.InDelta(t, drift, float64(d-valid)/float64(time.Millisecond), rounding)
}
