package several_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// waitBeside has one Locker wait for "a" beside another one that is nearer, and locks the set
// again and again. The node that keeps the line answers that much later than the others.
func waitBeside(t *testing.T, later time.Duration, set ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		gate, _ := rig.FindGate(t, nodes)
		near, far := rig.NewLocker(t, nodes), rig.NewLocker(t, rig.FarFrom(t, nodes, 3*time.Millisecond))
		rig.WarmUp(t, near)
		rig.WarmUp(t, far)
		for _, n := range nodes {
			n.Slow(time.Millisecond)
		}
		gate.Slow(time.Millisecond + later)
		stop, stopped := make(chan struct{}), make(chan struct{})
		var turns atomic.Int64
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
				}
				k, err := near.LockAll(t.Context(), set, rig.TTL, redlock.WithRetry(redlock.Forever, 20*time.Millisecond))
				if !assert.NoError(t, err) {
					return
				}
				time.Sleep(5 * time.Millisecond)
				turns.Add(1)
				assert.NoError(t, k.Unlock(t.Context()))
			}
		}()
		time.Sleep(100 * time.Millisecond)
		start, before := time.Now(), turns.Load()
		k, err := far.Lock(t.Context(), "a", rig.TTL, redlock.WithRetry(redlock.Forever, 400*time.Millisecond), redlock.WithMaxWait(30*time.Second))
		t.Log("waited", time.Since(start), "turns of the other meanwhile", turns.Load()-before, err)
		close(stop)
		assert.NoError(t, err)
		assert.LessOrEqual(t, turns.Load()-before, int64(10), "turns of the other, which came later each time")
		if err == nil {
			require.NoError(t, k.Unlock(t.Context()))
		}
		<-stopped
		time.Sleep(time.Minute)
	})
}

func TestOneInLineHasItsTurnBesideLocksOnOne(t *testing.T)     { waitBeside(t, 0, "a") }
func TestOneInLineHasItsTurnBesideLocksOnSeveral(t *testing.T) { waitBeside(t, 0, "a", "b") }

// The other two nodes are a majority: so each Unlock returns before the release has said that
// somebody is next, and each Lock before it is refused in favour of that one.
func TestOneInLineHasItsTurnThoughItsGateAnswersLast(t *testing.T) {
	waitBeside(t, 500*time.Microsecond, "a")
}

func TestACallerForSeveralIsWokenThoughAnotherOneWaitsForMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		b, a := rig.LockAll(t, l, "b"), rig.LockAll(t, l, "a")
		first := want(t, l, []string{"a", "b"}, rarely...)
		second := want(t, l, []string{"a", "c"}, rarely...)
		rig.Unlock(t, a) // b keeps the first one from going on
		assert.True(t, second.has(), "a and c are free, and nobody has told it")
		rig.Unlock(t, b)
		require.False(t, first.has())
		rig.Unlock(t, second.lock)
		require.True(t, first.has())
		rig.Unlock(t, first.lock)
	})
}

// The first one is told, and its ctx ends while it asks: nobody is told instead.
func TestAWakeUpIsPassedOnByWhoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		a := rig.LockAll(t, l, "a", "b")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		first := make(chan error, 1)
		go func() {
			_, err := l.LockAll(ctx, []string{"a", "b"}, rig.TTL, rarely...)
			first <- err
		}()
		synctest.Wait()
		second := want(t, l, []string{"a", "b"}, rarely...)
		for _, n := range nodes {
			n.Slow(5 * time.Millisecond)
		}
		time.AfterFunc(7*time.Millisecond, cancel) // its attempt is under way
		rig.Unlock(t, a)
		require.ErrorIs(t, <-first, context.Canceled)
		time.Sleep(time.Second)
		assert.True(t, second.has(), "both are free for a second, and nobody has told it")
		<-second.done
		rig.Unlock(t, second.lock)
	})
}

// The lock begins before the caller for several asks, and ends while it asks: that
// is when it is refused, and nobody tells it that the reason has gone.
func TestACallerForSeveralIsToldOfALockThatEndsWhileItAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		rig.Unlock(t, rig.LockAll(t, l, "a", "b")) // loads the scripts
		for _, n := range nodes {
			n.Slow(10 * time.Millisecond)
		}
		go func() {
			k, err := l.Lock(t.Context(), "a", rig.TTL)
			if assert.NoError(t, err) {
				assert.NoError(t, k.Unlock(t.Context())) // a section that takes no time
			}
		}()
		time.Sleep(time.Millisecond)
		w := want(t, l, []string{"a", "b"}, rarely...)
		time.Sleep(time.Second)
		require.True(t, w.has(), "both are free for a second, and nobody has told it")
		rig.Unlock(t, w.lock)
	})
}

// Two callers that came first ask in vain again and again for what another process
// has. What the third one wants is free.
func TestACallerForSeveralHasItsTurnBesideThoseThatCameFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		k, err := rig.NewLocker(t, nodes).Lock(t.Context(), "x", time.Hour)
		require.NoError(t, err)
		for _, n := range nodes {
			n.Slow(10 * time.Millisecond)
		}
		for range 2 {
			go func() {
				_, err := l.LockAll(t.Context(), []string{"a", "x"}, rig.TTL, redlock.WithRetry(redlock.Forever, 5*time.Millisecond), redlock.WithMaxWait(time.Minute))
				assert.ErrorIs(t, err, redlock.ErrContended)
			}()
		}
		time.Sleep(100 * time.Millisecond)
		w, err := l.LockAll(t.Context(), []string{"a", "b"}, rig.TTL, redlock.WithRetry(redlock.Forever, 5*time.Millisecond), redlock.WithMaxWait(10*time.Second))
		assert.NoError(t, err, "both are free all the time")
		if err == nil {
			assert.NoError(t, w.Unlock(t.Context()))
		}
		time.Sleep(2 * time.Minute)
		require.NoError(t, k.Unlock(t.Context()))
	})
}
