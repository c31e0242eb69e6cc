package round

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/quorum"
)

// The process stood still for more than half the node timeout between the place of an acquire and its
// call. The place is given up, and the answer comes soon after.
func TestAnAcquireThatWasGivenUpSoonAfterItWasSentDoesNotCountAsOneThatMayComeYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 100 * time.Millisecond
		slow := &fake{answer: func(i int, set func(val any)) error {
			if i == 0 {
				time.Sleep(timeout * 45 / 100)
			}
			return saysYes(i, set)
		}}
		nodes := slow.nodes()
		g := newGrant(nodes, []string{"a"}, newTestValue)
		g.commands.Acquires(time.Minute, false)
		votes := make(chan filed, 1)
		places := g.series.Take(lane.Acquire, timeout, nil)
		time.Sleep(timeout * 60 / 100)
		g.send(t.Context(), g.commands.Acquire, places, &acquiring{g, nodes.Clock.Now(), votes})
		<-votes
		time.Sleep(time.Second)
		res := g.Release(t.Context(), timeout, Pop).Wait(t.Context())
		assert.Equal(t, quorum.Released, res.Outcome)
		assert.Empty(t, res.Failures)
		time.Sleep(time.Hour)
	})
}
