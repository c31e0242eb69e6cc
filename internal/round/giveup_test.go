package round

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/quorum"
)

// The node has answered, and its call is about to take note of that, when it is given up.
func TestAnAcquireThatIsGivenUpWhileItIsConcludedDoesNotCountAsOneThatMayComeYet(t *testing.T) {
	const timeout = 100 * time.Millisecond
	release := make(chan struct{})
	slow := &fake{answer: func(i int, set func(val any)) error {
		if i == 0 {
			<-release
		}
		return saysYes(i, set)
	}}
	nodes := slow.nodes()
	g := newGrant(nodes, []string{"a"}, newTestValue)
	g.commands.Acquires(time.Minute, false)
	votes := make(chan filed, 1)
	places := g.series.Take(lane.Acquire, timeout, nil)
	g.send(t.Context(), g.commands.Acquire, places, &acquiring{g, nodes.Clock.Now(), votes})
	time.Sleep(timeout * 7 / 10)
	g.mu.Lock()
	close(release)
	// It waits for mu when it is given up, which does then, too.
	require.Eventually(t, places[0].GivenUp, time.Minute, time.Millisecond)
	g.mu.Unlock()
	<-votes
	time.Sleep(timeout / 5) // it has been given up
	res := g.Release(t.Context(), timeout, Pop).Wait(t.Context())
	assert.Equal(t, quorum.Released, res.Outcome)
	assert.Empty(t, res.Failures)
}

func TestANodeThatWasSentNothingHasNotFailedToRelease(t *testing.T) {
	f := &fake{answer: saysYes}
	nodes := f.nodes()
	g := newGrant(nodes, []string{"a"}, newTestValue)
	res := g.Release(t.Context(), time.Second, Pop).Wait(t.Context())
	assert.Equal(t, quorum.Unanswered, res.Outcome)
	assert.Empty(t, res.Failures)
	assert.Empty(t, f.once)
}
