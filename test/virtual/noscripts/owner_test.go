package noscripts_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestWithoutScriptsARefusalNamesTheOwnerInspectTellsItAndBreakRemovesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		servers := modernize(t, nodes)
		k := rig.Lock(t, rig.NewLocker(t, nodes, redlock.WithoutScripts()), redlock.WithOwner("billing 7"))
		time.Sleep(2 * time.Second)
		l := rig.NewLocker(t, nodes, redlock.WithoutScripts())
		_, err := l.TryLock(t.Context(), "a", rig.TTL)
		require.ErrorIs(t, err, redlock.ErrContended)
		e, ok := errors.AsType[*redlock.LockError](err)
		require.True(t, ok)
		assert.Equal(t, redlock.Holder{Mark: k.Mark(), Owner: "billing 7", Since: e.HeldBy.Since}, e.HeldBy)
		assert.ErrorContains(t, err, "held by billing 7 since 2s ago, mark "+k.Mark()+", free in 8s at the latest unless extended: ")

		s, err := l.Inspect(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, e.HeldBy.Mark, s.Holder.Mark)
		assert.Equal(t, "billing 7", s.Holder.Owner)

		require.NoError(t, l.Break(t.Context(), "a", k.Mark()))
		synctest.Wait()
		rig.RequireFree(t, nodes...)
		require.ErrorIs(t, k.Extend(t.Context(), rig.TTL), redlock.ErrLockLost)
		for _, m := range servers {
			assert.Zero(t, m.ran(), "no script")
		}
	})
}
