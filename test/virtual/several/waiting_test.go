package several_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// rarely tries again so late that nothing but a wake-up explains an earlier lock.
var rarely = []redlock.LockOption{redlock.WithRetry(redlock.Forever, time.Hour), redlock.WithJitter(0)}

// A turn is a lock that somebody is to get.
type turn struct {
	done chan struct{}
	lock *redlock.Lock
	took time.Duration // since it was wanted
}

// want has l lock resources in the background.
func want(t *testing.T, l *redlock.Locker, resources []string, opts ...redlock.LockOption) *turn {
	t.Helper()
	w, start := &turn{done: make(chan struct{})}, time.Now()
	go func() {
		defer close(w.done)
		var err error
		w.lock, err = l.LockAll(t.Context(), resources, rig.TTL, opts...)
		assert.NoError(t, err)
		w.took = time.Since(start)
	}()
	synctest.Wait()
	return w
}

func (w *turn) has() bool {
	synctest.Wait()
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

func TestACallerForSeveralIsWokenWhenItsLockerUnlocksOneOfThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		for _, held := range [][]string{{"b"}, {"b", "x"}, {"a", "b", "c"}} {
			k := rig.LockAll(t, l, held...)
			w := want(t, l, []string{"c", "b", "a"}, rarely...)
			time.Sleep(time.Second)
			require.False(t, w.has())
			rig.Unlock(t, k)
			require.True(t, w.has(), "%v", held)
			assert.Equal(t, time.Second, w.took)
			rig.Unlock(t, w.lock)
		}
		rig.RequireFree(t, nodes...)
	})
}

func TestACallerForSeveralHoldsNobodyUpWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		b := rig.LockAll(t, l, "b")
		w := want(t, l, []string{"a", "b"}, rarely...)
		for range 3 {
			a := rig.LockAll(t, l, "a")
			rig.Unlock(t, a)
			rig.Unlock(t, rig.LockAll(t, l, "a", "c"))
		}
		require.False(t, w.has())
		rig.Unlock(t, b)
		require.True(t, w.has())
		rig.Unlock(t, w.lock)
	})
}

func TestCallersForOneWaitForTheEndOfALockOnSeveralAndAskNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k := rig.LockAll(t, l, "a", "b")
		before := rig.Commands(nodes)
		a, b := want(t, l, []string{"a"}, rarely...), want(t, l, []string{"b"}, rarely...)
		time.Sleep(time.Second)
		assert.Equal(t, before, rig.Commands(nodes))
		rig.Unlock(t, k)
		assert.True(t, a.has())
		assert.True(t, b.has())
	})
}

func TestEveryCallerForSeveralHasItsTurnToBeWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		b, a := rig.LockAll(t, l, "b"), rig.LockAll(t, l, "a")
		first := want(t, l, []string{"a", "b"}, rarely...)
		second, third := want(t, l, []string{"a", "c"}, rarely...), want(t, l, []string{"a", "d"}, rarely...)
		rig.Unlock(t, a) // b keeps the first one from going on
		require.True(t, second.has())
		rig.Unlock(t, second.lock)
		require.True(t, third.has())
		rig.Unlock(t, third.lock)
		require.False(t, first.has())
		rig.Unlock(t, b)
		require.True(t, first.has())
	})
}

// The lines of the resources are at several gates.
func TestTheReleaseOfSeveralCallsTheNextOneInEachOfTheirLines(t *testing.T) {
	for _, n := range []int{1, 3, 5} {
		t.Run(fmt.Sprint(n, " nodes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, n)
				k := rig.LockAll(t, rig.NewLocker(t, nodes), many(16)...)
				gates := make(map[*rig.Node]bool)
				var waiters []*turn
				l := rig.NewLocker(t, nodes)
				for _, resource := range many(16)[:12] {
					waiters = append(waiters, want(t, l, []string{resource}, rig.InTurn))
				}
				time.Sleep(time.Second)
				for _, node := range nodes {
					for _, resource := range many(16) {
						if node.Exists("{" + resource + "}:redlock:line") {
							gates[node] = true
						}
					}
				}
				assert.Len(t, gates, n, "some node keeps no line")
				start := time.Now()
				require.NoError(t, k.Unlock(t.Context()))
				for i, w := range waiters {
					<-w.done
					assert.Less(t, time.Since(start), 10*time.Millisecond, many(16)[i])
					rig.Unlock(t, w.lock)
				}
				rig.RequireNoLine(t, nodes)
			})
		})
	}
}

func TestTheReleaseOfSeveralLeavesAReservationOrAnothersKeyAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		k := rig.LockAll(t, rig.NewLocker(t, nodes), "a", "b", "c")
		for _, resource := range []string{"a", "b", "c"} {
			_, err := nodes[0].ZAdd("{"+resource+"}:redlock:line", 1, "somebody")
			require.NoError(t, err)
		}
		require.NoError(t, nodes[0].Set("{a}:redlock:next", "another"))
		require.NoError(t, nodes[0].Set("b", "another"))
		ear := nodes[0].Client.Subscribe(t.Context(), "redlock:somebody")
		_, err := ear.Receive(t.Context())
		require.NoError(t, err)
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
		synctest.Wait()
		nodes[0].CheckGet(t, "{a}:redlock:next", "another")
		assert.True(t, nodes[0].Exists("{a}:redlock:line"))
		assert.False(t, nodes[0].Exists("{b}:redlock:next"))
		assert.True(t, nodes[0].Exists("{b}:redlock:line"))
		nodes[0].CheckGet(t, "{c}:redlock:next", "somebody")
		assert.False(t, nodes[0].Exists("{c}:redlock:line"))
		require.NoError(t, ear.Close())
	})
}

func TestWrongDataInALineKeepsNoLockOnSeveralFromGoing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		require.NoError(t, nodes[0].Set("{a}:redlock:line", "no set"))
		_, err := nodes[0].Push("{b}:redlock:next", "no string")
		require.NoError(t, err)
		_, err = nodes[0].ZAdd("{c}:redlock:line", 1, "somebody")
		require.NoError(t, err)
		_, err = nodes[0].Push("{c}:redlock:next", "no string")
		require.NoError(t, err)
		k := rig.LockAll(t, rig.NewLocker(t, nodes), "a", "b", "c")
		rig.Unlock(t, k)
		for _, resource := range k.Resources() {
			assert.False(t, nodes[0].Exists(resource), resource)
		}
	})
}

func TestACallerForSeveralFindsTheReleaseOfAnotherProcessByAskingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.LockAll(t, rig.NewLocker(t, nodes), "b")
		l := rig.NewLocker(t, nodes)
		w := want(t, l, []string{"a", "b"}, redlock.WithRetry(redlock.Forever, 100*time.Millisecond), redlock.WithJitter(0))
		time.Sleep(250 * time.Millisecond)
		for _, n := range nodes {
			assert.Equal(t, []string{"b"}, n.Keys(), "stands in a line, or holds a part")
		}
		rig.Unlock(t, k)
		require.False(t, w.has())
		<-w.done
		assert.Equal(t, 300*time.Millisecond, w.took)
		rig.Unlock(t, w.lock)
		rig.RequireFree(t, nodes...)
	})
}

func TestACallerForSeveralIsBoundedByItsOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k, err := l.LockAll(t.Context(), []string{"a", "b"}, time.Minute)
		require.NoError(t, err)
		ab := []string{"b", "a"}

		start := time.Now()
		synctest.Wait()
		before := rig.Commands(nodes)
		_, err = l.LockAll(t.Context(), ab, rig.TTL, redlock.WithRetry(3, time.Second), redlock.WithJitter(0))
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.Equal(t, 3*time.Second, time.Since(start))
		assert.Equal(t, before, rig.Commands(nodes), "its own Locker holds them")

		start = time.Now()
		_, err = rig.NewLocker(t, nodes).LockAll(t.Context(), ab, rig.TTL, redlock.WithRetry(3, time.Second), redlock.WithJitter(0))
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.Equal(t, 3*time.Second, time.Since(start))
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, 4, e.Attempts)

		start = time.Now()
		_, err = l.LockAll(t.Context(), ab, rig.TTL, redlock.WithMaxWait(2*time.Second))
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.LessOrEqual(t, time.Since(start), 2*time.Second)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = rig.NewLocker(t, nodes).LockAll(ctx, ab, rig.TTL, rarely...)
		require.ErrorIs(t, err, redlock.ErrContended)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = l.LockAll(ctx, ab, rig.TTL, rarely...)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		before = rig.Commands(nodes)
		_, err = l.LockAll(ctx, ab, rig.TTL)
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, before, rig.Commands(nodes))
		rig.Unlock(t, k)
		rig.RequireFree(t, nodes...)
	})
}

func TestShutdownEndsTheWaitForSeveralAndWaitsForALockOnThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k := rig.LockAll(t, l, "a", "b")
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := l.LockAll(context.Background(), []string{"b", "c"}, rig.TTL, rarely...)
			assert.ErrorIs(t, err, redlock.ErrShutdown)
		})
		synctest.Wait()
		over := make(chan error)
		go func() { over <- l.Shutdown(context.Background()) }()
		wg.Wait()
		_, err := l.LockAll(t.Context(), []string{"x", "y"}, rig.TTL)
		require.ErrorIs(t, err, redlock.ErrShutdown)
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
		rig.Unlock(t, k)
		require.NoError(t, <-over)
		rig.RequireFree(t, nodes...)
	})
}

func TestWithoutWaitingLineALockOnSeveralTouchesNoLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		_, err := nodes[0].ZAdd(rig.LineOfA, 1, "somebody")
		require.NoError(t, err)
		rig.Unlock(t, rig.LockAll(t, rig.NewLocker(t, nodes, redlock.WithoutWaitingLine()), "a", "b"))
		assert.Equal(t, []string{rig.LineOfA}, nodes[0].Keys())
		rig.Unlock(t, rig.LockAll(t, rig.NewLocker(t, nodes), "a", "b"))
		assert.Empty(t, nodes[0].Keys(), "nobody listens for somebody, who has died")
	})
}

// Another call of the Locker has found one of them contended a moment ago, so that the
// gates may have called somebody.
func TestAGateThatIsFrozenCostsACallForSeveralLittleAndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l, other := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
		for i, n := range nodes {
			holder := rig.LockAll(t, other, "a")
			_, err := l.TryLock(t.Context(), "a", rig.TTL)
			require.ErrorIs(t, err, redlock.ErrContended)
			rig.Unlock(t, holder)
			n.Freeze()
			start := time.Now()
			k, err := l.LockAll(t.Context(), []string{"a", "b"}, rig.TTL, rig.OneTry)
			require.NoError(t, err)
			assert.LessOrEqual(t, time.Since(start), 25*time.Millisecond, "waits for node %d", i)
			require.NoError(t, k.Unlock(t.Context()))
			start = time.Now()
			k, err = l.LockAll(t.Context(), []string{"a", "b"}, rig.TTL, rig.OneTry)
			require.NoError(t, err)
			assert.Zero(t, time.Since(start), "waits for node %d again", i)
			n.Thaw()
			rig.Unlock(t, k)
		}
	})
}
