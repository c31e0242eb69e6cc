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

// Node 0 owes the answer to the release. Node 2 owed the one to the acquire when the release
// passed it.
func TestANodeWhereAnAcquireMayComeYetHasNotReleased(t *testing.T) {
	const ms, ttl = time.Millisecond, 10 * time.Second
	for name, came := range map[string]struct{ acquire, release time.Duration }{
		"after the release":      {400 * ms, 210 * ms},
		"before what it said to": {210 * ms, 220 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(
					script{{1, 0}, {1, 0}, {1, 0}, {1, 2000 * ms}, {1, 2000 * ms}, {1, 2000 * ms}},
					script{{1, 0}, {1, 0}, {1, 0}, {1, 200 * ms}},
					script{{1, 0}, {1, 0}, {1, came.acquire}, {-1, came.release}, {1, 410 * ms}},
				)
				ctx, limits := t.Context(), round.Limits{Timeout: 100 * ms, Wait: 100 * ms}
				acquire := func(resource string) *round.Grant {
					grant, res := f.Acquire(ctx, []string{resource}, resource, ttl, round.Plan{Gate: round.NoGate}, round.Fencing{}, limits)
					require.Equal(t, quorum.Acquired, res.Outcome)
					return grant
				}
				acquire("warm").Release(ctx, limits.Timeout, round.Pop)
				synctest.Wait()
				grant := acquire("a")
				time.Sleep(200 * ms)
				res := grant.Release(ctx, limits.Timeout, round.Pop).Wait(ctx)
				assert.Equal(t, quorum.Unanswered, res.Outcome)
				assert.Equal(t, 1, res.Agreed)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				assert.False(t, f.Owes())
			})
		})
	}
}
