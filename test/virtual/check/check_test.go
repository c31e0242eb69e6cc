package check_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/memory"
	"github.com/b0401464/redlock/test/rig"
)

const (
	ttl     = 10 * time.Second
	timeout = time.Second // the node timeout for that
)

// requireNothingLeft requires that the nodes hold no key.
func requireNothingLeft(t *testing.T, nodes ...*rig.Node) {
	t.Helper()
	for i, n := range nodes {
		require.Empty(t, n.Keys(), "node %d", i+1)
	}
}

// count returns how many findings have a code.
func count(r redlock.Report, code redlock.Code) (n int) {
	for _, f := range r.Findings {
		if f.Code == code {
			n++
		}
	}
	return n
}

// newNodes returns nodes that know IFEQ.
func newNodes(t *testing.T, n int) []*rig.Node {
	t.Helper()
	nodes := rig.New(t, n)
	rig.WarmUp(t, rig.NewLocker(t, nodes))
	for _, n := range nodes {
		n.Server().SetPreHook(func(c *server.Peer, cmd string, args ...string) bool {
			return memory.SetIfEq(n.Miniredis, c, cmd, args)
		})
	}
	return nodes
}

func TestCheckOfNodesThatAreWellTakesNoTimeAndLeavesNothing(t *testing.T) {
	for name, opts := range map[string][]redlock.Option{
		"as it is": nil, "with tokens": {redlock.WithFencing(time.Hour)}, "in batches": {redlock.WithAutoPipeline()}, "without lines": {redlock.WithoutWaitingLine()},
		"without scripts": {redlock.WithoutScripts()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := newNodes(t, 3)
				l := rig.NewLocker(t, nodes, opts...)
				began := time.Now()
				r, err := l.Check(t.Context(), ttl)
				require.NoError(t, err)
				assert.Zero(t, time.Since(began))
				assert.Equal(t, ttl, r.TTL)
				assert.Equal(t, timeout, r.NodeTimeout)
				require.Len(t, r.Nodes, 3)
				for _, n := range r.Nodes {
					assert.True(t, n.Locks)
				}
				require.Equal(t, 3, count(r, redlock.CodeNoInfo), "miniredis does not tell much: %v", r)
				require.Len(t, r.Findings, 3, "%v", r)
				requireNothingLeft(t, nodes...)
			})
		})
	}
}

func TestCheckReturnsWithinFourNodeTimeoutsWhateverHangs(t *testing.T) {
	// Whatever number of requests a node answers before it hangs.
	for answers := range 16 {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 3)
			l := rig.NewLocker(t, nodes)
			var sent atomic.Int64
			nodes[1].OnSend(func() {
				if sent.Add(1) > int64(answers) {
					nodes[1].Freeze()
				}
			})
			began := time.Now()
			r, err := l.Check(t.Context(), ttl)
			require.NoError(t, err)
			assert.LessOrEqual(t, time.Since(began), 4*timeout)
			assert.True(t, sent.Load() > int64(answers) || r.Worst() == redlock.SeverityNote, "nothing was wrong: %v", r)
			assert.True(t, answers > 9 || r.Worst() > redlock.SeverityNote, "after %d answers: %v", answers, r)
			assert.True(t, r.Nodes[0].Locks && r.Nodes[2].Locks)
			nodes[1].OnSend(nil)
			nodes[1].Thaw()
			require.NoError(t, l.Shutdown(t.Context()))
			time.Sleep(10 * time.Second)
			requireNothingLeft(t, nodes...)
		})
	}
}

func TestCheckDoesNotWaitLongForNodesThatAnswerNothing(t *testing.T) {
	for _, frozen := range []int{1, 2, 3} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 3)
			l := rig.NewLocker(t, nodes)
			for _, n := range nodes[:frozen] {
				n.Freeze()
			}
			began := time.Now()
			r, err := l.Check(t.Context(), ttl)
			require.NoError(t, err)
			assert.Equal(t, 2*timeout, time.Since(began), "a node that has not answered at all is not waited for any longer")
			assert.Equal(t, frozen, count(r, redlock.CodeNoAnswer), "%v", r)
			assert.Equal(t, frozen > 1, count(r, redlock.CodeNoMajority) == 1)
			require.Len(t, r.Nodes, 3)
			assert.True(t, frozen == 3 || r.Nodes[2].Locks)
			for _, n := range nodes {
				n.Thaw()
			}
			require.NoError(t, l.Shutdown(t.Context()))
			time.Sleep(10 * time.Second)
			requireNothingLeft(t, nodes...)
		})
	}
}

func TestCheckIsOverAfterFourNodeTimeoutsOfNodesThatAreSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		rig.WarmUp(t, l)
		nodes[1].Slow(900 * time.Millisecond)
		began := time.Now()
		r, err := l.Check(t.Context(), ttl)
		require.NoError(t, err)
		assert.Equal(t, 4*timeout, time.Since(began))
		assert.Equal(t, 1, count(r, redlock.CodeIncomplete), "%v", r)
		assert.Equal(t, 1, count(r, redlock.CodeFar))
		assert.True(t, r.Nodes[0].Locks)
		nodes[1].Slow(0)
		require.NoError(t, l.Shutdown(t.Context()))
		time.Sleep(10 * time.Second)
		requireNothingLeft(t, nodes...)
	})
}

func TestCheckHasTimeForNodesAsFarAsTheNodeTimeoutAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		for _, n := range nodes {
			n.Slow(timeout / 4)
		}
		l := rig.NewLocker(t, nodes)
		began := time.Now()
		r, err := l.Check(t.Context(), ttl)
		require.NoError(t, err)
		assert.LessOrEqual(t, time.Since(began), 4*timeout)
		assert.Zero(t, count(r, redlock.CodeIncomplete)+count(r, redlock.CodeFar)+count(r, redlock.CodeNoAnswer), "%v", r)
		assert.Equal(t, timeout/4, r.Nodes[0].RoundTrip)
		requireNothingLeft(t, nodes...)
	})
}

func TestCheckEndsWithItsContextAndTellsWhatItKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		nodes[2].Freeze()
		ctx, cancel := context.WithTimeout(t.Context(), timeout/2)
		defer cancel()
		began := time.Now()
		r, err := l.Check(ctx, ttl)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, timeout/2, time.Since(began))
		require.Len(t, r.Nodes, 3)
		assert.True(t, r.Nodes[0].Locks)
		assert.Equal(t, 1, count(r, redlock.CodeIncomplete))
		synctest.Wait()
		requireNothingLeft(t, nodes...)
		nodes[2].Thaw()

		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		sent := rig.Sent(nodes)
		r, err = l.Check(ctx, ttl)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "redlock: check: ")
		assert.Empty(t, r.Findings)
		assert.Equal(t, sent, rig.Sent(nodes))
	})
}

func TestShutdownEndsCheckAndWaitsForItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		nodes[0].Freeze()
		over := make(chan error, 1)
		go func() {
			r, err := l.Check(t.Context(), ttl)
			assert.Len(t, r.Nodes, 1)
			over <- err
		}()
		synctest.Wait()
		ended, began := make(chan error, 1), time.Now()
		go func() { ended <- l.Shutdown(t.Context()) }()
		require.ErrorIs(t, <-over, redlock.ErrShutdown)
		assert.Zero(t, time.Since(began))
		synctest.Wait()
		require.Empty(t, ended, "a call is under way")
		nodes[0].Thaw()
		require.NoError(t, <-ended)
		_, err := l.Check(t.Context(), ttl)
		require.ErrorIs(t, err, redlock.ErrShutdown)
		time.Sleep(10 * time.Second)
		requireNothingLeft(t, nodes...)
	})
}

func TestCheckOfWhatCannotBeLockedIsAnError(t *testing.T) {
	locker, err := redlock.New([]redlock.Client{rig.Stub{}})
	require.NoError(t, err)
	for name, check := range map[string]func() error{
		"nil Locker":  func() error { return rig.Err((*redlock.Locker)(nil).Check(t.Context(), ttl)) },
		"zero Locker": func() error { return rig.Err(new(redlock.Locker).Check(t.Context(), ttl)) },
		"nil context": func() error { return rig.Err(locker.Check(nil, ttl)) }, //nolint:staticcheck // that is the point
		"no ttl":      func() error { return rig.Err(locker.Check(t.Context(), 0)) },
		"short ttl":   func() error { return rig.Err(locker.Check(t.Context(), 2*time.Millisecond)) },
	} {
		require.ErrorIs(t, check(), redlock.ErrInvalidArgument, name)
	}
}

func TestCheckStandsClientsThatMisbehave(t *testing.T) {
	for name, do := range map[string]func(context.Context, redis.Cmder) error{
		"panics":         func(context.Context, redis.Cmder) error { panic("no") },
		"ends goroutine": func(context.Context, redis.Cmder) error { runtime.Goexit(); return nil },
		"fails":          func(context.Context, redis.Cmder) error { return errors.New("no") },
		"sets nothing":   func(context.Context, redis.Cmder) error { return nil },
		"says anything": func(_ context.Context, cmd redis.Cmder) error {
			cmd.(interface{ SetVal(any) }).SetVal([]any{[]any{}, map[any]any{}, nil})
			return nil
		},
		"answers by two": func(_ context.Context, cmd redis.Cmder) error {
			cmd.(interface{ SetVal(any) }).SetVal([]any{int64(1), nil})
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, err := redlock.New([]redlock.Client{rig.CustomClient{Do: do}})
				require.NoError(t, err)
				began := time.Now()
				r, err := l.Check(t.Context(), ttl)
				require.NoError(t, err)
				assert.LessOrEqual(t, time.Since(began), 4*timeout)
				assert.Equal(t, redlock.SeverityBroken, r.Worst(), "%v", r)
				assert.False(t, r.Nodes[0].Locks)
				require.NoError(t, l.Shutdown(t.Context()))
			})
		})
	}
}
