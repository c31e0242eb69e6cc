package redlock_test

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
		w.lock, err = l.LockAll(t.Context(), resources, ttl, opts...)
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

func unlock(t *testing.T, k *redlock.Lock) {
	t.Helper()
	require.NoError(t, k.Unlock(t.Context()))
	synctest.Wait()
}

func TestACallerForSeveralIsWokenWhenItsLockerUnlocksOneOfThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		for _, held := range [][]string{{"b"}, {"b", "x"}, {"a", "b", "c"}} {
			k := lockAll(t, l, held...)
			w := want(t, l, []string{"c", "b", "a"}, rarely...)
			time.Sleep(time.Second)
			require.False(t, w.has())
			unlock(t, k)
			require.True(t, w.has(), "%v", held)
			assert.Equal(t, time.Second, w.took)
			unlock(t, w.lock)
		}
		requireFree(t, nodes...)
	})
}

func TestACallerForSeveralHoldsNobodyUpWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		b := lockAll(t, l, "b")
		w := want(t, l, []string{"a", "b"}, rarely...)
		for range 3 {
			a := lockAll(t, l, "a")
			unlock(t, a)
			unlock(t, lockAll(t, l, "a", "c"))
		}
		require.False(t, w.has())
		unlock(t, b)
		require.True(t, w.has())
		unlock(t, w.lock)
	})
}

func TestCallersForOneWaitForTheEndOfALockOnSeveralAndAskNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		k := lockAll(t, l, "a", "b")
		before := commands(nodes)
		a, b := want(t, l, []string{"a"}, rarely...), want(t, l, []string{"b"}, rarely...)
		time.Sleep(time.Second)
		assert.Equal(t, before, commands(nodes))
		unlock(t, k)
		assert.True(t, a.has())
		assert.True(t, b.has())
	})
}

func TestEveryCallerForSeveralHasItsTurnToBeWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		b, a := lockAll(t, l, "b"), lockAll(t, l, "a")
		first := want(t, l, []string{"a", "b"}, rarely...)
		second, third := want(t, l, []string{"a", "c"}, rarely...), want(t, l, []string{"a", "d"}, rarely...)
		unlock(t, a) // b keeps the first one from going on
		require.True(t, second.has())
		unlock(t, second.lock)
		require.True(t, third.has())
		unlock(t, third.lock)
		require.False(t, first.has())
		unlock(t, b)
		require.True(t, first.has())
	})
}

// The lines of the resources are at several gates.
func TestTheReleaseOfSeveralCallsTheNextOneInEachOfTheirLines(t *testing.T) {
	for _, n := range []int{1, 3, 5} {
		t.Run(fmt.Sprint(n, " nodes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, n)
				k := lockAll(t, newLocker(t, nodes), many(16)...)
				gates := make(map[*node]bool)
				var waiters []*turn
				l := newLocker(t, nodes)
				for _, resource := range many(16)[:12] {
					waiters = append(waiters, want(t, l, []string{resource}, inTurn))
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
					unlock(t, w.lock)
				}
				requireNoLine(t, nodes)
			})
		})
	}
}

func TestTheReleaseOfSeveralLeavesAReservationOrAnothersKeyAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		k := lockAll(t, newLocker(t, nodes), "a", "b", "c")
		for _, resource := range []string{"a", "b", "c"} {
			_, err := nodes[0].ZAdd("{"+resource+"}:redlock:line", 1, "somebody")
			require.NoError(t, err)
		}
		require.NoError(t, nodes[0].Set("{a}:redlock:next", "another"))
		require.NoError(t, nodes[0].Set("b", "another"))
		ear := nodes[0].client.Subscribe(t.Context(), "redlock:somebody")
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
		nodes := newNodes(t, 1)
		require.NoError(t, nodes[0].Set("{a}:redlock:line", "no set"))
		_, err := nodes[0].Push("{b}:redlock:next", "no string")
		require.NoError(t, err)
		_, err = nodes[0].ZAdd("{c}:redlock:line", 1, "somebody")
		require.NoError(t, err)
		_, err = nodes[0].Push("{c}:redlock:next", "no string")
		require.NoError(t, err)
		k := lockAll(t, newLocker(t, nodes), "a", "b", "c")
		unlock(t, k)
		for _, resource := range k.Resources() {
			assert.False(t, nodes[0].Exists(resource), resource)
		}
	})
}

func TestACallerForSeveralFindsTheReleaseOfAnotherProcessByAskingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		k := lockAll(t, newLocker(t, nodes), "b")
		l := newLocker(t, nodes)
		w := want(t, l, []string{"a", "b"}, redlock.WithRetry(redlock.Forever, 100*time.Millisecond), redlock.WithJitter(0))
		time.Sleep(250 * time.Millisecond)
		for _, n := range nodes {
			assert.Equal(t, []string{"b"}, n.Keys(), "stands in a line, or holds a part")
		}
		unlock(t, k)
		require.False(t, w.has())
		<-w.done
		assert.Equal(t, 300*time.Millisecond, w.took)
		unlock(t, w.lock)
		requireFree(t, nodes...)
	})
}

func TestACallerForSeveralIsBoundedByItsOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		k, err := l.LockAll(t.Context(), []string{"a", "b"}, time.Minute)
		require.NoError(t, err)
		ab := []string{"b", "a"}

		start := time.Now()
		synctest.Wait()
		before := commands(nodes)
		_, err = l.LockAll(t.Context(), ab, ttl, redlock.WithRetry(3, time.Second), redlock.WithJitter(0))
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.Equal(t, 3*time.Second, time.Since(start))
		assert.Equal(t, before, commands(nodes), "its own Locker holds them")

		start = time.Now()
		_, err = newLocker(t, nodes).LockAll(t.Context(), ab, ttl, redlock.WithRetry(3, time.Second), redlock.WithJitter(0))
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.Equal(t, 3*time.Second, time.Since(start))
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, 4, e.Attempts)

		start = time.Now()
		_, err = l.LockAll(t.Context(), ab, ttl, redlock.WithMaxWait(2*time.Second))
		require.ErrorIs(t, err, redlock.ErrContended)
		assert.LessOrEqual(t, time.Since(start), 2*time.Second)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = newLocker(t, nodes).LockAll(ctx, ab, ttl, rarely...)
		require.ErrorIs(t, err, redlock.ErrContended)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = l.LockAll(ctx, ab, ttl, rarely...)
		require.ErrorIs(t, err, redlock.ErrNotAcquired)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		before = commands(nodes)
		_, err = l.LockAll(ctx, ab, ttl)
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, before, commands(nodes))
		unlock(t, k)
		requireFree(t, nodes...)
	})
}

func TestShutdownEndsTheWaitForSeveralAndWaitsForALockOnThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l := newLocker(t, nodes)
		k := lockAll(t, l, "a", "b")
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := l.LockAll(context.Background(), []string{"b", "c"}, ttl, rarely...)
			assert.ErrorIs(t, err, redlock.ErrShutdown)
		})
		synctest.Wait()
		over := make(chan error)
		go func() { over <- l.Shutdown(context.Background()) }()
		wg.Wait()
		_, err := l.LockAll(t.Context(), []string{"x", "y"}, ttl)
		require.ErrorIs(t, err, redlock.ErrShutdown)
		require.NoError(t, k.Extend(t.Context(), ttl))
		unlock(t, k)
		require.NoError(t, <-over)
		requireFree(t, nodes...)
	})
}

func TestWithoutWaitingLineALockOnSeveralTouchesNoLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 1)
		_, err := nodes[0].ZAdd(lineOfA, 1, "somebody")
		require.NoError(t, err)
		unlock(t, lockAll(t, newLocker(t, nodes, redlock.WithoutWaitingLine()), "a", "b"))
		assert.Equal(t, []string{lineOfA}, nodes[0].Keys())
		unlock(t, lockAll(t, newLocker(t, nodes), "a", "b"))
		assert.Empty(t, nodes[0].Keys(), "nobody listens for somebody, who has died")
	})
}

// Another call of the Locker has found one of them contended a moment ago, so that the
// gates may have called somebody.
func TestAGateThatIsFrozenCostsACallForSeveralLittleAndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := newNodes(t, 3)
		l, other := newLocker(t, nodes), newLocker(t, nodes)
		for i, n := range nodes {
			holder := lockAll(t, other, "a")
			_, err := l.TryLock(t.Context(), "a", ttl)
			require.ErrorIs(t, err, redlock.ErrContended)
			unlock(t, holder)
			n.freeze()
			start := time.Now()
			k, err := l.LockAll(t.Context(), []string{"a", "b"}, ttl, oneTry)
			require.NoError(t, err)
			assert.LessOrEqual(t, time.Since(start), 25*time.Millisecond, "waits for node %d", i)
			require.NoError(t, k.Unlock(t.Context()))
			start = time.Now()
			k, err = l.LockAll(t.Context(), []string{"a", "b"}, ttl, oneTry)
			require.NoError(t, err)
			assert.Zero(t, time.Since(start), "waits for node %d again", i)
			n.thaw()
			unlock(t, k)
		}
	})
}
