package round_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// Node 0 has granted, and owes the answer to the command that raises its counter. That one puts no
// value anywhere. Node 2 owes the answer to the release.
func TestANodeWhereACounterMayBeRaisedYetHasReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms, ttl = time.Millisecond, 10 * time.Second
		f := newFleet(
			script{{5, 0}, {7, 2000 * ms}, {1, 200 * ms}, {1, 2100 * ms}},
			script{{7, 0}, {1, 200 * ms}},
			script{{7, 10 * ms}, {1, 2000 * ms}, {1, 2000 * ms}, {1, 2000 * ms}},
		)
		ctx, limits := t.Context(), round.Limits{Timeout: 100 * ms, Wait: 100 * ms}
		grant, res := f.Acquire(ctx, []string{"a"}, "value", ttl, round.Plan{Gate: round.NoGate}, round.Fencing{Keep: time.Hour, Proposal: 1}, limits)
		require.Equal(t, quorum.Acquired, res.Outcome)
		require.EqualValues(t, 7, grant.Token())
		time.Sleep(190 * ms)
		res = grant.Release(ctx, limits.Timeout, round.Pop).Wait(ctx)
		assert.Equal(t, quorum.Released, res.Outcome, "%v", res.Failures)
		assert.Equal(t, 2, res.Agreed)
		time.Sleep(3 * time.Second)
		synctest.Wait()
	})
}
