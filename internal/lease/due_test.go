package lease

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/internal/clock"
)

const (
	testTTL   = 9 * time.Second
	testDrift = time.Second
	forever   = time.Duration(math.MaxInt64)
)

// newTestHold returns a lock that was granted now.
func newTestHold(limit time.Duration) *Hold {
	h := NewHold(new(Locks), "a")
	h.Grant(nil, &Config{Limit: limit}, h.now(), testTTL, testDrift, 0)
	return h
}

func TestARenewalIsDueAfterAThirdOfTheTTL(t *testing.T) {
	for name, tt := range map[string]struct {
		limit   time.Duration
		change  func(h *Hold)
		elapsed time.Duration
		due     time.Duration
	}{
		"at first":                           {limit: Forever, due: 3 * time.Second},
		"later":                              {limit: Forever, elapsed: 2 * time.Second, due: time.Second},
		"when it is late":                    {limit: Forever, elapsed: 4 * time.Second, due: 0},
		"in the queue, out of turn":          {limit: Forever, change: func(h *Hold) { h.phase = queued }, elapsed: 3 * time.Second, due: 2500 * time.Millisecond},
		"while one is under way":             {limit: Forever, change: func(h *Hold) { h.phase = extending }, due: forever},
		"of a lock that is not extended":     {due: forever},
		"of a lock that was dropped":         {limit: Forever, change: (*Hold).Drop, due: forever},
		"of a lock at its limit":             {limit: time.Minute, change: func(h *Hold) { h.limited = true }, due: forever},
		"of a lock whose Locker was stopped": {limit: Forever, change: func(h *Hold) { h.locks.Halted.Store(true) }, due: forever},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newTestHold(tt.limit)
			if tt.change != nil {
				tt.change(h)
			}
			time.Sleep(tt.elapsed)
			assert.Equal(t, tt.due, h.untilDue(h.now()), name)
		})
	}
}

func TestARenewalThatIsDueEntersTheQueueOnceAndLeavesItOutOfTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHold(Forever)
		for at, want := range []struct{ enter, outOfTurn bool }{3: {enter: true}, 5: {}, 6: {outOfTurn: true}} {
			enter, outOfTurn := h.takeDue(h.now())
			assert.Equal(t, want.enter, enter, "after %d s", at)
			assert.Equal(t, want.outOfTurn, outOfTurn, "after %d s", at)
			time.Sleep(time.Second)
		}
	})
}

func TestTheLimitCountsFromTheGrantWhateverTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHold(20 * time.Second)
		time.Sleep(5 * time.Second)
		h.lease.start = h.now()
		assert.Equal(t, 15*time.Second, h.untilLimit(h.now()))
		assert.Equal(t, forever, newTestHold(Forever).untilLimit(h.now()))
	})
}

func TestWhatALookHasFoundIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jump := time.Duration(0)
		h := newTestHold(0)
		h.locks.Clock.Jump = func() time.Duration { return jump }
		assert.Equal(t, testTTL-testDrift, h.left())
		jump = testTTL - testDrift
		assert.Zero(t, h.left(), "the wall clock was set ahead")
		jump = 0
		assert.Zero(t, h.left(), "and back")
	})
}

func TestALeaseIsValidForItsTTLLessTheDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock.Clock
		e := lease{start: c.Now(), ttl: testTTL, drift: testDrift}
		assert.Equal(t, testTTL-testDrift, e.left(c.Now()))
		time.Sleep(testTTL - testDrift)
		assert.LessOrEqual(t, e.left(c.Now()), time.Duration(0))
		assert.Equal(t, c.Now().Moment()+clock.Moment(testDrift), e.end(), "its keys last longer")
	})
}
