package several_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// requireHeld checks that each of k's resources has its value on these nodes, and
// that no resource beside them has one.
func requireHeld(t *testing.T, k *redlock.Lock, nodes ...*rig.Node) {
	t.Helper()
	synctest.Wait()
	for i, n := range nodes {
		for _, resource := range k.Resources() {
			value, err := n.Get(resource)
			require.NoError(t, err, "node %d, %q", i, resource)
			require.Equal(t, k.Value(), value, "node %d, %q", i, resource)
		}
	}
}

// refuse requires that one attempt to lock resources fails because somebody else
// has one.
func refuse(t *testing.T, l *redlock.Locker, resources ...string) {
	t.Helper()
	_, err := l.LockAll(t.Context(), resources, rig.TTL, rig.OneTry)
	require.ErrorIs(t, err, redlock.ErrContended)
	synctest.Wait()
}

// many returns n names of resources, sorted.
func many(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("r%04d", i)
	}
	return all
}

func TestLockAllPutsOneValueOnAllResourcesOfEveryNode(t *testing.T) {
	for _, n := range []int{1, 2, 16, 1000} {
		t.Run(fmt.Sprint(n, " resources"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l := rig.NewLocker(t, nodes)
				k := rig.LockAll(t, l, many(n)...)
				assert.Equal(t, many(n), k.Resources())
				assert.Equal(t, "r0000", k.Resource())
				requireHeld(t, k, nodes...)
				for _, node := range nodes {
					assert.Len(t, node.Keys(), n)
					assert.Equal(t, rig.TTL, node.TTL(many(n)[n-1]))
				}
				time.Sleep(time.Second)
				require.NoError(t, k.Extend(t.Context(), 2*rig.TTL))
				synctest.Wait()
				for _, resource := range many(n) {
					require.Equal(t, 2*rig.TTL, nodes[2].TTL(resource), resource)
				}
				require.NoError(t, k.Unlock(t.Context()))
				rig.RequireFree(t, nodes...)
				rig.LockAll(t, l, many(n)...)
			})
		})
	}
}

func TestTheListOfResourcesIsSortedWithoutDuplicatesAndStaysTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		list := []string{"c", "a", "b", "a", "c"}
		k := rig.LockAll(t, l, list...)
		assert.Equal(t, []string{"c", "a", "b", "a", "c"}, list, "LockAll has changed the caller's list")
		for i := range list {
			list[i] = "x"
		}
		assert.Equal(t, []string{"a", "b", "c"}, k.Resources())
		k.Resources()[0] = "x"
		assert.Equal(t, []string{"a", "b", "c"}, k.Resources())
		_, err := l.LockAll(t.Context(), k.Resources(), rig.TTL, rig.OneTry)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		e.Resources[0] = "x"
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
		require.NoError(t, k.Unlock(t.Context()))
		e, ok = errors.AsType[*redlock.LockError](k.Extend(t.Context(), rig.TTL))
		require.True(t, ok)
		e.Resources[0] = "x"
		assert.Equal(t, []string{"a", "b", "c"}, k.Resources())
		rig.RequireFree(t, nodes...)
	})
}

func TestAListThatCannotBeLockedIsRejectedBeforeAnythingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		ctx := t.Context()
		for _, tt := range []struct {
			name      string
			resources []string
			ttl       time.Duration
			opts      []redlock.LockOption
			want      string
		}{
			{"nil", nil, rig.TTL, nil, "no resources"},
			{"empty", []string{}, rig.TTL, nil, "no resources"},
			{"an empty name", []string{"a", "", "b"}, rig.TTL, nil, "resource 2 of 3 is empty"},
			{"only an empty name", []string{""}, rig.TTL, nil, "resource 1 of 1 is empty"},
			{"a ttl that is too short", []string{"a", "b"}, 10, nil, "ttl 10ns"},
			{"a bad option", []string{"a", "b"}, rig.TTL, []redlock.LockOption{redlock.WithMaxWait(-1)}, "WithMaxWait"},
			{"the counter of another", []string{"{a}:redlock:token", "a"}, rig.TTL, nil, `"{a}:redlock:token" is a key that belongs to resource "a"`},
			{"the line of another", []string{"{a}b:redlock:line", "{a}b"}, rig.TTL, nil, "is a key that belongs to"},
			{"the reservation of another", []string{"x", "{x}:redlock:next"}, rig.TTL, nil, "is a key that belongs to"},
			{"a name that can have no token", []string{"a", "b}"}, rig.TTL, []redlock.LockOption{redlock.WithFencing(time.Hour)}, `"b}" cannot have a fencing token`},
		} {
			_, err := l.LockAll(ctx, tt.resources, tt.ttl, tt.opts...)
			require.ErrorIs(t, err, redlock.ErrInvalidArgument, tt.name)
			assert.ErrorContains(t, err, tt.want, tt.name)
			err = l.WithAll(ctx, tt.resources, tt.ttl, func(context.Context, *redlock.Lock) error { panic("called") }, nil, tt.opts...)
			require.ErrorIs(t, err, redlock.ErrInvalidArgument, tt.name)
			assert.ErrorContains(t, err, tt.want, tt.name)
		}
		_, err := new(redlock.Locker).LockAll(ctx, []string{"a", "b"}, rig.TTL)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		_, err = l.LockAll(nil, []string{"a", "b"}, rig.TTL) //nolint:staticcheck // a mistake that callers make
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		require.ErrorIs(t, l.WithAll(ctx, []string{"a", "b"}, rig.TTL, nil, nil), redlock.ErrInvalidArgument)
		assert.Zero(t, nodes[0].Commands())
		assert.Nil(t, new(redlock.Lock).Resources())
	})
}

func TestOverlappingSetsExcludeEachOtherAndLeaveTheRestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l, other := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
		k := rig.LockAll(t, l, "b", "a")
		for _, by := range []*redlock.Locker{l, other} {
			refuse(t, by, "b", "c")
			refuse(t, by, "c", "b")
			refuse(t, by, "a", "z")
			_, err := by.TryLock(t.Context(), "b", rig.TTL)
			require.ErrorIs(t, err, redlock.ErrContended)
			rig.LockOnce(t, by, "c")
			c := rig.LockAll(t, by, "d", "c")
			require.NoError(t, c.Unlock(t.Context()))
			synctest.Wait()
		}
		for _, n := range nodes {
			assert.ElementsMatch(t, []string{"a", "b"}, n.Keys())
		}
		single, err := other.Lock(t.Context(), "z", rig.TTL)
		require.NoError(t, err)
		refuse(t, l, "y", "z")
		require.NoError(t, single.Unlock(t.Context()))
		require.NoError(t, k.Unlock(t.Context()))
		rig.RequireFree(t, nodes...)
	})
}

func TestOneOfAThousandThatIsHeldKeepsTheOthersFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k, err := rig.NewLocker(t, nodes).Lock(t.Context(), many(1000)[999], time.Minute)
		require.NoError(t, err)
		synctest.Wait()
		refuse(t, l, many(1000)...)
		for _, n := range nodes {
			assert.Equal(t, k.Resources(), n.Keys())
		}
		_, err = l.LockAll(t.Context(), many(1000), rig.TTL, rig.OneTry)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, many(1000), e.Resources)
		assert.Contains(t, err.Error(), `"r0003" and 996 more: held by another`)
		assert.Greater(t, e.RetryAfter, 59*time.Second)
		assert.Equal(t, redlock.OpLock, e.Op)
	})
}

func TestNamesThatContainEachOtherOrBracesAreDifferentResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l, other := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
		names := []string{"a", "aa", "a:b", "{a}", "{a}b", "a}", "{", "}{", "{}", "a b", "\x00", "a\n", "{a}:redlock:other"}
		k := rig.LockAll(t, l, names...)
		requireHeld(t, k, nodes...)
		for _, free := range []string{"aaa", "{a", "b", "a:"} {
			rig.LockOnce(t, l, free)
		}
		for _, name := range names {
			_, err := other.TryLock(t.Context(), name, rig.TTL)
			require.ErrorIs(t, err, redlock.ErrContended, "%q", name)
		}
		require.NoError(t, k.Unlock(t.Context()))
		rig.RequireFree(t, nodes...)
	})
}

// A list of one name is a lock like any other: it waits in line, and its spans
// have the attribute of one resource.
func TestOneResourceThroughLockAllIsALockLikeAnyOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		holder := rig.Lock(t, rig.NewLocker(t, nodes))
		r := rig.NewRecorder()
		l := rig.NewLocker(t, nodes, r.Option())
		done := make(chan struct{})
		go func() {
			defer close(done)
			k, err := l.LockAll(t.Context(), []string{"a", "a"}, rig.TTL, rig.InTurn)
			if assert.NoError(t, err) {
				assert.Equal(t, []string{"a"}, k.Resources())
				assert.NoError(t, k.Unlock(context.Background()))
			}
		}()
		time.Sleep(100 * time.Millisecond)
		assert.Equal(t, 1, rig.Waiting(t, nodes), "is not in line")
		start := time.Now()
		require.NoError(t, holder.Unlock(t.Context()))
		<-done
		assert.Less(t, time.Since(start), 10*time.Millisecond, "was not called")
		for _, s := range r.Take() {
			if s.Name() != "redlock.attempt" {
				assert.Equal(t, "a", rig.Attributes(s)["redlock.resource"], s.Name())
			}
			assert.NotContains(t, rig.Attributes(s), "redlock.resources", s.Name())
		}
	})
}

func TestWithAllRunsWithAllResourcesAndReleasesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		want := errors.New("mine")
		var cause func() error
		err := l.WithAll(t.Context(), []string{"b", "a"}, rig.TTL, func(ctx context.Context, k *redlock.Lock) error {
			cause = func() error { return context.Cause(ctx) }
			requireHeld(t, k, nodes...)
			assert.Equal(t, []string{"a", "b"}, k.Resources())
			return want
		}, func(err error) { assert.NoError(t, err) })
		assert.Equal(t, want, err)
		require.ErrorIs(t, cause(), redlock.ErrUnlocked)
		assert.Panics(t, func() {
			_ = l.WithAll(t.Context(), []string{"b", "a"}, rig.TTL, func(context.Context, *redlock.Lock) error { panic("mine") }, nil)
		})
		rig.RequireFree(t, nodes...)
		// A majority loses one of the keys.
		var news error
		err = l.WithAll(t.Context(), []string{"b", "a"}, rig.TTL, func(context.Context, *redlock.Lock) error {
			synctest.Wait()
			nodes[0].Del("b")
			nodes[1].Del("a")
			return nil
		}, func(err error) { news = err })
		require.NoError(t, err, "it was valid by all that fn could know")
		require.ErrorIs(t, news, redlock.ErrLockLost)
		rig.RequireFree(t, nodes...)
	})
}

func TestTheErrorsOfALockOnSeveralNameAllOfThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k := rig.LockAll(t, l, "a", "b")
		ctx, cancel := k.Context(t.Context())
		defer cancel()
		require.NoError(t, k.Unlock(t.Context()))
		for _, err := range []error{context.Cause(ctx), k.Extend(t.Context(), rig.TTL)} {
			e, ok := errors.AsType[*redlock.LockError](err)
			require.True(t, ok)
			assert.Equal(t, []string{"a", "b"}, e.Resources)
			assert.Contains(t, err.Error(), `"a" "b"`)
		}
	})
}

func TestSpansOfALockOnSeveralResourcesNameThemAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		r := rig.NewRecorder()
		l := rig.NewLocker(t, nodes, r.Option(), redlock.WithAutoExtend(redlock.Forever))
		require.NoError(t, l.WithAll(t.Context(), []string{"b\xff", "a"}, rig.TTL, func(ctx context.Context, k *redlock.Lock) error {
			time.Sleep(rig.TTL / 2)
			return k.Extend(ctx, rig.TTL)
		}, nil))
		spans := r.Take()
		names := make([]string, len(spans))
		for i, s := range spans {
			names[i] = s.Name()
			if s.Name() != "redlock.attempt" {
				assert.Equal(t, []string{"a", "b\uFFFD"}, rig.Attributes(s)["redlock.resources"], s.Name())
			}
			assert.NotContains(t, rig.Attributes(s), "redlock.resource", s.Name())
		}
		slices.Sort(names)
		assert.Equal(t, []string{
			"redlock.attempt", "redlock.extend", "redlock.extend", "redlock.lock", "redlock.unlock", "redlock.with",
		}, names)
	})
}
