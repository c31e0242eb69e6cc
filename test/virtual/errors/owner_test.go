package errors_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

const owner = "billing-7f9c pid 4242"

// refused returns the error of a call that somebody else's lock refuses.
func refused(t *testing.T, err error) *redlock.LockError {
	t.Helper()
	require.ErrorIs(t, err, redlock.ErrContended)
	e, ok := errors.AsType[*redlock.LockError](err)
	require.True(t, ok)
	return e
}

func TestARefusalNamesTheOwnerAndTellsSinceWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		taken := time.Now()
		k := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithOwner(owner))
		time.Sleep(3800 * time.Millisecond)
		_, err := rig.NewLocker(t, nodes).TryLock(t.Context(), "a", rig.TTL)
		e := refused(t, err)
		assert.Equal(t, redlock.Holder{Mark: k.Mark(), Owner: owner, Since: e.HeldBy.Since}, e.HeldBy)
		assert.True(t, e.HeldBy.Since.Equal(taken))
		assert.Equal(t, `redlock: lock "a": held by billing-7f9c pid 4242 since 3.8s ago, mark `+k.Mark()+
			`, free in 6.2s at the latest unless extended: 0 of 3 nodes agreed, 2 needed`, e.Error())
		time.Sleep(time.Second)
		assert.Contains(t, e.Error(), "since 3.8s ago", "as it was when it was refused")
	})
}

func TestAMarkNamesALockAndTellsNothingOfItsValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithOwner(owner))
		k := rig.Lock(t, l)
		assert.Regexp(t, "^[0-9a-f]{8}$", k.Mark())
		assert.NotContains(t, k.Value(), k.Mark())
		assert.Regexp(t, "^[0-9a-f]{32} [0-9]+ "+owner+"$", k.Value())
		time.Sleep(2 * time.Second) // little is kept of it from then on
		require.True(t, seam.Rests(k))
		mark := k.Mark()
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
		assert.Equal(t, mark, k.Mark())
		require.NoError(t, k.Unlock(t.Context()))
		assert.Equal(t, mark, k.Mark())
		assert.NotEqual(t, mark, rig.Lock(t, l).Mark())
		assert.Empty(t, new(redlock.Lock).Mark())
		assert.Empty(t, (*redlock.Lock)(nil).Mark())
	})
}

func TestWithoutAnOwnerAValueIsRandomAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		assert.Regexp(t, "^[0-9a-f]{32}$", k.Value())
		_, err := rig.NewLocker(t, nodes, redlock.WithOwner("me")).TryLock(t.Context(), "a", rig.TTL)
		e := refused(t, err)
		assert.Equal(t, redlock.Holder{Mark: k.Mark()}, e.HeldBy)
		assert.Contains(t, e.Error(), "held by another, mark "+k.Mark()+", free in 10s")
	})
}

func TestTheOwnerOfACallComesBeforeThatOfNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l, other := rig.NewLocker(t, nodes, redlock.WithOwner("process")), rig.NewLocker(t, nodes)
		for want, opts := range map[string][]redlock.LockOption{"process": nil, "request 7": {redlock.WithOwner("request 7")}} {
			k := rig.Lock(t, l, opts...)
			_, err := other.TryLock(t.Context(), "a", rig.TTL)
			assert.Equal(t, want, refused(t, err).HeldBy.Owner)
			_, err = l.TryLock(t.Context(), "a", rig.TTL)
			e := refused(t, err)
			assert.Equal(t, redlock.Holder{Mark: k.Mark(), Owner: want, Since: e.HeldBy.Since}, e.HeldBy, "in the same Locker")
			assert.Contains(t, e.Error(), "held by "+want+" since 0s ago, mark "+k.Mark()+": a caller of the same Locker, free in 10s")
			require.NoError(t, k.Unlock(t.Context()))
			synctest.Wait()
		}
	})
}

func TestEveryKindOfCallNamesTheOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		for _, fencing := range [][]redlock.LockOption{nil, {redlock.WithFencing(time.Hour)}} {
			k := rig.Lock(t, rig.NewLocker(t, nodes), slices.Concat(fencing, []redlock.LockOption{redlock.WithOwner(owner)})...)
			for name, opts := range map[string][]redlock.Option{"line": nil, "no line": {redlock.WithoutWaitingLine()}, "batches": {redlock.WithAutoPipeline()}} {
				l := rig.NewLocker(t, nodes, opts...)
				short := slices.Concat(fencing, []redlock.LockOption{redlock.WithMaxWait(500 * time.Millisecond)})
				for kind, err := range map[string]error{
					"TryLock": rig.Err(l.TryLock(t.Context(), "a", rig.TTL, fencing...)),
					"Lock":    rig.Err(l.Lock(t.Context(), "a", rig.TTL, short...)),
					"again":   rig.Err(l.Lock(t.Context(), "a", rig.TTL, short...)), // the gate alone, where there is one
					"LockAll": rig.Err(l.LockAll(t.Context(), []string{"a", "b"}, rig.TTL, short...)),
				} {
					assert.Equal(t, owner, refused(t, err).HeldBy.Owner, "%s, %s", name, kind)
				}
			}
			require.NoError(t, k.Unlock(t.Context()))
			time.Sleep(time.Second)
		}
	})
}

func TestClocksThatDisagreeMakeNoAgeNegative(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		seam.SetWallJump(l, func() time.Duration { return time.Hour })
		taken := time.Now().Add(time.Hour)
		rig.Lock(t, l, redlock.WithOwner(owner))
		_, err := rig.NewLocker(t, nodes).TryLock(t.Context(), "a", rig.TTL)
		e := refused(t, err)
		assert.True(t, e.HeldBy.Since.Equal(taken), "it is the holder's clock")
		assert.Contains(t, e.Error(), "held by "+owner+" since 0s ago, ")
	})
}

func TestNobodyIsNamedWhereNobodyHasAMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		value := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithOwner(owner)).Value()
		require.NoError(t, nodes[1].Set("a", strings.Repeat("0", 32)+" 12 somebody"))
		nodes[2].Del("a")
		l := rig.NewLocker(t, nodes)
		nodes[2].Freeze()
		_, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "held by billing")
		nodes[1].Freeze()
		_, err = l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		e, _ := errors.AsType[*redlock.LockError](err)
		assert.Zero(t, e.HeldBy)
		assert.NotContains(t, err.Error(), value[:8])
		for _, n := range nodes {
			n.Thaw()
		}
	})
}

func TestWhoGivesUpIsToldTheOwnerAndWhoIsShutDownIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithOwner(owner))
		l := rig.NewLocker(t, nodes)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := l.Lock(ctx, "a", rig.TTL)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, owner, refused(t, err).HeldBy.Owner)
		assert.ErrorContains(t, err, "context deadline exceeded, last seen: held by "+owner+" since 1s ago, mark ")
		done := make(chan error)
		go func() { done <- rig.Err(l.Lock(t.Context(), "a", rig.TTL)) }()
		time.Sleep(time.Second)
		require.NoError(t, l.Shutdown(t.Context()))
		err = <-done
		require.ErrorIs(t, err, redlock.ErrShutdown)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Zero(t, e.HeldBy)
		assert.NotContains(t, err.Error(), owner)
	})
}

// An owner costs no command: who is refused asks each node as often as without one.
func TestAnOwnerCostsNoCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		count := func(opts ...redlock.LockOption) (lock, try int) {
			holder, other := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
			rig.WarmUp(t, holder)
			rig.WarmUp(t, other)
			before := rig.Commands(nodes)
			k := rig.Lock(t, holder, opts...)
			lock, before = rig.Commands(nodes)-before, rig.Commands(nodes)
			_, err := other.TryLock(t.Context(), "a", rig.TTL, opts...)
			require.ErrorIs(t, err, redlock.ErrContended)
			synctest.Wait()
			try = rig.Commands(nodes) - before
			require.NoError(t, k.Unlock(t.Context()))
			time.Sleep(time.Minute)
			return lock, try
		}
		for name, opts := range map[string][]redlock.LockOption{"native": nil, "by scripts": {redlock.WithFencing(time.Hour)}} {
			lock, try := count(opts...)
			ownedLock, ownedTry := count(slices.Concat(opts, []redlock.LockOption{redlock.WithOwner(owner)})...)
			assert.Equal(t, 3, ownedLock, name)
			assert.Equal(t, lock, ownedLock, name)
			assert.Equal(t, try, ownedTry, name)
		}
	})
}

func TestAnOwnerThatCannotBeToldIsAnError(t *testing.T) {
	l, err := redlock.New([]rig.Stub{{}})
	require.NoError(t, err)
	for _, text := range []string{"", "a\nb", "a\x00", "\xff", "\u202e", "a\tb", strings.Repeat("x", 129), strings.Repeat("é", 65)} {
		o := redlock.WithOwner(text)
		for _, err := range []error{rig.Err(redlock.New([]rig.Stub{{}}, o)), rig.Err(l.Lock(t.Context(), "a", rig.TTL, o))} {
			require.ErrorIs(t, err, redlock.ErrInvalidArgument, "%q", text)
			assert.ErrorContains(t, err, "WithOwner(")
			assert.Less(t, len(err.Error()), 1000)
			rig.RequireTidy(t, err, strings.Repeat("-", 32))
		}
	}
	require.NoError(t, rig.Err(redlock.New([]rig.Stub{{}}, redlock.WithOwner(strings.Repeat("x", 128)), redlock.WithOwner("Zürich ☃"))))
}

// What stands in the place of a name is made of whatever bytes a server sends.
func TestWhatAServerTellsOfAnOwnerIsBoundedAndPrintable(t *testing.T) {
	for _, name := range []string{
		"3f9a1c02 12 a\nb", "3f9a1c02 12 \xff", "3f9a1c02 x y", "3f9a1c02 ", " ", "", "next 12 x", "none 12 x", "3f9a1c02 99999999999999999999 x",
		"3f9a1c02 12 " + strings.Repeat("x", 1<<20), strings.Repeat("y", 1<<20), strings.Repeat("3", 1<<20) + " 12 x", "3f9a1c02 12 \u202ex",
	} {
		l, err := redlock.New([]rig.Stub{{Reply: []any{int64(5000), name}}})
		require.NoError(t, err)
		_, err = l.TryLock(t.Context(), "a", rig.TTL)
		require.Error(t, err)
		if e, ok := errors.AsType[*redlock.LockError](err); assert.True(t, ok) {
			assert.Empty(t, e.HeldBy.Owner, "%.50q", name)
			assert.LessOrEqual(t, len(e.HeldBy.Mark), 8)
		}
		rig.RequireTidy(t, err, strings.Repeat("-", 32))
		require.NoError(t, l.Shutdown(t.Context()))
	}
	l, err := redlock.New([]rig.Stub{{Reply: []any{int64(5000), "3f9a1c02 12 x y"}}})
	require.NoError(t, err)
	_, err = l.TryLock(t.Context(), "a", rig.TTL)
	assert.Equal(t, "x y", refused(t, err).HeldBy.Owner)
	require.NoError(t, l.Shutdown(t.Context()))
}
