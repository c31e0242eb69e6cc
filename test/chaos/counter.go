package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/b0401464/redlock"
)

// A counter is what a lock protects. It is incremented in two steps with a
// pause between them, and notices when two sections are in it at once: two
// contexts alive at the same moment, somebody else between two accesses, a
// value that has changed between the steps.
//
// All of it is judged under one mutex. A holder that is paused between its look
// at the context and its write does no harm here: a lease promises nothing
// about that.
type counter struct {
	resource string
	figures  *figures
	tokens   *tokens

	mu     sync.Mutex
	value  int
	writes int
	owner  *section // the last one to enter
	open   map[*section]struct{}
	past   []interval
}

// A lease is what a section knows of its lock.
type lease interface {
	Valid() bool
	Until() time.Time
	Token() int64
}

// A section is the time from a grant to the end of its context or to its
// Unlock, whichever comes first.
type section struct {
	counter *counter
	process int
	who     string
	ctx     context.Context //nolint:containedctx // the section lasts as long
	lease   lease
	from    time.Time
	asked   time.Time // the end that the last extension asked for
	closed  bool
	unwatch func() bool
}

// An interval is a section that is over: from the moment when Lock had returned
// to the end of the context, by the clock of the lock at the latest.
type interval struct {
	who      string
	from, to time.Time
	why      string
}

func newCounter(resource string, f *figures) *counter {
	return &counter{resource: resource, figures: f, tokens: newTokens(resource, f), open: make(map[*section]struct{})}
}

// enter begins a section of a process that has just been granted a lock. It
// returns nil if that is over already.
func (c *counter) enter(ctx context.Context, k lease, process int, use string) *section {
	s := &section{counter: c, process: process, who: who(process, use), ctx: ctx, lease: k, from: time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil || !k.Valid() {
		return nil
	}
	// s is alive. Whoever entered before and is alive after this, was so at
	// the same moment.
	for other := range c.open {
		if other.alive() {
			c.figures.violate(overlap, "%q: %s entered %v after %s, which was valid for %v more",
				c.resource, s.who, s.from.Sub(other.from), other.who, time.Until(other.lease.Until()))
		}
	}
	c.tokens.entered(k.Token(), s.who)
	c.open[s], c.owner = struct{}{}, s
	c.figures.entered(c.resource, use)
	s.unwatch = context.AfterFunc(ctx, s.leave)
	return s
}

// who names a use of a lock by a process.
func who(process int, use string) string { return fmt.Sprintf("process %d, %s", process, use) }

// holder returns the process that is in the counter, if any is.
func (c *counter) holder() (process int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owner == nil || c.owner.closed {
		return 0, false
	}
	return c.owner.process, true
}

// alive reports whether the context has not ended. It does so by a timer, and
// on a busy machine timers are late; what is no more than that counts as ended.
// The caller holds mu.
func (s *section) alive() bool {
	switch {
	case s.closed || s.ctx.Err() != nil:
		return false
	case s.lease.Valid():
		return true
	}
	late := time.Since(s.lease.Until())
	return s.ctx.Err() == nil && !s.counter.figures.forgives(late)
}

// increment adds one to the counter, in two steps with pause between them. It
// returns false if the section was over before the second one.
func (s *section) increment(pause func()) bool {
	value, ok := s.read()
	pause()
	return ok && s.write(value)
}

func (s *section) read() (value int, ok bool) {
	c := s.counter
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value, s.touch()
}

func (s *section) write(value int) (ok bool) {
	c := s.counter
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.touch() {
		return false
	}
	if c.value != value {
		c.figures.violate(lostUpdate, "%q: %s writes %d over %d", c.resource, s.who, value+1, c.value)
	}
	c.value = value + 1
	c.writes++
	return true
}

// touch reports whether the section may go on, and checks that nobody has
// entered after it. The caller holds mu.
func (s *section) touch() bool {
	c := s.counter
	if !s.alive() {
		return false
	}
	if c.owner != s {
		c.figures.violate(overlap, "%q: %s goes on although %s entered %v after it",
			c.resource, s.who, c.owner.who, c.owner.from.Sub(s.from))
	}
	return true
}

// extending notes that the lock is about to be extended.
func (s *section) extending(ttl time.Duration) {
	s.counter.mu.Lock()
	defer s.counter.mu.Unlock()
	s.asked = time.Now().Add(ttl)
}

// promised returns until when the lock had to last: an extension to an earlier
// end holds at once, even if that has passed when it comes about. The caller
// holds mu.
func (s *section) promised() time.Time {
	until := s.lease.Until()
	if !s.asked.IsZero() && s.asked.Before(until) {
		return s.asked
	}
	return until
}

// leave ends the section. It is called before Unlock, and when the context has
// ended.
func (s *section) leave() {
	now, c := time.Now(), s.counter
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.unwatch()
	delete(c.open, s)
	until, why := s.lease.Until(), "left"
	switch cause := context.Cause(s.ctx); {
	case cause == nil:
		c.figures.lasted(s.who, now.Sub(until))
	case errors.Is(cause, redlock.ErrHoldLimit):
		c.figures.limited()
		why = cause.Error()
	case errors.Is(cause, redlock.ErrLockLost):
		c.figures.lasted(s.who, now.Sub(until))
		c.figures.told(s.who, cause, s.promised().Sub(now))
		why = cause.Error()
	default:
		why = cause.Error()
	}
	if now.After(until) {
		now = until
	}
	c.past = append(c.past, interval{s.who, s.from, now, why})
}

// audit looks at all sections once more, by their intervals, and at the sum.
func (c *counter) audit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.value != c.writes {
		c.figures.violate(lostUpdate, "%q is %d after %d increments", c.resource, c.value, c.writes)
	}
	for _, pair := range intersections(c.past) {
		a, b := pair[0], pair[1]
		c.figures.violate(overlap, "%q: %s from %v to %v, %s from %v to %v", c.resource,
			a.who, c.figures.at(a.from), c.figures.at(a.to), b.who, c.figures.at(b.from), c.figures.at(b.to))
	}
}

// intersections sorts all by their beginning and returns those that begin
// before an earlier one has ended, each with that one.
func intersections(all []interval) [][2]interval {
	slices.SortFunc(all, func(a, b interval) int { return a.from.Compare(b.from) })
	var found [][2]interval
	last := 0 // the one that ends last so far
	for i := 1; i < len(all); i++ {
		if all[i].from.Before(all[last].to) {
			found = append(found, [2]interval{all[last], all[i]})
		}
		if all[i].to.After(all[last].to) {
			last = i
		}
	}
	return found
}

// longestWait returns the longest time between two grants, or between one and
// the beginning or the end.
func (c *counter) longestWait(begun, ended time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	longest, last := time.Duration(0), begun
	for _, i := range c.past { // sorted by audit
		longest, last = max(longest, i.from.Sub(last)), i.from
	}
	return max(longest, ended.Sub(last))
}

func (c *counter) log(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range c.past {
		if time.Since(i.to) > logged {
			continue
		}
		t.Logf("%9.3f to %9.3f  %q  %s: %s",
			c.figures.at(i.from).Seconds(), c.figures.at(i.to).Seconds(), c.resource, i.who, i.why)
	}
}
