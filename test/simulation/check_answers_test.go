package simulation

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock"
)

// unlocked has a lock be unlocked then, which takes a second and tells err.
func (s *scene) unlocked(h *hold, at float64, err error) {
	h.unlocked, h.unlockedAt, h.first = true, s.at(at), h
	h.answers = append(h.answers, answer{call: byUnlock, from: s.at(at), to: s.at(at + 1), err: err})
}

// releases has these nodes answer a release of a lock, from its fifth second on and half a second later.
func (s *scene) releases(h *hold, denied bool, nodes ...int) {
	for _, n := range nodes {
		h.value.calls = append(h.value.calls, &call{node: n, op: release, from: s.at(5), to: s.at(5.5), denied: denied})
	}
}

var released = ended{by: &command{op: release, value: "1"}}

func TestTheCheckersFindAReleaseThatWasNone(t *testing.T) {
	told := func(wrong func(s *scene, h *hold)) []string {
		return stage(t, func(s *scene) {
			h := s.lock("1", 1, 5)
			h.untilThen = s.at(9)
			for i := range s.nodes {
				s.on(h, i, 0.5, 5.1, released)
			}
			wrong(s, h)
			s.unlocked(h, 5, nil)
		})
	}
	assert.Empty(t, told(func(s *scene, h *hold) { s.releases(h, false, 0, 1) }))
	assert.Equal(t, []string{"i"}, told(func(s *scene, h *hold) { s.releases(h, false, 0) }), "no majority")
	assert.Equal(t, []string{"i"}, told(func(s *scene, h *hold) { s.releases(h, true, 0, 1) }), "it was not there")
	assert.Empty(t, told(func(s *scene, h *hold) {
		h.value.calls = append(h.value.calls, &call{node: 0, op: extend, from: s.at(4)})
		s.releases(h, true, 0, 1)
	}), "something is unknown of one of the two")
	assert.Equal(t, []string{"i"}, told(func(s *scene, h *hold) {
		s.releases(h, false, 0, 1)
		h.lostAt = s.at(4)
	}), "it was told otherwise before")
	assert.Equal(t, []string{"i"}, told(func(s *scene, h *hold) {
		h.end = s.at(3)
		s.releases(h, false, 0, 1)
		next := s.lock("2", 4, 8)
		s.on(next, 0, 3.5, 8, ended{expired: true})
		s.on(next, 1, 3.5, 8, ended{expired: true})
	}), "another one had it")
}

func TestTheCheckersFindALossThatWasNone(t *testing.T) {
	told := func(until, away float64, err error) []string {
		return stage(t, func(s *scene) {
			h := s.lock("1", 1, 5)
			h.untilThen = s.at(until)
			s.on(h, 0, 0.5, 5.1, released)
			s.on(h, 1, 0.5, away, wiped)
			s.on(h, 2, 0.5, away, wiped)
			s.unlocked(h, 5, err)
		})
	}
	assert.Equal(t, []string{"i"}, told(9, 6.5, redlock.ErrLockLost))
	assert.Empty(t, told(9, 4.5, redlock.ErrLockLost), "it was gone")
	assert.Empty(t, told(4.9, 6.5, redlock.ErrLockLost), "it had run out")
	assert.Empty(t, told(9, 6.5, redlock.ErrNoQuorum), "nobody has answered")
}

func TestTheCheckersFindNoQuorumWhereAMajorityHasAnswered(t *testing.T) {
	assert.Equal(t, []string{"i"}, stage(t, func(s *scene) {
		h := s.lock("1", 1, 5)
		s.onAll(h, 0.5, 10)
		s.releases(h, false, 0, 1)
		s.unlocked(h, 5, redlock.ErrNoQuorum)
	}))
}

func TestTheCheckersFindAnExtensionThatDoesNotLast(t *testing.T) {
	lasts := func(seconds float64) []string {
		return stage(t, func(s *scene) {
			h := s.lock("1", 1, 5)
			for i := range s.nodes[:2] {
				p := s.on(h, i, 0.5, 0, ended{})
				p.open, p.expires, s.nodes[i].here["r"] = true, s.at(seconds), p
			}
			s.checkLasting(h, s.at(2), s.at(5))
			clear(s.nodes[0].here)
			clear(s.nodes[1].here)
		})
	}
	assert.Empty(t, lasts(6))
	assert.Equal(t, []string{"i"}, lasts(4.9))
}
