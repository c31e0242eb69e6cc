package several_test

import (
	"context"
	"errors"
	"math"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// The life of a lock on several resources, of which nodes lose some.

func TestANodeThatHasLostOneKeyDoesNotCountAndGetsItBackAfterASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.LockAll(t, rig.NewLocker(t, nodes), "a", "b")
		time.Sleep(time.Second)
		nodes[0].Del("b")
		require.NoError(t, k.Extend(t.Context(), 2*rig.TTL))
		requireHeld(t, k, nodes...)
		for i, n := range nodes {
			for _, resource := range []string{"a", "b"} {
				// One that was still there lasts as long as the lock is valid.
				assert.GreaterOrEqual(t, n.TTL(resource), time.Until(k.Until()), "node %d, %q", i, resource)
			}
		}
		// What was put back counts from here on: another node may lose its key.
		nodes[1].Del("a")
		require.NoError(t, k.Extend(t.Context(), 2*rig.TTL))
		requireHeld(t, k, nodes...)
	})
}

func TestALockIsLostWhenAMajorityHasLostSomeKeyOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		for _, n := range []int{2, 16, 1000} {
			names := many(n)
			k := rig.LockAll(t, l, names...)
			ctx, cancel := k.Context(t.Context())
			nodes[0].Del(names[0])
			nodes[1].Del(names[n-1])
			err := k.Extend(t.Context(), rig.TTL)
			require.ErrorIs(t, err, redlock.ErrLockLost)
			require.ErrorIs(t, context.Cause(ctx), redlock.ErrLockLost)
			cancel()
			rig.RequireFree(t, nodes...) // also of the keys that were still there
		}
	})
}

func TestAKeyThatAnotherOneHasTakenOnAMinorityIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		k := rig.LockAll(t, rig.NewLocker(t, nodes), "a", "b")
		require.NoError(t, nodes[0].Set("b", "another"))
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
		synctest.Wait()
		nodes[0].CheckGet(t, "b", "another")
		require.NoError(t, k.Unlock(t.Context()))
		synctest.Wait()
		nodes[0].CheckGet(t, "b", "another")
		assert.Equal(t, []string{"b"}, nodes[0].Keys())
		rig.RequireFree(t, nodes[1:]...)
	})
}

func TestAMinorityWithAnothersKeyIsLeftAloneAndGetsNoPartOfTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		require.NoError(t, nodes[2].Set("b", "another"))
		k := rig.LockAll(t, rig.NewLocker(t, nodes), "a", "b", "c")
		requireHeld(t, k, nodes[:2]...)
		assert.Equal(t, []string{"b"}, nodes[2].Keys(), "has a part of the lock")
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
		synctest.Wait()
		assert.Equal(t, []string{"b"}, nodes[2].Keys(), "has a part of the lock")
		require.NoError(t, k.Unlock(t.Context()))
		rig.RequireFree(t, nodes[:2]...)
		nodes[2].CheckGet(t, "b", "another")
	})
}

func TestAnUnlockThatFindsOneKeyMissingOnAMajorityReportsTheLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k := rig.LockAll(t, l, "a", "b")
		nodes[0].Del("a")
		require.NoError(t, k.Unlock(t.Context()), "a majority had all of it")
		rig.RequireFree(t, nodes...)
		k = rig.LockAll(t, l, "a", "b")
		nodes[0].Del("a")
		nodes[1].Del("b")
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
		rig.RequireFree(t, nodes...)
	})
}

func TestAKeyOfAnotherTypeFailsTheNodeAndKeepsTheOthersFromNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		_, err := nodes[0].Push("b", "x")
		require.NoError(t, err)
		k := rig.LockAll(t, rig.NewLocker(t, nodes), "a", "b", "c")
		requireHeld(t, k, nodes[1:]...)
		assert.Equal(t, []string{"b"}, nodes[0].Keys())
		// It turns into one while the lock is held.
		nodes[1].Del("b")
		_, err = nodes[1].Push("b", "x")
		require.NoError(t, err)
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrNoQuorum, "two nodes cannot tell")
		synctest.Wait()
		assert.Equal(t, []string{"b"}, nodes[1].Keys(), "the other keys stayed")
		rig.RequireFree(t, nodes[2])
	})
}

func TestALockOnSeveralLivesThroughTheRestartOfEveryNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithAutoExtend(redlock.Forever))
		k := rig.LockAll(t, l, many(16)...)
		for _, n := range nodes {
			n.Stop()
			time.Sleep(time.Second)
			n.Restart()
			time.Sleep(rig.TTL)
			requireHeld(t, k, nodes...)
		}
		require.True(t, k.Valid())
		refuse(t, rig.NewLocker(t, nodes), "r0007", "other")
		require.NoError(t, k.Unlock(t.Context()))
		rig.RequireFree(t, nodes...)
	})
}

func TestALockOnSeveralRunsOutAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		k := rig.LockAll(t, l, "a", "b")
		ctx, cancel := k.Context(t.Context())
		defer cancel()
		time.Sleep(rig.TTL - rig.Drift)
		<-ctx.Done()
		require.ErrorIs(t, context.Cause(ctx), redlock.ErrLockLost)
		time.Sleep(rig.Drift)
		rig.RequireFree(t, nodes...)
		rig.LockAll(t, l, "b", "c")
		require.ErrorIs(t, k.Unlock(t.Context()), redlock.ErrLockLost)
	})
}

func TestOneTokenIsAboveTheCountersOfAllResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithFencing(time.Hour))
		ahead := time.Now().Add(time.Hour).UnixMicro() // no clock is above it
		for _, n := range nodes {
			require.NoError(t, n.Set("{b}:redlock:token", strconv.FormatInt(ahead, 10)))
		}
		k := rig.LockAll(t, l, "c", "a", "b")
		assert.Equal(t, ahead+1, k.Token())
		require.NoError(t, k.Extend(t.Context(), rig.TTL))
		synctest.Wait()
		for i, n := range nodes {
			for _, resource := range []string{"a", "b", "c"} {
				value, err := n.Get("{" + resource + "}:redlock:token")
				require.NoError(t, err)
				assert.Equal(t, strconv.FormatInt(k.Token(), 10), value, "node %d, %q", i, resource)
			}
		}
		require.NoError(t, k.Unlock(t.Context()))
		last := make(map[string]int64)
		for _, resource := range k.Resources() {
			last[resource] = k.Token()
		}
		for _, resources := range [][]string{{"a"}, {"c", "d"}, {"a", "d"}, {"b"}, {"a", "b", "c", "d"}} {
			k := rig.LockAll(t, l, resources...)
			for _, resource := range resources {
				assert.Greater(t, k.Token(), last[resource], "%q of %v", resource, resources)
				last[resource] = k.Token()
			}
			require.NoError(t, k.Unlock(t.Context()))
			synctest.Wait()
		}
	})
}

func TestCountersThatDifferAmongNodesAreBroughtToOneTokenForAllResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithFencing(redlock.Forever))
		ahead := time.Now().Add(time.Hour).UnixMicro()
		for i, n := range nodes {
			require.NoError(t, n.Set("{"+many(16)[i]+"}:redlock:token", strconv.FormatInt(ahead+int64(100*i), 10)))
		}
		k := rig.LockAll(t, l, many(16)...)
		stand := make(map[string]int)
		for _, n := range nodes {
			for _, resource := range many(16) {
				value, err := n.Get("{" + resource + "}:redlock:token")
				require.NoError(t, err)
				if value == strconv.FormatInt(k.Token(), 10) {
					stand[resource]++
				}
			}
		}
		for _, resource := range many(16) {
			assert.GreaterOrEqual(t, stand[resource], 2, resource)
		}
	})
}

func TestACounterAtItsEndEndsTheTokensOfAllThatNeedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes, redlock.WithFencing(time.Hour))
		for _, n := range nodes {
			require.NoError(t, n.Set("{b}:redlock:token", strconv.FormatInt(1<<53-1, 10)))
		}
		_, err := l.LockAll(t.Context(), []string{"a", "b"}, rig.TTL, rig.OneTry)
		require.ErrorIs(t, err, redlock.ErrTokenLimit)
		synctest.Wait()
		for _, n := range nodes {
			assert.Equal(t, []string{"{b}:redlock:token"}, n.Keys(), "a part of the lock, or a counter")
		}
	})
}

func TestMetricAttributesAreThoseOfTheFirstResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		var asked []string
		l := rig.NewLocker(t, nodes, redlock.WithMetricAttributes(func(resource string) []attribute.KeyValue {
			asked = append(asked, resource)
			return nil
		}))
		rig.LockAll(t, l, "c", "b", "d")
		assert.Equal(t, []string{"b"}, asked)
	})
}

func TestAutomaticExtensionKeepsAllKeysUpToItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		err := l.WithAll(t.Context(), many(16), rig.TTL, func(ctx context.Context, k *redlock.Lock) error {
			time.Sleep(3 * rig.TTL)
			requireHeld(t, k, nodes...)
			<-ctx.Done()
			return errors.New("mine")
		}, nil, redlock.WithAutoExtend(4*rig.TTL))
		require.ErrorIs(t, err, redlock.ErrHoldLimit)
		rig.RequireFree(t, nodes...)
	})
}

func TestATtlThatIsLongBeyondReasonDoesNotOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 1)
		k, err := rig.NewLocker(t, nodes).LockAll(t.Context(), []string{"a", "b"}, time.Duration(math.MaxInt64/4))
		require.NoError(t, err)
		require.NoError(t, k.Unlock(t.Context()))
	})
}
