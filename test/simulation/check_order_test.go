package simulation

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/internal/script"
)

// waiter has a process of its own wait in line at node 0 from that moment to
// another one, and listen.
func (s *scene) waiter(name string, from, to float64) *waiter {
	p := &process{w: s.world, id: len(s.everybody), self: name}
	s.everybody = append(s.everybody, p)
	n := s.nodes[0]
	n.conns[&conn{link: &link{process: p}, listens: new(miniredis.Subscriber)}] = struct{}{}
	x := &waiter{process: p, resource: "r", number: len(s.waiters) + 1, queues: true, from: s.at(from), joined: s.at(from), came: s.at(from), gate: n}
	if to != 0 {
		x.to = s.at(to)
	}
	s.waiters = append(s.waiters, x)
	return x
}

// gets has a waiter get the lock now.
func (s *scene) gets(x *waiter) {
	h := &hold{w: s.world, value: s.value(x.process.self, "r"), start: time.Now(), end: time.Now()}
	h.value.waiter = x
	s.granted(h)
}

func TestTheCheckersFindACallOutOfTurn(t *testing.T) {
	called := func(name string, wrong func(first *waiter)) []string {
		return stage(t, func(s *scene) {
			first := s.waiter("first", 59.95, 0)
			s.waiter("second", 59.96, 0)
			wrong(first)
			s.nodes[0].tick()
			s.called(s.nodes[0], "r", name)
			first.over(false)
		})
	}
	nothing := func(*waiter) {}
	assert.Empty(t, called("first", nothing))
	assert.Equal(t, []string{"f"}, called("second", nothing))
	assert.Empty(t, called("second", func(first *waiter) { first.process.trouble(sec) }))
	assert.Empty(t, called("second", func(first *waiter) { clear(first.gate.conns) }), "it does not listen")
	assert.Empty(t, called("second", func(first *waiter) { first.over(true) }), "it has given up")
	assert.Empty(t, called("second", func(first *waiter) { first.called = time.Now() }), "it is about to come")
	assert.Empty(t, called("somebody else", nothing))
	assert.Empty(t, called("second", func(first *waiter) { first.score = float64(time.Now().Add(sec).UnixMicro()) }), "its number is of a clock that was ahead")
	assert.Equal(t, []string{"f"}, called("second", func(first *waiter) { first.score = float64(time.Now().Add(-sec).UnixMicro()) }))
}

func TestTheCheckersFindAReleaseThatCallsNobody(t *testing.T) {
	release := func(c command, reserved string) []string {
		return stage(t, func(s *scene) {
			s.waiter("first", 59.9, 0)
			s.passedOn(s.nodes[0], &c, "r", reserved)
		})
	}
	assert.Empty(t, release(command{locker: "other"}, "first"))
	assert.Empty(t, release(command{locker: "first"}, ""), "it is the only one")
	assert.Empty(t, release(command{locker: "other"}, "other"), "another caller of its process waits")
	assert.Equal(t, []string{"f"}, release(command{locker: "other"}, ""))
	assert.Equal(t, []string{"f"}, release(command{locker: "other", leaves: true}, "other"))
}

func TestWhoseGrantHasRunOutAtTheGateIsInLineAgainWhenItAsks(t *testing.T) {
	release := func(why ended) []string {
		return stage(t, func(s *scene) {
			x := s.waiter("first", 59.9, 0)
			x.taken = true
			v := s.value(strings.Repeat("a", 32), "r")
			v.waiter = x
			(&span{node: 0, value: v}).end(time.Now(), why)
			s.passedOn(s.nodes[0], &command{locker: "other"}, "r", "")
		})
	}
	assert.Empty(t, release(ended{expired: true}))
	assert.Equal(t, []string{"f"}, release(ended{by: &command{}}), "it was removed")
}

func TestTheCheckersFindACallerThatPushesIn(t *testing.T) {
	granted := func(which int) []string {
		return stage(t, func(s *scene) {
			first, second := s.waiter("1", 59.9, 0), s.waiter("2", 59.95, 0)
			second.process = first.process
			s.gets([]*waiter{first, second}[which])
		})
	}
	assert.Empty(t, granted(0))
	assert.Equal(t, []string{"f"}, granted(1))
}

func TestTheCheckersFindAWaiterThatIsPassedAgainAndAgain(t *testing.T) {
	passed := func(times int, reserved bool) []string {
		return stage(t, func(s *scene) {
			s.waiter("first", 59.9, 0)
			for range times {
				x := s.waiter("later", 59.95, 0)
				x.reserved = reserved
				s.gets(x)
			}
		})
	}
	assert.Empty(t, passed(mostOvertaken, false))
	assert.Equal(t, []string{"f"}, passed(mostOvertaken+1, false))
	assert.Empty(t, passed(mostOvertaken+1, true), "each of them was called")
}

func TestTheCheckersFindAResourceThatIsFreeWhileSomebodyWaits(t *testing.T) {
	free := func(to float64, wrong func(s *scene)) []string {
		return stage(t, func(s *scene) {
			s.onAll(s.lock("1", 1, 5), 1, 5)
			s.waiter("first", 2, to)
			wrong(s)
		})
	}
	nothing := func(*scene) {}
	assert.Empty(t, free(5.2, nothing))
	assert.Equal(t, []string{"f"}, free(5.5, nothing), "nothing is wrong")
	assert.Equal(t, []string{"f", "f"}, free(7.5, nothing), "that is too long even if something is wrong for others")
	others := func(s *scene) { s.waiter("other", 2, 3).process.troubles = []stretch{{s.at(1), s.at(9)}} }
	assert.Empty(t, free(6.9, others))
	assert.Equal(t, []string{"f"}, free(7.5, others))
	assert.Empty(t, free(7.5, func(s *scene) { s.everybody[0].troubles = []stretch{{s.at(4), s.at(8)}} }))
	assert.Empty(t, free(7.5, func(s *scene) {
		v := s.value("2", "r")
		v.spans = append(v.spans, &span{node: 1, value: v, from: s.at(4), to: s.at(8)})
	}), "something was left behind on a node")
}

// A gate whose clock is behind gives each place the number after the last one in line: it gives
// a number again once those behind it have left.
func TestAPlaceWhoseNumberIsGivenAgainIsANewOne(t *testing.T) {
	stage(t, func(s *scene) {
		s.places = make(map[place]time.Time)
		n, keys := s.nodes[0], []any{"r", "{r}:redlock:line", "{r}:redlock:next"}
		by := &message{conn: &conn{link: &link{process: &process{w: s.world}}}}
		asks := func(came string) time.Time {
			var args []string
			for _, arg := range script.AcquireGate.Args(keys, "value", 1000, "me", came) {
				args = append(args, fmt.Sprint(arg))
			}
			c := newCommand(args)
			before := n.view(&c)
			_, err := n.redis.ZAdd(c.args[4], 7, "me")
			assert.NoError(t, err)
			n.asked(by, &c, before[0], n.view(&c)[0], "")
			return s.given(place{"r", "me", 7})
		}
		first := asks("now")
		time.Sleep(sec)
		assert.Equal(t, first, asks("now"), "it had the place")
		_, err := n.redis.ZRem(keys[1].(string), "me")
		assert.NoError(t, err)
		time.Sleep(sec)
		assert.Equal(t, first, asks("7"), "it comes back")
		_, err = n.redis.ZRem(keys[1].(string), "me")
		assert.NoError(t, err)
		assert.Greater(t, asks("look now"), first)
	})
}
