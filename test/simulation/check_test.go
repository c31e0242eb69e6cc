package simulation

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// A scene is a world made by hand, of three nodes on which nothing happens but
// what a test says, in seconds from its beginning.
type scene struct{ *world }

// stage has f set a scene, checks it and returns which checkers found what.
func stage(t *testing.T, f func(s *scene)) []string {
	t.Helper()
	var found []string
	synctest.Test(t, func(*testing.T) {
		w := &world{began: time.Now(), values: make(map[[2]string]*value), resources: []string{"r"}}
		for i := range 3 {
			w.nodes = append(w.nodes, newNode(w, i))
		}
		time.Sleep(time.Minute)
		f(&scene{w})
		w.check()
		for _, v := range w.found {
			found = append(found, v.Checker)
		}
		for _, n := range w.nodes {
			n.close()
		}
	})
	return found
}

func (s *scene) at(seconds float64) time.Time {
	return s.began.Add(time.Duration(seconds * float64(time.Second)))
}

// lock has a lock be held from start to end.
func (s *scene) lock(name string, start, end float64) *hold {
	h := &hold{w: s.world, process: &process{w: s.world}, value: s.value(name, "r"), start: s.at(start), settled: s.at(start + 0.05), end: s.at(end)}
	h.value.hold = h
	s.holds = append(s.holds, h)
	return h
}

// on puts it on a node from one moment to another. Had it not been lost, it
// would have been there until 10.
func (s *scene) on(h *hold, node int, from, to float64, why ended) *span {
	p := &span{node: node, value: h.value, from: s.at(from), to: s.at(to), why: why, expires: s.at(10)}
	h.value.spans = append(h.value.spans, p)
	return p
}

// onAll puts it on all nodes.
func (s *scene) onAll(h *hold, from, to float64) {
	for i := range s.nodes {
		s.on(h, i, from, to, ended{expired: true})
	}
}

// extend has it be extended in a round that begins then and takes a second, by
// the votes of these nodes half a second into it.
func (s *scene) extend(h *hold, begun float64, nodes ...int) {
	for _, n := range nodes {
		h.value.votes = append(h.value.votes, vote{n, s.at(begun + 0.5)})
	}
	h.successes = append(h.successes, success{begun: s.at(begun), at: s.at(begun + 1)})
}

var wiped = ended{lost: true}

func TestTheCheckersFindNothingInAHealthyHistory(t *testing.T) {
	assert.Empty(t, stage(t, func(s *scene) {
		first, second := s.lock("1", 1, 5), s.lock("2", 5, 9)
		s.onAll(first, 0.5, 5)
		s.onAll(second, 5, 10)
		s.extend(first, 2, 0, 1)
		s.extend(first, 3, 1, 2)
		second.released = s.at(10)
	}))
}

func TestTheCheckersFindTwoHolders(t *testing.T) {
	assert.Equal(t, []string{"a"}, stage(t, func(s *scene) {
		s.onAll(s.lock("1", 1, 5), 0, 6)
		s.onAll(s.lock("2", 4.9, 9), 0, 10)
	}))
}

func TestTheCheckersExcuseTwoHoldersOnlyWhereDataWereLostBefore(t *testing.T) {
	overlap := func(lost, second float64) []string {
		return stage(t, func(s *scene) {
			h := s.lock("1", 1, 5)
			s.on(h, 0, 0, 6, ended{expired: true})
			s.on(h, 1, 0, lost, wiped)
			s.onAll(s.lock("2", second, 9), 0, 10)
		})
	}
	assert.Empty(t, overlap(2, 3))
	assert.Equal(t, []string{"a"}, overlap(3, 2))
}

func TestTheCheckersFindALockThatIsValidForLongerThanItsNodesHaveIt(t *testing.T) {
	valid := func(lasted float64) []string {
		return stage(t, func(s *scene) {
			h := s.lock("1", 1, 5)
			s.on(h, 0, 0, 6, ended{expired: true})
			s.on(h, 1, 0, 4.9, ended{expired: true})
			s.on(h, 2, 0, 3, wiped).expires = s.at(lasted)
		})
	}
	assert.Empty(t, valid(6), "but for the loss it would have stood on a majority")
	assert.Equal(t, []string{"b"}, valid(4.9), "the loss made no difference")
}

func TestTheCheckersFindAReleaseThatLeavesAMajority(t *testing.T) {
	assert.Equal(t, []string{"b"}, stage(t, func(s *scene) {
		h := s.lock("1", 1, 5)
		s.onAll(h, 0, 6)
		h.released = s.at(5.5)
	}))
}

func TestTheCheckersFindAnExtensionWithoutAMajorityOfVotes(t *testing.T) {
	assert.Equal(t, []string{"a2"}, stage(t, func(s *scene) {
		h := s.lock("1", 1, 5)
		s.onAll(h, 0, 6)
		s.extend(h, 3, 1)
	}))
}

func TestTheCheckersFindAnExtensionThatBridgesAGap(t *testing.T) {
	extension := func(rearmed, begun float64) []string {
		return stage(t, func(s *scene) {
			h := s.lock("1", 1, 6)
			s.on(h, 0, 0, 7, ended{expired: true})
			s.on(h, 1, 0, 2, wiped)
			s.on(h, 2, rearmed, 7, ended{expired: true})
			s.extend(h, begun, 0, 2)
		})
	}
	assert.Empty(t, extension(1.9, 3), "one node has it before the other one loses it")
	assert.Equal(t, []string{"a2"}, extension(2.1, 3))
}

func TestTheCheckersLetANodeLoseALockAfterItsVote(t *testing.T) {
	extension := func(lost float64) []string {
		return stage(t, func(s *scene) {
			h := s.lock("1", 1, 6)
			s.on(h, 0, 0, 7, ended{expired: true})
			s.on(h, 1, 0, lost, wiped)
			s.extend(h, 3, 0, 1)
		})
	}
	assert.Empty(t, extension(3.6))
	assert.Equal(t, []string{"a2"}, extension(3.4))
}

// grant has a lock be granted with a token, by an attempt that began a second before.
func (s *scene) grant(name string, start, end float64, token int64) *hold {
	h := s.lock(name, start, end)
	s.onAll(h, start-1, end)
	h.began, h.token = s.at(start-1), token
	return h
}

func TestTheCheckersFindATokenThatDoesNotGrow(t *testing.T) {
	tokens := func(first, second int64) []string {
		return stage(t, func(s *scene) {
			s.grant("1", 1, 5, first)
			s.grant("2", 6.5, 9, second)
		})
	}
	assert.Empty(t, tokens(7, 8))
	assert.Empty(t, tokens(7, 0), "it has none")
	assert.Equal(t, []string{"g"}, tokens(7, 7))
	assert.Equal(t, []string{"g"}, tokens(7, 6))
}

func TestTheCheckersExcuseATokenThatDoesNotGrowOnlyWhereACounterWasLostAndNoClockStandsIn(t *testing.T) {
	tokens := func(lost float64, apart time.Duration) []string {
		return stage(t, func(s *scene) {
			s.profile.apart = apart
			s.wipes = append(s.wipes, s.at(lost))
			s.grant("1", 1, 5, 7)
			s.grant("2", 6.5, 9, 6)
		})
	}
	assert.Empty(t, tokens(3, 5*sec))
	assert.Empty(t, tokens(6.4, 5*sec), "while the second one asked")
	assert.Equal(t, []string{"g"}, tokens(3, 4*sec), "the clocks differ by less than the time between the two")
	assert.Equal(t, []string{"g"}, tokens(9, 5*sec), "lost after both")
	assert.Equal(t, []string{"g"}, tokens(-1, 5*sec), "lost before both")
}

func TestTheCheckersLetACounterExpireThatWasNotUsed(t *testing.T) {
	tokens := func(keep time.Duration, extended bool) []string {
		return stage(t, func(s *scene) {
			s.profile.keep, s.profile.apart = keep, time.Minute
			h := s.grant("1", 1, 5, 7)
			if extended {
				s.extend(h, 3, 0, 1)
			}
			s.grant("2", 6.5, 9, 6)
		})
	}
	assert.Empty(t, tokens(6*sec, false))
	assert.Equal(t, []string{"g"}, tokens(6*sec, true))
	assert.Equal(t, []string{"g"}, tokens(7*sec, false))
	assert.Equal(t, []string{"g"}, tokens(-1, false))
}

func TestTheCheckersFindACounterThatLastsForAnotherTime(t *testing.T) {
	counter := func(keep, left time.Duration) []string {
		return stage(t, func(s *scene) {
			n := s.nodes[0]
			s.profile.keep = keep
			assert.NoError(t, n.redis.Set("{r}:redlock:token", "7"))
			n.redis.SetTTL("{r}:redlock:token", left)
			s.checkCounter(n, "{r}:redlock:token")
		})
	}
	assert.Empty(t, counter(10*sec, 10*sec))
	assert.Empty(t, counter(-1, 0))
	assert.Equal(t, []string{"g"}, counter(10*sec, 11*sec))
	assert.Equal(t, []string{"g"}, counter(10*sec, 0))
	assert.Equal(t, []string{"g"}, counter(-1, 10*sec))
}
