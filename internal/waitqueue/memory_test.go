package waitqueue_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
	"github.com/b0401464/redlock/internal/waitqueue"
)

// trust is for how long a gate is believed.
const trust = time.Second

// saw has a memory learn that the gate of a resource has refused in favour of a holder.
func saw(m *waitqueue.Memory, resource, holder string) {
	m.Learn(resource, &round.Plan{}, &round.Result{
		Outcome: quorum.Held, GateOnly: true, Refused: 1, Gate: round.Answer{Refused: true, Holder: holder},
	}, trust)
}

// gone has a memory learn that the gate of a resource has granted it, and no other node.
func gone(m *waitqueue.Memory, resource string) {
	m.Learn(resource, &round.Plan{}, &round.Result{Outcome: quorum.Split, Refused: 1, Gate: round.Answer{Granted: true}}, 0)
}

func TestOnlyWhatTheGateNamesForLongIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const age = time.Second
		m := waitqueue.Memory{}
		m.Stray("a", "attempt")
		time.Sleep(2 * age)
		assert.Empty(t, m.Stale("a", age), "it was seen once")
		m.Stray("a", "left over")
		time.Sleep(age)
		saw(&m, "a", "left over")
		assert.Equal(t, "left over", m.Stale("a", age), "the gate still names it")
		assert.Empty(t, m.Stale("b", age))
		m.Stray("a", "left over")
		assert.Equal(t, "left over", m.Stale("a", age))
		saw(&m, "a", "holder")
		assert.Empty(t, m.Stale("a", age), "the gate names another one")
		m.Stray("a", "left over")
		time.Sleep(age)
		m.Stray("a", "left over")
		gone(&m, "a")
		assert.Empty(t, m.Stale("a", age), "the gate has nothing")
		m.Stray("a", "left over")
		time.Sleep(age)
		m.Stray("a", "left over")
		gone(&m, "a")
		saw(&m, "a", "left over")
		time.Sleep(age)
		m.Stray("a", "left over")
		assert.Equal(t, "left over", m.Stale("a", age), "the gate has named it before")
		time.Sleep(time.Minute)
		assert.Empty(t, m.Stale("a", age), "nobody has seen it for long")
	})
}

func TestWhatIsRememberedOfManyResourcesIsNotMixedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := waitqueue.Memory{}
		for i := range 3000 {
			saw(&m, strconv.Itoa(i), "holder")
		}
		time.Sleep(trust + time.Millisecond)
		for i := range 3000 {
			saw(&m, strconv.Itoa(i), "holder")
		}
		for i := range 3000 {
			require.True(t, m.Doubts(strconv.Itoa(i)), "the gate of %d has named the same holder for a second", i)
		}
	})
}

func TestNothingIsRememberedOfALockThatNobodyElseWanted(t *testing.T) {
	m := waitqueue.Memory{}
	m.Learn("a", &round.Plan{}, &round.Result{Outcome: quorum.Acquired, Agreed: 3, Gate: round.Answer{Granted: true}}, time.Second)
	m.Learn("a", &round.Plan{}, &round.Result{Outcome: quorum.Unavailable}, time.Second)
	assert.False(t, m.Contended(true, "a"))
	assert.Zero(t, testing.AllocsPerRun(10, func() {
		m.Learn("a", &round.Plan{}, &round.Result{Outcome: quorum.Acquired}, time.Second)
	}))
}

func TestWhoMayWaitYieldsForAMomentToWhatAGateHasBegunToName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := waitqueue.Memory{}
		m.Stray("a", "somebody who asks")
		assert.True(t, m.Contended(true, "b", "a"))
		assert.False(t, m.Contended(false, "b", "a"), "a TryLock would fail where it need not")
		time.Sleep(time.Second)
		assert.False(t, m.Contended(true, "a"))
		m.Stray("a", "somebody who asks")
		assert.False(t, m.Contended(true, "a"), "it is left over, as no attempt takes that long")
	})
}
