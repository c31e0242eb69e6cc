package round_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// Node 1 says to the first round, while the second one goes on, that it has nothing.
func TestAnExtensionIsLostOnceALateVoteToAnEarlierRoundSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms, ttl = time.Millisecond, 10 * time.Second
		f := newFleet(
			script{{1, 0}, {-1, 0}},
			script{{1, 0}, {-1, 250 * ms}, {-1, 2000 * ms}},
			script{{1, 0}, {1, 2000 * ms}, {1, 2000 * ms}},
		)
		ctx, wall := t.Context(), new(clock.Clock)
		limits := round.Limits{Timeout: 100 * ms, Wait: 100 * ms}
		grant, res := f.Acquire(ctx, []string{"a"}, "value", ttl, round.Plan{Gate: round.NoGate}, round.Fencing{}, limits)
		require.Equal(t, quorum.Acquired, res.Outcome)
		synctest.Wait()
		_, res = grant.Extend(ctx, wall.Now(), ttl, limits)
		require.Equal(t, quorum.Unknown, res.Outcome)
		time.Sleep(100 * ms)
		_, res = grant.Extend(ctx, wall.Now(), ttl, limits)
		assert.Equal(t, 2, grant.Gone())
		assert.Equal(t, quorum.Lost, res.Outcome)
		time.Sleep(3 * time.Second)
		synctest.Wait()
	})
}
