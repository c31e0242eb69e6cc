package faults_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

const owner = "billing-7f9c pid 4242"

// inspect returns what another process is told of "k" while so many nodes are frozen. The
// others may be slow to answer on a busy machine.
func inspect(t *testing.T, on *rig.Real, frozen int) (s redlock.State) {
	t.Helper()
	l, err := redlock.New(on.NewClients(t, rig.Hang), redlock.WithNodeTimeout(rig.Silence))
	require.NoError(t, err)
	require.True(t, rig.Poll(rig.Patience, func() bool {
		s, err = l.Inspect(t.Context(), "k")
		require.NoError(t, err)
		away := 0
		for _, n := range s.Nodes {
			if n.Err != nil {
				away++
			}
		}
		return away == frozen
	}), "%v", s)
	t.Log(s)
	return s
}

func TestInspectTellsTheStoryOfEachNode(t *testing.T) {
	on := rig.NewReal(t, 3)
	l := on.Locker(t)
	lock, err := l.Lock(t.Context(), "k", rig.LongTTL, redlock.WithOwner(owner), redlock.WithFencing(time.Hour))
	require.NoError(t, err)
	rig.DrainCalls(t, l)
	requireHeld := func(s redlock.State, nodes ...int) {
		t.Helper()
		for _, i := range nodes {
			n := s.Nodes[i]
			require.NoError(t, errors.Join(n.Err, n.PartErr))
			assert.Equal(t, redlock.Holder{Mark: lock.Mark(), Owner: owner, Since: n.Holder.Since}, n.Holder)
			assert.WithinDuration(t, time.Now(), n.Holder.Since, rig.Patience)
			assert.Greater(t, n.Remaining, rig.LongTTL-rig.Patience)
			assert.LessOrEqual(t, n.Remaining, rig.LongTTL)
			assert.Equal(t, lock.Token(), n.Token)
			assert.Equal(t, on.Servers[i].Addr(), n.Addr)
		}
	}
	s := inspect(t, on, 0)
	assert.Equal(t, redlock.VerdictHeld, s.Verdict)
	requireHeld(s, 0, 1, 2)

	on.Servers[1].Freeze()
	s = inspect(t, on, 1)
	assert.Equal(t, redlock.VerdictHeld, s.Verdict)
	assert.Equal(t, owner, s.Holder.Owner)
	assert.Equal(t, lock.Token(), s.Token)
	requireHeld(s, 0, 2)
	require.ErrorContains(t, s.Nodes[1].Err, on.Servers[1].Addr()+"): inspect: no answer within 1s")

	on.Servers[2].Restart() // without its data
	s = inspect(t, on, 1)
	assert.Equal(t, redlock.VerdictUnknown, s.Verdict, "node 2 decides")
	assert.Equal(t, owner, s.Holder.Owner, "who may have it")
	requireHeld(s, 0)
	require.Error(t, s.Nodes[1].Err)
	require.NoError(t, s.Nodes[2].Err)
	assert.Zero(t, s.Nodes[2].Holder)

	on.Servers[1].Thaw()
	s = inspect(t, on, 0)
	assert.Equal(t, redlock.VerdictHeld, s.Verdict)
	requireHeld(s, 0, 1)
	text, err := json.Marshal(s)
	require.NoError(t, err)
	assert.NotContains(t, string(text)+s.String(), lock.Value()[:8])
	require.NoError(t, lock.Unlock(t.Context()))
	rig.DrainCalls(t, l)
	assert.Equal(t, redlock.VerdictFree, inspect(t, on, 0).Verdict)
}

func TestInspectKnowsTheHolderOfAMajorityBesideAFrozenAndAnEmptyNode(t *testing.T) {
	on := rig.NewReal(t, 5)
	l := on.Locker(t)
	lock, err := l.Lock(t.Context(), "k", rig.LongTTL, redlock.WithOwner(owner))
	require.NoError(t, err)
	rig.DrainCalls(t, l)
	on.Servers[0].Freeze()
	on.Servers[3].Restart()
	s := inspect(t, on, 1)
	assert.Equal(t, redlock.VerdictHeld, s.Verdict)
	assert.Equal(t, lock.Mark(), s.Holder.Mark)
	require.Error(t, s.Nodes[0].Err)
	assert.Zero(t, s.Nodes[3].Holder)
	on.Servers[0].Thaw()
	require.NoError(t, lock.Unlock(t.Context()))
}

// A Break whose replies are lost, or that a node is not up to, removes the lock all the same.
func TestABreakGetsThroughWhateverBecomesOfTheReplies(t *testing.T) {
	on := rig.NewReal(t, 3)
	l := on.Locker(t)
	lock, err := l.Lock(t.Context(), "k", rig.LongTTL, redlock.WithOwner(owner))
	require.NoError(t, err)
	rig.DrainCalls(t, l)
	breaker, err := redlock.New(on.NewClients(t, rig.Hang), redlock.WithNodeTimeout(rig.Silence))
	require.NoError(t, err)
	on.Servers[0].Freeze()
	require.True(t, rig.Poll(rig.Patience, func() bool { // on a busy machine it may have to be called again
		err := breaker.Break(t.Context(), "k", lock.Mark())
		if !errors.Is(err, redlock.ErrNoQuorum) {
			require.NoError(t, err)
		}
		return err == nil
	}))
	assert.Equal(t, []string{"", ""}, []string{on.Get(t, 1, "k"), on.Get(t, 2, "k")})
	on.Servers[0].Thaw()
	require.True(t, rig.Poll(rig.Patience, func() bool { return on.Get(t, 0, "k") == "" }), "its release is owed")
	require.ErrorIs(t, lock.Extend(t.Context(), rig.LongTTL), redlock.ErrLockLost)
}
