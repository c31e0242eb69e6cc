package inspect_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

func TestBreakRemovesTheLockOfTheHolderWithThatMark(t *testing.T) {
	rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
		t.Helper()
		for _, n := range []int{1, 2, 3, 5} {
			nodes := rig.New(t, n)
			k := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithOwner("billing"))
			l := rig.NewLocker(t, nodes, opts...)
			start := time.Now()
			require.NoError(t, l.Break(t.Context(), "a", k.Mark()))
			assert.Zero(t, time.Since(start))
			synctest.Wait()
			rig.RequireFree(t, nodes...)
			assert.True(t, k.Valid(), "its holder does not know")
			require.NoError(t, l.Break(t.Context(), "a", k.Mark()), "again")
			require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrLockLost)
			assert.False(t, k.Valid())
			require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
		}
	})
}

func TestBreakDoesNothingToAnotherHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l, breaker := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
		old := rig.Lock(t, l)
		require.NoError(t, old.Unlock(t.Context()))
		synctest.Wait()
		k := rig.Lock(t, l, redlock.WithOwner("web 3"))
		time.Sleep(2 * time.Second)
		before := dump(t, nodes)
		err := breaker.Break(t.Context(), "a", old.Mark())
		require.ErrorIs(t, err, redlock.ErrOtherHolder)
		rig.RequireNoOtherKind(t, err, redlock.ErrOtherHolder)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, redlock.OpBreak, e.Op)
		assert.Equal(t, "other_holder", e.ErrorType())
		assert.Equal(t, redlock.Holder{Mark: k.Mark(), Owner: "web 3", Since: e.HeldBy.Since}, e.HeldBy)
		assert.EqualError(t, err, `redlock: break "a": another one holds it by now, web 3 since 2s ago, mark `+k.Mark())
		synctest.Wait()
		assert.Equal(t, before, dump(t, nodes))
		require.NoError(t, k.Unlock(t.Context()))
		require.NoError(t, breaker.Break(t.Context(), "a", old.Mark()), "nobody has it")
	})
}

func TestBreakRemovesWhatIsLeftOfALockThatAnotherOneHasBesideIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		old := rig.Lock(t, l)
		left := old.Value()
		require.NoError(t, old.Unlock(t.Context()))
		synctest.Wait()
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		require.NoError(t, nodes[1].Set("a", left))
		nodes[0].Slow(time.Millisecond)
		err := rig.NewLocker(t, nodes).Break(t.Context(), "a", old.Mark())
		require.ErrorIs(t, err, redlock.ErrOtherHolder)
		synctest.Wait()
		rig.RequireLocked(t, k, nodes[0], nodes[2])
		rig.RequireFree(t, nodes[1])
	})
}

func TestTheNextOneInLineRunsSoonAfterABreak(t *testing.T) {
	for _, slow := range []time.Duration{0, 10 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			nodes := rig.New(t, 3)
			k := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithOwner("hangs"))
			for _, n := range nodes {
				n.Slow(slow)
			}
			next := make(chan time.Time, 1)
			waiter := rig.NewLocker(t, nodes)
			var done sync.WaitGroup
			defer done.Wait()
			done.Go(func() {
				k, err := waiter.Lock(t.Context(), "a", rig.TTL, rig.InTurn)
				if assert.NoError(t, err) {
					next <- time.Now()
					assert.NoError(t, k.Unlock(t.Context()))
				}
			})
			time.Sleep(2 * time.Second)
			require.Equal(t, 1, rig.Waiting(t, nodes))
			breaker := rig.NewLocker(t, nodes)
			start := time.Now()
			require.NoError(t, breaker.Break(t.Context(), "a", k.Mark()))
			assert.Less(t, (<-next).Sub(start), 100*time.Millisecond)
		})
	}
}

func TestABreakThatTheMajorityDoesNotAnswerIsNoQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithOwner("billing"))
		breaker := rig.NewLocker(t, nodes)
		nodes[0].Freeze()
		nodes[1].Freeze()
		start := time.Now()
		err := breaker.Break(t.Context(), "a", k.Mark())
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		rig.RequireNoOtherKind(t, err, redlock.ErrNoQuorum)
		assert.LessOrEqual(t, time.Since(start), 2*time.Second)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Len(t, e.Nodes, 2)
		rig.RequireFree(t, nodes[2])
		nodes[0].Thaw() // what it was sent removes the value
		nodes[1].Thaw()
		time.Sleep(time.Second)
		rig.RequireFree(t, nodes...)
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
	})
}

func TestAFrozenMinorityHoldsUpNoBreakThatFindsTheHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithOwner("billing"))
		breaker := rig.NewLocker(t, nodes)
		nodes[1].Freeze()
		start := time.Now()
		require.NoError(t, breaker.Break(t.Context(), "a", k.Mark()))
		assert.Zero(t, time.Since(start))
		rig.RequireFree(t, nodes[0], nodes[2])
		nodes[1].Thaw()
		time.Sleep(time.Second)
		rig.RequireFree(t, nodes...)
	})
}

func TestABreakOfNothingThatIsKnownIsNoQuorumWhereMostNodesAreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		nodes[0].Freeze()
		nodes[1].Freeze()
		l := rig.NewLocker(t, nodes)
		start := time.Now()
		err := l.Break(t.Context(), "a", "3f9a1c02")
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.Equal(t, time.Second, time.Since(start))
		nodes[1].Thaw()
		time.Sleep(time.Second)
		require.NoError(t, l.Break(t.Context(), "a", "3f9a1c02"), "a majority has it not")
		nodes[0].Thaw()
	})
}

func TestABreakRemovesWhatOthersHavePutThereAndWhatHasNoExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		for _, value := range []string{"of another library", "", "x", strings.Repeat("y", 1<<20)} {
			for _, n := range nodes {
				require.NoError(t, n.Set("a", value))
			}
			s := look(t, l)
			nodes[0].SetError("LOADING while it is broken")
			require.NoError(t, l.Break(t.Context(), "a", s.Holder.Mark))
			nodes[0].SetError("")
			time.Sleep(10 * time.Second) // what is owed is tried again
			rig.RequireFree(t, nodes...)
		}
		// What is kept for the next one in line is no holder.
		for _, n := range nodes {
			require.NoError(t, n.Set("b", "redlock:next"))
		}
		s, err := l.Inspect(t.Context(), "b")
		require.NoError(t, err)
		assert.Zero(t, s.Holder)
		require.NoError(t, l.Break(t.Context(), "b", "a1111111"))
		for _, n := range nodes {
			n.Del("b")
			_, err := n.Push("c", "x")
			require.NoError(t, err)
		}
		err = l.Break(t.Context(), "c", "a1111111")
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		assert.ErrorContains(t, err, "WRONGTYPE")
	})
}

func TestABreakTakesOneResourceOfSeveralAndTheLockIsLostWhenItIsExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k, err := rig.NewLocker(t, nodes).LockAll(t.Context(), []string{"a", "b"}, rig.TTL, redlock.WithAutoExtend(redlock.Forever))
		require.NoError(t, err)
		ctx, cancel := k.Context(t.Context())
		defer cancel()
		synctest.Wait() // or the last node may be given it after the Break
		require.NoError(t, rig.NewLocker(t, nodes).Break(t.Context(), "a", k.Mark()))
		synctest.Wait()
		for _, n := range nodes {
			assert.False(t, n.Exists("a"))
			assert.True(t, n.Exists("b"))
		}
		require.NoError(t, ctx.Err())
		<-ctx.Done()
		require.ErrorIs(t, context.Cause(ctx), redlock.ErrLockLost)
		synctest.Wait()
		rig.RequireFree(t, nodes...)
	})
}

func TestALockOfTheSameLockerLearnsAtOnceThatItIsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k := rig.Lock(t, l)
		ctx, cancel := k.Context(t.Context())
		defer cancel()
		require.NoError(t, l.Break(t.Context(), "a", k.Mark()))
		synctest.Wait()
		require.ErrorIs(t, context.Cause(ctx), redlock.ErrLockLost)
		assert.False(t, k.Valid())
		require.NoError(t, rig.Lock(t, l).Unlock(t.Context()))
	})
}

func TestABreakEndsWithItsContextAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.Lock(t, rig.NewLocker(t, nodes))
		l := rig.NewLocker(t, nodes)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := l.Break(ctx, "a", k.Mark())
		require.ErrorIs(t, err, context.Canceled)
		rig.RequireNoOtherKind(t, err, context.Canceled)
		synctest.Wait()
		rig.RequireLocked(t, k, nodes...)
		rig.WarmUp(t, l)
		look(t, l)
		for _, n := range nodes {
			n.Slow(100 * time.Millisecond)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 150*time.Millisecond) // the reading takes 100
		defer cancel()
		err = l.Break(ctx, "a", k.Mark())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(time.Second)
		rig.RequireFree(t, nodes...)
	})
}

func TestBreakRefusesWhatCannotBeAMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		l := rig.NewLocker(t, nodes)
		k := rig.Lock(t, l)
		for _, mark := range []string{"", "next", "ZZZZZZZZ", k.Value(), strings.ToUpper("abcdef01"), k.Mark() + " "} {
			err := l.Break(t.Context(), "a", mark)
			require.ErrorIs(t, err, redlock.ErrInvalidArgument, "%q", mark)
		}
		for name, err := range map[string]error{
			"no resource": l.Break(t.Context(), "", k.Mark()),
			"no context":  l.Break(nil, "a", k.Mark()), //nolint:staticcheck // on purpose
			"zero Locker": new(redlock.Locker).Break(t.Context(), "a", k.Mark()),
		} {
			require.ErrorIs(t, err, redlock.ErrInvalidArgument, name)
		}
		rig.RequireLocked(t, k, nodes...)
		require.NoError(t, k.Unlock(t.Context()))
		require.NoError(t, l.Shutdown(t.Context()))
		require.ErrorIs(t, l.Break(t.Context(), "a", k.Mark()), redlock.ErrShutdown)
	})
}

func TestALockIsAskedForWhoeverHasBrokenIt(t *testing.T) {
	for name, next := range map[string]bool{"nobody has it": false, "another one has it": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := rig.New(t, 3)
				l, other := rig.NewLocker(t, nodes), rig.NewLocker(t, nodes)
				k := rig.Lock(t, l)
				ctx, cancel := k.Context(t.Context())
				defer cancel()
				require.NoError(t, other.Break(t.Context(), "a", k.Mark()))
				synctest.Wait()
				require.NoError(t, ctx.Err())
				if next {
					rig.Lock(t, other)
				}
				err := l.Break(t.Context(), "a", k.Mark()) // there is nothing to remove
				assert.Equal(t, next, errors.Is(err, redlock.ErrOtherHolder))
				synctest.Wait()
				assert.ErrorIs(t, context.Cause(ctx), redlock.ErrLockLost)
			})
		})
	}
}

// A key may be there for longer than a Duration can tell.
func TestABreakGoesOnForWhatLastsForCenturies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		for _, n := range nodes {
			require.NoError(t, n.Set("a", "of another library"))
			n.SetTTL("a", 292*365*24*time.Hour)
		}
		l := rig.NewLocker(t, nodes)
		s := look(t, l)
		nodes[2].Unreachable(true)
		require.NoError(t, l.Break(t.Context(), "a", s.Holder.Mark))
		time.Sleep(10 * time.Second)
		nodes[2].Unreachable(false)
		time.Sleep(20 * time.Second)
		rig.RequireFree(t, nodes...)
	})
}

// Nobody has asked that node for these locks here, so that there is no bound by that.
func TestBreaksOfManyLocksLeaveFewCallsAtANodeThatDoesNotAnswer(t *testing.T) {
	rig.Both(t, func(t *testing.T, opts ...redlock.Option) {
		t.Helper()
		nodes := rig.New(t, 3)
		holder := rig.NewLocker(t, nodes)
		marks := make(map[string]string)
		for i := range 200 {
			resource := strconv.Itoa(i)
			k, err := holder.Lock(t.Context(), resource, time.Hour)
			require.NoError(t, err)
			marks[resource] = k.Mark()
		}
		synctest.Wait()
		l := rig.NewLocker(t, nodes, opts...)
		rig.WarmUp(t, l)
		nodes[2].Freeze()
		most := 0
		for resource, mark := range marks {
			require.NoError(t, l.Break(t.Context(), resource, mark))
			if most == 0 {
				time.Sleep(2 * time.Second) // it is silent from here on
			}
			time.Sleep(10 * time.Millisecond)
			most = max(most, seam.OpenCalls(l))
		}
		assert.LessOrEqual(t, most, 64+16+5, "calls, reads, and tries of what is owed")
		nodes[2].Thaw()
		time.Sleep(time.Minute)
		rig.RequireFree(t, nodes...)
	})
}
