package interop

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

func TestALockOfTheirsIsThatOfAnUnnamedHolderAndCanBeBroken(t *testing.T) {
	for _, theirs := range neighbours {
		t.Run(theirs.name, func(t *testing.T) {
			theirs.require(t)
			n := startNodes(t)
			s := scene{nodes: n, theirs: theirs.start(t, n.addrs()), key: "inspected"}
			s.lockTheirs(t, holderTTL)
			value := n.everywhere(t, s.key)
			l := s.newLocker(t)
			state, err := l.Inspect(t.Context(), s.key)
			require.NoError(t, err)
			t.Log(state)
			assert.Equal(t, redlock.VerdictHeld, state.Verdict)
			assert.Regexp(t, "^[0-9a-f]{8}$", state.Holder.Mark)
			assert.Equal(t, redlock.Holder{Mark: state.Holder.Mark}, state.Holder)
			assert.Greater(t, state.Remaining, holderTTL-patience)
			assert.LessOrEqual(t, state.Remaining, holderTTL)
			for _, node := range state.Nodes {
				assert.NoError(t, errors.Join(node.Err, node.PartErr))
				assert.Equal(t, state.Holder, node.Holder)
			}
			assert.NotContains(t, state.String(), value)

			_, err = l.TryLock(t.Context(), s.key, holderTTL)
			e, ok := errors.AsType[*redlock.LockError](err)
			require.True(t, ok)
			assert.Equal(t, state.Holder, e.HeldBy)
			assert.NotContains(t, err.Error(), value)

			require.NoError(t, l.Break(t.Context(), s.key, state.Holder.Mark))
			drain(t, l)
			n.nowhere(t, s.key, patience)
			require.Regexp(t, "^no ", s.theirs.ask(t, "extend %d", holderTTL.Milliseconds()))
		})
	}
}
