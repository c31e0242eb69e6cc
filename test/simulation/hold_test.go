package simulation

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestAnExtensionIsTakenForTheRoundThatWasSent(t *testing.T) {
	stage(t, func(s *scene) {
		h := s.lock("1", 1, 0)
		sent := func(at float64, ttl time.Duration) {
			h.value.calls = append(h.value.calls, &call{op: extend, ttl: ttl, from: s.at(at)})
		}
		until := func(begun float64, ttl time.Duration) time.Time { return s.at(begun).Add(ttl - drift(ttl)) }
		last := func() time.Time { return h.successes[len(h.successes)-1].begun }

		h.ttl = 2900 * ms // a caller has just asked for that
		sent(59.5, 3*sec)
		h.succeed(until(59.5, 3*sec))
		assert.Equal(t, s.at(59.5), last())

		// One to 3 s has succeeded, and one to 2 s begins at this moment and shortens it.
		h.ttl, h.asked = 2*sec, 2*sec
		sent(60, 2*sec)
		h.succeed(until(60, 2*sec))
		assert.Equal(t, h.successes[0].at, last(), "all that is known is that it is later than the one before")
		h.successes, h.end = nil, s.at(5)
	})
}

func TestTheEndOfALockThatHasPassedDoesNotMoveOn(t *testing.T) {
	stage(t, func(s *scene) {
		h := s.lock("1", 1, 5)
		h.ttl, h.until = sec, s.at(70)
		h.told(s.at(55))
		assert.Equal(t, s.at(60), h.until, "until now the holder went by what it was told before")
		time.Sleep(sec)
		h.told(s.at(55))
		assert.Equal(t, s.at(60), h.until, "nobody was told more")
	})
}
