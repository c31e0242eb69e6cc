package redlock_test

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
)

// lockAll locks resources for ttl and lets all nodes answer that can.
func lockAll(t *testing.T, l *redlock.Locker, resources ...string) *redlock.Lock {
	t.Helper()
	k, err := l.LockAll(t.Context(), resources, ttl)
	require.NoError(t, err)
	synctest.Wait()
	return k
}

// requireHeld checks that each of k's resources has its value on these nodes, and
// that no resource beside them has one.
func requireHeld(t *testing.T, k *redlock.Lock, nodes ...*node) {
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
	_, err := l.LockAll(t.Context(), resources, ttl, oneTry)
	require.ErrorIs(t, err, redlock.ErrContended)
	synctest.Wait()
}

// oneTry makes one attempt.
var oneTry = redlock.WithRetry(0, 0)

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
				nodes := newNodes(t, 3)
				l := newLocker(t, nodes)
				k := lockAll(t, l, many(n)...)
				assert.Equal(t, many(n), k.Resources())
				assert.Equal(t, "r0000", k.Resource())
				requireHeld(t, k, nodes...)
				for _, node := range nodes {
					assert.Len(t, node.Keys(), n)
					assert.Equal(t, ttl, node.TTL(many(n)[n-1]))
				}
				time.Sleep(time.Second)
				require.NoError(t, k.Extend(t.Context(), 2*ttl))
				synctest.Wait()
				for _, resource := range many(n) {
					require.Equal(t, 2*ttl, nodes[2].TTL(resource), resource)
				}
				require.NoError(t, k.Unlock(t.Context()))
				requireFree(t, nodes...)
				lockAll(t, l, many(n)...)
			})
		})
	}
}

func TestTheListOfResourcesIsSortedWithoutDuplicatesAndStaysTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		list := []string{"c", "a", "b", "a", "c"}
		k := lockAll(t, l, list...)
		assert.Equal(t, []string{"c", "a", "b", "a", "c"}, list, "LockAll has changed the caller's list")
		for i := range list {
			list[i] = "x"
		}
		assert.Equal(t, []string{"a", "b", "c"}, k.Resources())
		k.Resources()[0] = "x"
		assert.Equal(t, []string{"a", "b", "c"}, k.Resources())
		_, err := l.LockAll(t.Context(), k.Resources(), ttl, oneTry)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		e.Resources[0] = "x"
		require.NoError(t, k.Extend(t.Context(), ttl))
		require.NoError(t, k.Unlock(t.Context()))
		e, ok = errors.AsType[*redlock.LockError](k.Extend(t.Context(), ttl))
		require.True(t, ok)
		e.Resources[0] = "x"
		assert.Equal(t, []string{"a", "b", "c"}, k.Resources())
		requireFree(t, nodes...)
	})
}

func TestAListThatCannotBeLockedIsRejectedBeforeAnythingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		l := newLocker(t, nodes)
		ctx := t.Context()
		for _, tt := range []struct {
			name      string
			resources []string
			ttl       time.Duration
			opts      []redlock.LockOption
			want      string
		}{
			{"nil", nil, ttl, nil, "no resources"},
			{"empty", []string{}, ttl, nil, "no resources"},
			{"an empty name", []string{"a", "", "b"}, ttl, nil, "resource 2 of 3 is empty"},
			{"only an empty name", []string{""}, ttl, nil, "resource 1 of 1 is empty"},
			{"a ttl that is too short", []string{"a", "b"}, 10, nil, "ttl 10ns"},
			{"a bad option", []string{"a", "b"}, ttl, []redlock.LockOption{redlock.WithMaxWait(-1)}, "WithMaxWait"},
			{"the counter of another", []string{"{a}:redlock:token", "a"}, ttl, nil, `"{a}:redlock:token" is a key that belongs to resource "a"`},
			{"the line of another", []string{"{a}b:redlock:line", "{a}b"}, ttl, nil, "is a key that belongs to"},
			{"the reservation of another", []string{"x", "{x}:redlock:next"}, ttl, nil, "is a key that belongs to"},
			{"a name that can have no token", []string{"a", "b}"}, ttl, []redlock.LockOption{redlock.WithFencing(time.Hour)}, `"b}" cannot have a fencing token`},
		} {
			_, err := l.LockAll(ctx, tt.resources, tt.ttl, tt.opts...)
			require.ErrorIs(t, err, redlock.ErrInvalidArgument, tt.name)
			require.NotErrorIs(t, err, redlock.ErrNotAcquired, tt.name)
			assert.ErrorContains(t, err, tt.want, tt.name)
			err = l.WithAll(ctx, tt.resources, tt.ttl, func(context.Context, *redlock.Lock) error { panic("called") }, nil, tt.opts...)
			require.ErrorIs(t, err, redlock.ErrInvalidArgument, tt.name)
			assert.ErrorContains(t, err, tt.want, tt.name)
		}
		_, err := new(redlock.Locker).LockAll(ctx, []string{"a", "b"}, ttl)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		_, err = l.LockAll(nil, []string{"a", "b"}, ttl) //nolint:staticcheck // a mistake that callers make
		require.ErrorIs(t, err, redlock.ErrInvalidArgument)
		require.ErrorIs(t, l.WithAll(ctx, []string{"a", "b"}, ttl, nil, nil), redlock.ErrInvalidArgument)
		assert.Zero(t, nodes[0].commands())
		assert.Nil(t, new(redlock.Lock).Resources())
	})
}

func TestOverlappingSetsExcludeEachOtherAndLeaveTheRestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l, other := newLocker(t, nodes), newLocker(t, nodes)
		k := lockAll(t, l, "b", "a")
		for _, by := range []*redlock.Locker{l, other} {
			refuse(t, by, "b", "c")
			refuse(t, by, "c", "b")
			refuse(t, by, "a", "z")
			_, err := by.TryLock(t.Context(), "b", ttl)
			require.ErrorIs(t, err, redlock.ErrContended)
			lockOnce(t, by, "c")
			c := lockAll(t, by, "d", "c")
			require.NoError(t, c.Unlock(t.Context()))
			synctest.Wait()
		}
		for _, n := range nodes {
			assert.ElementsMatch(t, []string{"a", "b"}, n.Keys())
		}
		single, err := other.Lock(t.Context(), "z", ttl)
		require.NoError(t, err)
		refuse(t, l, "y", "z")
		require.NoError(t, single.Unlock(t.Context()))
		require.NoError(t, k.Unlock(t.Context()))
		requireFree(t, nodes...)
	})
}

func TestOneOfAThousandThatIsHeldKeepsTheOthersFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		k, err := newLocker(t, nodes).Lock(t.Context(), many(1000)[999], time.Minute)
		require.NoError(t, err)
		synctest.Wait()
		refuse(t, l, many(1000)...)
		for _, n := range nodes {
			assert.Equal(t, k.Resources(), n.Keys())
		}
		_, err = l.LockAll(t.Context(), many(1000), ttl, oneTry)
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
		nodes := newNodes(t, 3)
		l, other := newLocker(t, nodes), newLocker(t, nodes)
		names := []string{"a", "aa", "a:b", "{a}", "{a}b", "a}", "{", "}{", "{}", "a b", "\x00", "a\n", "{a}:redlock:other"}
		k := lockAll(t, l, names...)
		requireHeld(t, k, nodes...)
		for _, free := range []string{"aaa", "{a", "b", "a:"} {
			lockOnce(t, l, free)
		}
		for _, name := range names {
			_, err := other.TryLock(t.Context(), name, ttl)
			require.ErrorIs(t, err, redlock.ErrContended, "%q", name)
		}
		require.NoError(t, k.Unlock(t.Context()))
		requireFree(t, nodes...)
	})
}

// A list of one name is a lock like any other: it waits in line, and its spans
// have the attribute of one resource.
func TestOneResourceThroughLockAllIsALockLikeAnyOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		holder := lock(t, newLocker(t, nodes))
		r := newRecorder()
		l := newLocker(t, nodes, r.option())
		done := make(chan struct{})
		go func() {
			defer close(done)
			k, err := l.LockAll(t.Context(), []string{"a", "a"}, ttl, inTurn)
			if assert.NoError(t, err) {
				assert.Equal(t, []string{"a"}, k.Resources())
				assert.NoError(t, k.Unlock(context.Background()))
			}
		}()
		time.Sleep(100 * time.Millisecond)
		assert.Equal(t, 1, waiting(t, nodes), "is not in line")
		start := time.Now()
		require.NoError(t, holder.Unlock(t.Context()))
		<-done
		assert.Less(t, time.Since(start), 10*time.Millisecond, "was not called")
		for _, s := range r.take() {
			if s.Name() != "redlock.attempt" {
				assert.Equal(t, "a", attributes(s)["redlock.resource"], s.Name())
			}
			assert.NotContains(t, attributes(s), "redlock.resources", s.Name())
		}
	})
}

func TestWithAllRunsWithAllResourcesAndReleasesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		want := errors.New("mine")
		var cause func() error
		err := l.WithAll(t.Context(), []string{"b", "a"}, ttl, func(ctx context.Context, k *redlock.Lock) error {
			cause = func() error { return context.Cause(ctx) }
			requireHeld(t, k, nodes...)
			assert.Equal(t, []string{"a", "b"}, k.Resources())
			return want
		}, func(err error) { assert.NoError(t, err) })
		assert.Equal(t, want, err)
		require.ErrorIs(t, cause(), redlock.ErrUnlocked)
		assert.Panics(t, func() {
			_ = l.WithAll(t.Context(), []string{"b", "a"}, ttl, func(context.Context, *redlock.Lock) error { panic("mine") }, nil)
		})
		requireFree(t, nodes...)
		// A majority loses one of the keys.
		var news error
		err = l.WithAll(t.Context(), []string{"b", "a"}, ttl, func(context.Context, *redlock.Lock) error {
			synctest.Wait()
			nodes[0].Del("b")
			nodes[1].Del("a")
			return nil
		}, func(err error) { news = err })
		require.NoError(t, err, "it was valid by all that fn could know")
		require.ErrorIs(t, news, redlock.ErrLockLost)
		requireFree(t, nodes...)
	})
}

func TestTheErrorsOfALockOnSeveralNameAllOfThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		k := lockAll(t, l, "a", "b")
		ctx, cancel := k.Context(t.Context())
		defer cancel()
		require.NoError(t, k.Unlock(t.Context()))
		for _, err := range []error{context.Cause(ctx), k.Extend(t.Context(), ttl)} {
			e, ok := errors.AsType[*redlock.LockError](err)
			require.True(t, ok)
			assert.Equal(t, []string{"a", "b"}, e.Resources)
			assert.Contains(t, err.Error(), `"a" "b"`)
		}
	})
}

func TestSpansOfALockOnSeveralResourcesNameThemAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		r := newRecorder()
		l := newLocker(t, nodes, r.option(), redlock.WithAutoExtend(redlock.Forever))
		require.NoError(t, l.WithAll(t.Context(), []string{"b\xff", "a"}, ttl, func(ctx context.Context, k *redlock.Lock) error {
			time.Sleep(ttl / 2)
			return k.Extend(ctx, ttl)
		}, nil))
		spans := r.take()
		names := make([]string, len(spans))
		for i, s := range spans {
			names[i] = s.Name()
			if s.Name() != "redlock.attempt" {
				assert.Equal(t, []string{"a", "b\uFFFD"}, attributes(s)["redlock.resources"], s.Name())
			}
			assert.NotContains(t, attributes(s), "redlock.resource", s.Name())
		}
		slices.Sort(names)
		assert.Equal(t, []string{
			"redlock.attempt", "redlock.extend", "redlock.extend", "redlock.lock", "redlock.unlock", "redlock.with",
		}, names)
	})
}
