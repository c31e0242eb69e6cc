package leader_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/leader"
	"github.com/b0401464/redlock/test/rig"
)

func TestCurrentTellsWhoLeadsAndWhenNobodyDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		h, err := leader.Current(t.Context(), l, name)
		require.NoError(t, err)
		assert.Zero(t, h, "nobody")

		p := runOn(t, rig.NewLocker(t, nodes, redlock.WithOwner("billing-1")), untilOver)
		term := <-p.terms
		_ = runOn(t, rig.NewLocker(t, nodes, redlock.WithOwner("billing-2")), untilOver)
		time.Sleep(time.Minute)
		h, err = leader.Current(t.Context(), l, name)
		require.NoError(t, err)
		assert.Equal(t, "billing-1", h.Owner)
		assert.Equal(t, term.Mark, h.Mark)
		assert.WithinDuration(t, term.Since, h.Since, time.Second)
	})
}

func TestCurrentSaysWhenTooFewNodesTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		<-runFor(t, nodes, untilOver).terms
		synctest.Wait() // all three have granted it
		nodes[1].Stop()
		h, err := leader.Current(t.Context(), l, name)
		require.NoError(t, err)
		assert.NotEmpty(t, h.Mark, "two of three tell the same")

		nodes[2].Freeze()
		h, err = leader.Current(t.Context(), l, name)
		rig.RequireNoOtherKind(t, err, redlock.ErrNoQuorum)
		assert.Zero(t, h)
		n, ok := errors.AsType[*redlock.NodeError](err)
		require.True(t, ok)
		assert.Equal(t, 2, n.Node)
		assert.NotContains(t, err.Error(), "\n")
	})
}

func TestCurrentTakesNoMinorityForALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		for i, n := range nodes {
			require.NoError(t, n.Set(name, []string{"x", "y", "z"}[i]))
		}
		h, err := leader.Current(t.Context(), l, name)
		require.NoError(t, err)
		assert.Zero(t, h)
	})
}

func TestCurrentFailsAsInspectDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		l := rig.NewLocker(t, nodes)
		require.ErrorIs(t, rig.Err(leader.Current(t.Context(), l, "")), redlock.ErrInvalidArgument)
		require.ErrorIs(t, rig.Err(leader.Current(t.Context(), nil, name)), redlock.ErrInvalidArgument)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, rig.Err(leader.Current(ctx, l, name)), context.Canceled)
		require.NoError(t, l.Shutdown(t.Context()))
		require.ErrorIs(t, rig.Err(leader.Current(t.Context(), l, name)), redlock.ErrShutdown)
	})
}
