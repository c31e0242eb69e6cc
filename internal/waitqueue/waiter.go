package waitqueue

import (
	"cmp"
	"math"
	"time"

	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// A Waiter decides when a call that wants a resource asks the nodes again, and how its
// attempts deal with the line that the gate keeps. It does no I/O, takes no lock and reads
// no clock: it goes by its arguments alone.
type Waiter struct {
	Schedule
	Queues bool // it waits in line: it has more than one attempt, and wants one resource

	ask    time.Time     // when to ask again although nobody says that there is a reason
	final  bool          // the attempt then is the last one: it asks all nodes
	asked  bool          // the last attempt has asked more than the gate
	splits int           // ties in a row
	trip   time.Duration // the shortest time that an attempt has taken, if it has not timed out

	refused bool   // somebody else has been found to have the resource
	tried   bool   // it has asked again at once to join the line
	joined  bool   // it may be in the line
	called  bool   // the gate has told this Locker that it is the next one
	came    string // when the gate saw it first; empty if it has not said so
	view    View   // of the gate
	unheard int    // attempts while it waited for the confirmation that the node listens
	failed  int    // attempts in a row in which the gate has neither granted nor refused
	rank    int    // how many were before it when the gate said so last
	alone   int    // attempts in a row in which the gate alone has granted
	yielded int    // attempts in which several resources were left to one that was called
}

// A Gate is what is known of the node that keeps the line of a resource, before an attempt.
type Gate struct {
	Node         int
	Silent, Slow bool
	Entered      bool   // this Locker stands in its line
	Contended    bool   // the resource was, a moment ago
	Doubted      bool   // what it has said is to be looked into
	Stale        string // what it has named for so long that it is left over
}

// UsesLine reports whether the next attempt deals with the line: the first try on a quiet
// resource is one round.
func (w *Waiter) UsesLine(g *Gate) bool {
	if g.Entered {
		w.joined, w.tried = true, true // by the one before in this Locker, perhaps
		return true
	}
	return !g.Silent && (w.refused || g.Contended)
}

// Plan returns how the next attempt deals with the line that it nears. heard says that the
// Locker will be told when it is its turn, and came when it came, as far as the attempt
// before knows.
func (w *Waiter) Plan(now time.Time, g *Gate, heard bool, came string) round.Plan {
	t := round.Plan{Gate: g.Node, Stale: g.Stale, Called: w.called && w.joined && !g.Silent}
	w.called = false
	if w.Queues && (heard || w.joined) {
		w.joined = true
		w.came = cmp.Or(w.came, came)
		t.Came = cmp.Or(w.came, round.Now)
	}
	t.InTurn = !t.Called && !g.Silent && !w.final && g.Stale == "" && !g.Slow && !g.Doubted && !w.view.Doubts(now)
	return t
}

// maxYields is how often in a row an attempt for several resources leaves them to one
// that was called. It has no place in their lines, and would wait for ever where
// somebody always has.
const maxYields = 3

// Yields reports whether the next attempt, for several resources, leaves them to those who
// are called. The first try on quiet ones needs no gate.
func (w *Waiter) Yields(contended bool) bool {
	return w.yielded < maxYields && (w.refused || contended)
}

// LearnSeveral takes note of what an attempt for several resources has told: not which of
// them is contended.
func (w *Waiter) LearnSeveral(t *round.Plan, res *round.Result) {
	w.asked = !res.GateOnly
	w.refused = w.refused || res.Refused > 0
	switch {
	case res.Gate.Reserved:
		w.yielded++
	case !t.Yields:
		w.yielded = 0
	}
}

// Learn takes note of what an attempt has told about the line. It returns for how long the
// gate is to be believed.
func (w *Waiter) Learn(now time.Time, random func() float64, res *round.Result) (trust time.Duration) {
	w.asked = !res.GateOnly
	switch {
	case res.Outcome != quorum.Acquired:
		w.refused = w.refused || res.Refused > 0
	case !res.Gate.Refused:
		w.joined = false // it is not in the line any more, or leaves it with its release
	}
	if w.alone++; !res.Gate.Granted {
		w.alone = 0
	}
	if w.failed++; res.Gate.Granted || res.Gate.Refused {
		w.failed = 0
	}
	w.came = cmp.Or(res.Gate.Came, w.came)
	if res.Gate.Refused {
		w.rank = max(res.Gate.Rank, 0)
	}
	trust = time.Duration((0.75 + random()/2) * float64(minTrust+time.Duration(w.rank)*trustPerRank))
	w.view.learn(now, res, trust)
	return trust
}

// Bounds of how long a gate that names the same holder is believed. The first ones in the
// line look into that more often.
const (
	minTrust     = 500 * time.Millisecond
	trustPerRank = 100 * time.Millisecond
)

// Heed takes note of why the call was woken, and reports whether that is a reason to ask. Who has others
// before it in the line that the gate keeps is told when it is its turn.
func (w *Waiter) Heed(why Reason) bool {
	w.called = w.called || why&Called != 0
	return why&(Turn|Called) != 0 || why&Hurry != 0 && (!w.joined || w.rank == 0)
}

// Early notes that the next attempt begins before its time.
func (w *Waiter) Early() { w.final = false }

// Final reports whether the next attempt is the last one.
func (w *Waiter) Final() bool { return w.final }

// Ask returns when to ask again although nobody says that there is a reason.
func (w *Waiter) Ask() time.Time { return w.ask }

// Joined reports whether the Locker may be in the line.
func (w *Waiter) Joined() bool { return w.joined }

// Facts are what is known when a pause is chosen.
type Facts struct {
	Now    time.Time
	Random func() float64 // in [0, 1)

	Unknown bool          // how long an attempt takes: nodes have hung in this one
	Gate    bool          // the resource has one
	Well    bool          // that may still tell this Locker when it is its turn
	Listens bool          // something listens for that, or tries to
	Looks   bool          // nobody can tell this Locker, so it looks when its turn is
	Renewal time.Duration // how often the first one in the line of a gate that is far away is to ask; 0 elsewhere
	Pace    time.Duration // how often those who wait behind it here would ask
}

// maxSplits is how many ties in a row are tried again after a pause of a few
// round trips; the next one counts as a refusal.
const maxSplits = 6

// Next decides when to ask again after an attempt that took so long. It reports false if
// there is to be no other one.
func (w *Waiter) Next(took time.Duration, res *round.Result, s *Facts) bool {
	w.draw(s.Now, s.Random)
	left := w.Left(s.Now)
	if res.Twice {
		took /= 2
	}
	if !s.Unknown && (w.trip == 0 || took < w.trip) {
		w.trip = took
	}
	pause := time.Duration(0)
	switch {
	case w.MaxWait > 0 && left < w.trip:
		return false // it would be cut off
	case w.retriesLeft() == 0:
		return false
	case left <= 0 && w.asked:
		return false
	case left <= 0: // the gate alone was asked
	case w.Queues && s.Gate && w.refused && !w.joined && !w.tried:
		w.tried = true // joins the line
	case res.Outcome == quorum.Split && w.splits < maxSplits:
		w.splits++
		pause = quorum.SplitPause(took, w.splits-1, s.Random())
		if w.joined && res.RetryAfter > 0 {
			pause = min(pause, later(res.RetryAfter, time.Millisecond)) // Redis deletes a key in the millisecond after its last one
		}
	default:
		w.splits = 0
		pause = w.pauseInLine(res, s)
	}
	// A pause that would outlast the wait is cut so that the wait ends with one more
	// attempt. With MaxWait that has to be over then; how long it takes is not known
	// where nodes have hung in the last one.
	if w.MaxWait > 0 {
		reserve := 2 * w.trip
		if s.Unknown {
			reserve = max(reserve, left/4)
		}
		left = max(left-reserve, 0)
	}
	w.final = pause >= left
	w.ask = after(s.Now, max(min(pause, left), 0))
	return true
}

// later returns d and more, at most what a Duration can be.
func later(d, more time.Duration) time.Duration { return min(d, math.MaxInt64-more) + more }
