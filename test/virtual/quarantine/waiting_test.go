package quarantine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// There is no line while the node that keeps it grants nothing, which may be for long.
func TestCallsPollAsTheyDoWithoutALineWhileTheGateGrantsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := rig.New(t, 3)
		gate, _ := rig.FindGate(t, nodes)
		for _, u := range newUptimes(t, nodes) {
			if u.Node == gate {
				u.restart()
			}
		}
		sent := func(opts ...redlock.Option) int {
			opts = append(opts, redlock.WithRestartQuarantine(time.Hour-time.Minute))
			l := rig.NewLocker(t, nodes, opts...)
			k := rig.Lock(t, l)
			defer rig.Unlock(t, k)
			before := rig.Sent(nodes)
			other := rig.NewLocker(t, nodes, opts...)
			require.ErrorIs(t, rig.Err(other.Lock(t.Context(), "a", rig.TTL)), redlock.ErrContended)
			return rig.Sent(nodes) - before
		}
		assert.Less(t, sent(), 2*sent(redlock.WithoutWaitingLine()))
	})
}
