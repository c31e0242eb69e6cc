package errors_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// The client panics at such a length, on a goroutine that is not the caller's.
func TestAReplyOfAnImpossibleLengthIsATypedError(t *testing.T) {
	for _, raw := range []string{"$9223372036854775806\r\n", "*9223372036854775807\r\n", "~99999999999999\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			on := newBadRig(t, badFleet{nodes: 3, bad: 2})
			on.says = &answer{raw: raw}
			on.turnBad()
			_, err := on.locker.TryLock(t.Context(), "a", rig.TTL)
			require.ErrorIs(t, err, redlock.ErrNoQuorum)
			n, ok := errors.AsType[*redlock.NodeError](err)
			require.True(t, ok)
			require.Equal(t, "panic", n.ErrorType())
			on.shutdown(t)
			rig.RequireFree(t, on.servers...)
		})
	}
}
