package simulation

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/b0401464/redlock"
)

// A profile is what the histories of some seeds have in common: how many nodes
// and processes there are, how long locks last, and what goes wrong. Each is
// made to bring about circumstances that few histories of another one have.
type profile struct {
	name      string
	nodes     int
	processes int
	resources int
	workers   int // a process
	episodes  int
	locks     int              // a worker and an episode
	steps     int              // of work under a lock, at most
	held      [2]time.Duration // how long that takes, unless by steps
	lasting   [2]time.Duration

	far       time.Duration    // links differ by up to this
	hasty     float64          // share of processes with the recommended client options
	skewed    bool             // the nodes' clocks run at different rates
	apart     time.Duration    // by which the processes' wall clocks differ at most
	several   float64          // share of locks on several resources
	fenced    bool             // all processes take tokens, not only every second one
	keeps     time.Duration    // how long a node does not vote after a restart; 0 if it does
	deaf      float64          // share of processes that may not listen
	mute      bool             // scripts may not publish
	plain     float64          // share of processes that run no scripts; they take no tokens
	keep      time.Duration    // of the counters of tokens
	erases    int              // locks that nodes lose, an episode
	failOvers int              // nodes whose replica takes over, an episode
	stops     int              // processes that are stopped, an episode
	leaps     int              // wall clocks of processes that jump, an episode
	fair      weather          // in and after an episode
	foul      weather          // during one
	faults    int              // an episode
	struck    [2]time.Duration // how long one lasts
	kinds     []fault
	habits    habits
}

const (
	ms  = time.Millisecond
	sec = time.Second
)

// profiles by share: a name that stands twice is twice as likely.
var profiles = []func(*rand.Rand) profile{crowd, jitter, mixed, mixed, amnesia, amnesia, late, late, outage}

// lines are those in which many wait in line.
var lines = []func(*rand.Rand) profile{queue, queue, throng}

func pickProfile(r, line, several, plain, quarantine, channel, erasing, stopping, failing *rand.Rand) profile {
	p := profiles[r.IntN(len(profiles))](r)
	if chance(line, 0.2) {
		p = lines[r.IntN(len(lines))](r)
	}
	if chance(several, 0.3) {
		p.resources, p.several = 3, 0.2+0.6*several.Float64()
	}
	switch u := channel.Float64(); {
	case u < 0.1:
		p.deaf = 0.3 + 0.7*channel.Float64()
	case u < 0.2:
		p.mute = true
	}
	p.skewed = chance(r, 0.4)
	if chance(r, 0.5) {
		p.apart = between(r, ms, 12*time.Hour)
	}
	p.fenced = chance(r, 0.5)
	if chance(erasing, 0.3) {
		p.erases = 1 + erasing.IntN(6)
	}
	if chance(failing, 0.15) {
		p.failOvers = 1 + failing.IntN(5)
	}
	switch u := stopping.Float64(); {
	case u < 0.25:
		p.stops = 1 + stopping.IntN(4)
	case u < 0.4:
		p.leaps = 1 + stopping.IntN(6)
		p.habits.deaf = max(p.habits.deaf, 0.4)
	case u < 0.45:
		p.stops, p.leaps = 1+stopping.IntN(4), 1+stopping.IntN(6)
	}
	p.keep = redlock.Forever
	if chance(r, 0.5) {
		p.keep = 2 * max(p.lasting[1], waiterTTL) // the least that the longest lock allows
	}
	if loses := slices.Contains(p.kinds, restartsEmpty); loses && p.habits.queues == 0 && chance(quarantine, 0.4) {
		p.keeps, p.erases, p.failOvers = max(p.lasting[1], waiterTTL), 0, 0
		return p
	}
	// Beside a line others that heed none would only be in its way.
	if chance(plain, 0.2) && p.several == 0 {
		p.plain = 1
		if p.habits.queues == 0 && chance(plain, 0.5) {
			p.plain = 0.5
		}
	}
	return p
}

// crowd is many contenders for short locks on a healthy network.
func crowd(r *rand.Rand) profile {
	return profile{
		name: "crowd", nodes: 1 + r.IntN(5), processes: 3 + r.IntN(2), resources: 1, workers: 1, episodes: 3, locks: 3, steps: 3,
		lasting: [2]time.Duration{30 * ms, 3 * sec},
		far:     evenly(r, 0, 3*ms),
		fair:    weather{near: 100 * time.Microsecond, wide: 2 * ms}, foul: weather{near: 100 * time.Microsecond, wide: 4 * ms},
		habits: habits{contends: 0.7, extends: 0.3, auto: 0.2, forgets: 0.1, deaf: 0.1, cancels: 0.2},
	}
}

// jitter is a network whose delays are of the order of the locks' validity.
func jitter(r *rand.Rand) profile {
	return profile{
		name: "jitter", nodes: 1 + r.IntN(5), processes: 3, resources: 1 + r.IntN(2), workers: 1, episodes: 4, locks: 3, steps: 5,
		lasting: [2]time.Duration{60 * ms, 4 * sec},
		far:     evenly(r, 0, 30*ms), hasty: 0.5,
		fair:   weather{near: ms, wide: 10 * ms},
		foul:   weather{near: ms, wide: 60 * ms, late: 0.15, slow: 50 * ms, slower: 2 * sec, lost: 0.01, cut: 0.02, resetAfter: 0.02},
		habits: habits{contends: 0.6, extends: 0.5, auto: 0.3, forgets: 0.1, deaf: 0.2, cancels: 0.2},
	}
}

// mixed is a little of everything.
func mixed(r *rand.Rand) profile {
	return profile{
		name: "mixed", nodes: 1 + r.IntN(5), processes: 2 + r.IntN(2), resources: 1 + r.IntN(2), workers: 1 + r.IntN(2), episodes: 3, locks: 3, steps: 5,
		lasting: [2]time.Duration{100 * ms, time.Minute},
		far:     evenly(r, 0, 20*ms), hasty: 0.3,
		fair: weather{near: 200 * time.Microsecond, wide: 5 * ms},
		foul: weather{
			near: 200 * time.Microsecond, wide: 20 * ms, late: 0.05, slow: 50 * ms, slower: 10 * sec,
			lost: 0.01, lostReply: 0.02, cut: 0.02, resetAfter: 0.02,
		},
		faults: 3, struck: [2]time.Duration{5 * ms, 5 * time.Minute}, kinds: []fault{freezes, restarts, restartsEmpty, blackHole, blackHolePair, unplugged, forgets, jumps},
		habits: habits{contends: 0.6, extends: 0.5, auto: 0.4, forgets: 0.15, deaf: 0.15, cancels: 0.2, shuts: 0.1},
	}
}

// amnesia is nodes that restart empty, one soon after the other, under locks
// that are extended all the time.
func amnesia(r *rand.Rand) profile {
	return profile{
		name: "amnesia", nodes: 2 + r.IntN(4), processes: 2, resources: 1, workers: 1, episodes: 3, locks: 3, steps: 12,
		lasting: [2]time.Duration{400 * ms, 20 * sec},
		far:     evenly(r, 0, 30*ms), hasty: 0.7,
		fair:   weather{near: 200 * time.Microsecond, wide: 5 * ms},
		foul:   weather{near: 200 * time.Microsecond, wide: 30 * ms, late: 0.3, slow: 50 * ms, slower: sec},
		faults: 12, struck: [2]time.Duration{2 * ms, 500 * ms}, kinds: []fault{restartsEmpty, restartsEmpty, restartsEmpty, freezes, unplugged, forgets},
		habits: habits{contends: 0.2, extends: 0.95, auto: 0.5, forgets: 0.05, deaf: 0.1},
	}
}

// late is copies of commands that arrive when they are not expected any more.
func late(r *rand.Rand) profile {
	return profile{
		name: "late", nodes: 1 + r.IntN(3), processes: 2, resources: 1, workers: 1, episodes: 3, locks: 3, steps: 8,
		lasting: [2]time.Duration{3 * sec, time.Minute},
		hasty:   0.7,
		fair:    weather{near: 200 * time.Microsecond, wide: 5 * ms},
		foul:    weather{near: 200 * time.Microsecond, wide: 10 * ms, late: 0.2, slow: sec, slower: 30 * sec, lostReply: 0.02},
		habits:  habits{contends: 0.5, extends: 0.9, auto: 0.3, forgets: 0.1, deaf: 0.1},
	}
}

// outage is nodes that are away for long, and clients with patience.
func outage(r *rand.Rand) profile {
	return profile{
		name: "outage", nodes: 1 + r.IntN(5), processes: 2, resources: 1 + r.IntN(2), workers: 2, episodes: 3, locks: 2, steps: 5,
		lasting: [2]time.Duration{500 * ms, time.Minute},
		far:     evenly(r, 0, 10*ms),
		fair:    weather{near: 200 * time.Microsecond, wide: 5 * ms},
		foul:    weather{near: 200 * time.Microsecond, wide: 10 * ms, lost: 0.02},
		faults:  3, struck: [2]time.Duration{5 * ms, 5 * time.Minute}, kinds: []fault{freezes, blackHole, blackHolePair, restarts, forgets, forgets},
		habits: habits{contends: 0.6, extends: 0.4, auto: 0.5, forgets: 0.1, deaf: 0.2, cancels: 0.3, shuts: 0.2},
	}
}

// queue is many who wait in line on a healthy network, where some give up, and
// some die.
func queue(r *rand.Rand) profile {
	return profile{
		name: "queue", nodes: 1 + r.IntN(5), processes: 5 + r.IntN(5), resources: 1, workers: 1 + r.IntN(2), episodes: 2, locks: 5,
		held:    [2]time.Duration{ms, 500 * ms},
		lasting: [2]time.Duration{300 * ms, 5 * sec},
		far:     evenly(r, 0, 3*ms),
		fair:    weather{near: 100 * time.Microsecond, wide: 2 * ms}, foul: weather{near: 100 * time.Microsecond, wide: 4 * ms},
		habits: habits{contends: 0.85, queues: 0.7, auto: 0.1, forgets: 0.02, cancels: 0.25, quits: 0.06, dies: 0.01, misses: 0.01},
	}
}

// throng is that on a network that loses some of what it carries, where nodes
// forget the line.
func throng(r *rand.Rand) profile {
	p := queue(r)
	p.name = "throng"
	p.hasty = 0.7
	p.foul.lost, p.foul.lostReply, p.foul.cut, p.foul.resetAfter = 0.001, 0.001, 0.002, 0.002
	p.faults, p.struck = 3, [2]time.Duration{5 * ms, sec}
	p.kinds = []fault{kills, deafens, unplugged, restartsEmpty, freezes, restarts, jumps, jumps}
	p.habits.misses = 0.04
	return p
}
