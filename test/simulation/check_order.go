package simulation

import (
	"strings"
	"time"

	"github.com/b0401464/redlock/internal/script"
)

// The order of the line, (f), is judged where nothing is wrong for the one who is
// passed, and was not a moment ago: its process is alive, its messages take little
// time and arrive, its connection listens, or it looks by itself, and the nodes are well. For the others
// anything may be wrong.

// mostOvertaken is how often a waiter may be passed, in all, by later ones that the
// gate has not called: when the key is free and nothing reserved, whoever asks
// gets it. So it is after a lock has run out, after a Locker that was called
// has died or got no majority, and for a first parallel round.
const mostOvertaken = 25

// called checks that the gate calls the first one in line.
func (w *world) called(n *node, resource, self string) {
	line := w.waiting(resource)
	var called *waiter
	for _, x := range line {
		if x.process.self == self {
			called = x
		}
	}
	if called == nil {
		return // it has given up, and passes this on
	}
	defer w.surprise(called)
	called.called = time.Now()
	for _, x := range line {
		switch {
		case x.process == called.process:
		case n.serves(resource, x): // who was next has reserved it for after that one
		case !x.ready(n) || called.process.wentOn() || x.score > float64(n.now.Add(n.off).UnixMicro()):
			// Where the number of a place is ahead of the gate's clock, those get smaller ones who
			// come while nobody is in line.
			w.stats.Line.Unjudged++
		case x.came.Before(called.came):
			w.violate("f", resource, x.joined, time.Now(),
				"waiter %d of process %d, in line since %s, was called before waiter %d of process %d, in line since %s, which asked at %s and was called at %s",
				called.number, called.process.id, w.clock(called.joined),
				x.number, x.process.id, w.clock(x.joined), w.clock(x.asked), w.clock(x.called))
		default:
			w.stats.Line.Judged++
		}
	}
}

// serves reports whether the gate has the value of a waiter, which may not know that yet.
func (n *node) serves(resource string, x *waiter) bool {
	held, err := n.redis.Get(resource)
	v := n.w.values[[2]string{held, resource}]
	return err == nil && v != nil && v.waiter == x
}

// passedOn checks that a release, or one who leaves the line, calls somebody if the
// resource is free then.
func (w *world) passedOn(n *node, c *command, resource, reserved string) {
	for _, x := range w.waiting(resource) {
		if x.process.self == c.locker || !x.ready(n) {
			continue
		}
		w.stats.Line.Passed++
		if reserved == "" || c.leaves && reserved == c.locker {
			w.violate("f", x.resource, x.joined, time.Now(),
				"a release let nobody go while waiter %d of process %d was in line since %s, which asked at %s and was called at %s",
				x.number, x.process.id, w.clock(x.joined), w.clock(x.asked), w.clock(x.called))
		}
		return
	}
}

// ready reports whether a waiter is in line at a node and nothing is wrong for it.
func (x *waiter) ready(n *node) bool {
	return x.gate == n && x.process.calm() && (x.process.hears(n) || strings.HasPrefix(x.process.self, script.Looks)) && !x.late() && !x.lapsed
}

// late reports whether a waiter was called and has not come yet, so that what was
// reserved for it may have lapsed. It comes when the commands of its last attempt,
// one after the other, are answered; then it has its old place.
func (x *waiter) late() bool {
	return x.called.After(x.asked) && time.Since(x.called) < longestLate
}

const longestLate = 100 * ms

// granted notes that a waiter has got its lock. It checks that the callers of one
// process get it in turn, whatever goes wrong.
func (w *world) granted(h *hold) {
	got := h.value.waiter
	if got == nil {
		return
	}
	for _, x := range w.waiters {
		switch {
		case x == got || x.resource != got.resource || !x.to.IsZero():
		case x.process == got.process:
			if got.queues && x.queues && x.from.Before(got.from) {
				w.violate("f", got.resource, x.from, time.Now(),
					"waiter %d of process %d had the lock before waiter %d, which had come first", got.number, got.process.id, x.number)
			}
		case x.waits() && (got.joined.IsZero() || x.came.Before(got.came)) && x.process.calm() && x.process.hears(x.gate):
			got.passes = append(got.passes, x)
		}
	}
	got.hold = h
	got.over(false)
}

// checkOvertaking checks how often one is passed by those who were not called. It
// is not known before: the nodes may agree before the gate is asked.
func (w *world) checkOvertaking() {
	for _, got := range w.waiters {
		if got.reserved {
			continue
		}
		for _, x := range got.passes {
			x.overtaken++
			w.stats.Line.Overtaken++
			w.stats.Line.Most = max(w.stats.Line.Most, x.overtaken)
			if x.overtaken == mostOvertaken+1 {
				w.violate("f", x.resource, x.joined, got.hold.start, "waiter %d of process %d, in line since %s, was passed for the %dth time at %s",
					x.number, x.process.id, w.clock(x.joined), x.overtaken, w.clock(got.hold.start))
			}
		}
	}
}
