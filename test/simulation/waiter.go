package simulation

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/b0401464/redlock/internal/script"
	locks "github.com/b0401464/redlock/internal/value"
)

// A waiter is one call of Lock, TryLock or With, from its beginning until it has
// the lock or is over.
type waiter struct {
	process  *process
	resource string
	number   int  // for the log
	queues   bool // it waits in line if it has to
	hasty    bool // its node timeout is shorter than the documentation asks for
	from     time.Time
	to       time.Time // zero while it goes on; its context may have ended before it returned
	cancel   context.CancelFunc
	hold     *hold

	// At the gate, which is a node.
	gate   *node
	joined time.Time // zero if it never was in the line
	came   time.Time // when its place there was given first
	score  float64   // and its number, by the gate's clock mostly

	called    time.Time // by the gate, last
	asked     time.Time // the gate, last
	taken     bool      // the gate has let it have the resource, reserved or not
	reserved  bool      // and had reserved it
	lapsed    bool      // that has run out there since it asked last: it has its place again when it asks
	overtaken int       // by later ones, while nothing went wrong
	passes    []*waiter // who was in line before, while nothing was wrong for them
}

// waiterKey is the key of a waiter in the context of its call, which the library
// hands on to the client.
type waiterKey struct{}

// comes notes a call that is about to be made. The returned function notes that it
// has returned.
func (p *process) comes(ctx context.Context, resource string, queues, hasty bool) (context.Context, func()) {
	w := p.w
	ctx, cancel := context.WithCancel(ctx)
	x := &waiter{process: p, resource: resource, queues: queues, hasty: hasty, from: time.Now(), cancel: cancel}
	w.mu.Lock()
	x.number = len(w.waiters) + 1
	w.waiters = append(w.waiters, x)
	if !queues && len(w.waiting(resource)) > 0 {
		w.stats.Line.Tries++
	}
	w.mu.Unlock()
	over := func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		x.over(ctx.Err() != nil)
	}
	stop := context.AfterFunc(ctx, over)
	return context.WithValue(ctx, waiterKey{}, x), func() {
		stop()
		over()
		cancel()
	}
}

// over notes that the waiter does not wait any more, because its context has ended
// or for another reason.
func (x *waiter) over(cancelled bool) {
	if x.to.IsZero() {
		x.to = time.Now()
		if x.hold == nil && !x.joined.IsZero() {
			if s := &x.process.w.stats.Line; cancelled {
				s.Cancelled++
			} else {
				s.GivenUp++
			}
		}
	}
}

// waits reports whether the waiter is in line, by all that it and the gate know.
func (x *waiter) waits() bool { return x.to.IsZero() && !x.joined.IsZero() }

// hears reports whether the node has a connection to tell the process by that it
// is its turn.
func (p *process) hears(n *node) bool {
	for c := range n.conns {
		if c.link.process == p && c.listens != nil && !c.stuck && !c.closed {
			return true
		}
	}
	return false
}

// waiting returns who waits for a resource in line.
func (w *world) waiting(resource string) []*waiter {
	var all []*waiter
	for _, x := range w.waiters {
		if x.resource == resource && x.waits() {
			all = append(all, x)
		}
	}
	return all
}

// A gateView is what a node that keeps a line shows of it.
type gateView struct {
	held     string // the value at the resource
	reserved string // for the Locker of that name
	stands   bool   // the one that asks is in the line
}

// view returns what a node shows of the lines that a command deals with.
func (n *node) view(c *command) (all []gateView) {
	for _, l := range c.lines {
		var v gateView
		v.held, _ = n.redis.Get(l.resource)
		v.reserved, _ = n.redis.Get(l.reservation)
		if c.gate {
			_, err := n.redis.ZScore(c.args[4], c.locker)
			_, aliased := n.redis.ZScore(c.args[4], alias(c.locker))
			v.stands = err == nil || aliased == nil
		}
		all = append(all, v)
	}
	return all
}

// lined notes what a command at the gate has changed for those who wait.
func (n *node) lined(m *message, c *command, before []gateView, answer string) {
	after := n.view(c)
	ran := !strings.HasPrefix(answer, "-NOSCRIPT")
	if c.gate {
		n.asked(m, c, before[0], after[0], answer)
	}
	for i, l := range c.lines {
		if reserved := after[i].reserved; reserved != "" && reserved != before[i].reserved {
			n.w.called(n, l.resource, reserved)
		}
		if undone := c.undoes && before[i].held == ""; ran && c.op == release && !c.keeps && !undone && (after[i].held == "" || after[i].held == locks.Kept) {
			n.w.passedOn(n, c, l.resource, after[i].reserved)
		}
	}
}

// asked notes what a command has told of a waiter.
func (n *node) asked(m *message, c *command, before, after gateView, answer string) {
	w, p := n.w, m.conn.link.process
	if c.op == acquire { // a release may take somebody else out of the line
		p.self = c.locker
	}
	if score, err := n.redis.ZScore(c.args[4], c.locker); err == nil {
		p := place{c.keys[0], c.locker, score}
		if c.comes && !before.stands {
			delete(w.places, p) // where a clock is behind, a score is given again once its place was left
		}
		w.given(p) // who goes back to the line is not told
	}
	if x := w.value(c.value, c.keys[0]).waiter; c.op == acquire && x != nil {
		x.asked, x.lapsed = time.Now(), false
		if score, ok := placeOf(answer); ok && x.joined.IsZero() {
			x.gate, x.joined, x.came, x.score = n, time.Now(), w.given(place{x.resource, c.locker, score}), score
			w.stats.Line.Joined++
			w.tell(w.value(c.value, x.resource), "waiter %d of process %d is in line", x.number, p.id)
		}
		if before.held == "" && after.held == c.value {
			x.taken, x.reserved = true, before.reserved == c.locker
		} else if after.held != c.value {
			x.taken = false
		}
	}
}

// alias returns the other name that a Locker may have in the line.
func alias(locker string) string {
	if name, looks := strings.CutPrefix(locker, script.Looks); looks {
		return name
	}
	return script.Looks + locker
}

// A place is one in a line, which the callers of a process pass on to each other.
type place struct {
	resource, locker string
	score            float64
}

// given returns when a place was given first: its score goes by a clock that may be off.
func (w *world) given(p place) time.Time {
	at, ok := w.places[p]
	if !ok {
		at = time.Now()
		w.places[p] = at
	}
	return at
}

// placeOf reads the place of who asked in the line, if the gate has refused it.
func placeOf(answer string) (score float64, ok bool) {
	lines := strings.Split(answer, "\r\n")
	if len(lines) < 6 || lines[0] != "*4" || lines[4] == ":-1" {
		return 0, false
	}
	score, err := strconv.ParseFloat(lines[len(lines)-2], 64)
	return score, err == nil
}
