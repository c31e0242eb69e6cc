package simulation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/b0401464/redlock"
)

// A hold is a lock that was granted, as its holder sees it.
type hold struct {
	w       *world
	process *process
	lock    *redlock.Lock
	first   *hold   // of the same lock, at its first resource
	rest    []*hold // at its other resources, if this is that one
	value   *value
	ttl     time.Duration // that Until goes by
	token   int64         // 0 without fencing
	limit   time.Duration // of automatic extension, if there is one
	began   time.Time     // its attempt
	start   time.Time     // Lock returned
	settled time.Time     // from here on a late grant does not count any more

	sampling sync.Mutex // one look at Until at a time

	// Under world.mu.
	until      time.Time     // as last told
	keeps      time.Time     // how long keys may last by what was told before: Extend to a smaller TTL shortens none
	asked      time.Duration // by an Extend by hand that is under way
	end        time.Time     // the context ended or Unlock was called; zero until then
	unlocked   bool          // the program has called Unlock
	unlockedAt time.Time     // when it did so first
	untilThen  time.Time     // what Until said then
	lostAt     time.Time     // when the process was told that it was gone, before its end and before it was unlocked
	answers    []answer      // that the program was given; of several resources the first one has them
	released   time.Time     // an Unlock returned nil
	contexts   []context.Context
	successes  []success
}

// A success is an extension that was reported as one.
type success struct {
	begun time.Time // just before its first command
	at    time.Time
	until time.Time
}

// drift is what the library sets aside by default.
func drift(ttl time.Duration) time.Duration {
	ms := math.Round(float64(ttl) / float64(time.Millisecond) * 0.01)
	return time.Duration(ms)*time.Millisecond + 2*time.Millisecond
}

// grace is how long after the decision a grant counts as if it had come with
// the others; see docs/guarantees.md.
func grace(deciding time.Duration) time.Duration {
	return min(max(deciding, 5*time.Millisecond), 50*time.Millisecond)
}

// hold notes that a lock was granted, just now. At each of its resources it is held as
// if it were one of its own; what the program does is told the first.
func (p *process) hold(lock *redlock.Lock, ttl, limit time.Duration) *hold {
	first := p.holdAt(lock, lock.Resource(), ttl, nil)
	first.limit = limit
	for _, resource := range lock.Resources()[1:] {
		first.rest = append(first.rest, p.holdAt(lock, resource, ttl, first))
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.stats.Locks++
	if first.rest != nil {
		p.w.stats.Several++
	}
	return first
}

func (p *process) holdAt(lock *redlock.Lock, resource string, ttl time.Duration, first *hold) *hold {
	w, now := p.w, time.Now()
	ttl = ttl.Truncate(time.Millisecond)
	until := lock.Until()
	h := &hold{w: w, process: p, lock: lock, ttl: ttl, start: now, until: until}
	h.first = cmp.Or(first, h)
	h.token, h.began = lock.Token(), h.begun(until, ttl)
	h.settled = now.Add(grace(now.Sub(h.began)))
	above := newParent(h, p.id%2 == 1)
	ctx, _ := lock.Context(above)
	w.mu.Lock()
	h.value = w.value(lock.Value(), resource)
	h.value.hold = h
	h.contexts = append(h.contexts, ctx)
	above.made.Store(true)
	w.granted(h)
	w.holds = append(w.holds, h)
	w.tell(h.value, "process %d holds it for %v, until %s", p.id, ttl, w.clock(until))
	w.mu.Unlock()
	context.AfterFunc(ctx, func() { h.over(context.Cause(ctx)) })
	return h
}

// watch notes another context of the lock.
func (h *hold) watch(ctx context.Context) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.contexts = append(h.contexts, ctx)
}

// begun returns when the round began that made the lock last until then.
func (h *hold) begun(until time.Time, ttl time.Duration) time.Time {
	return until.Add(drift(ttl) - ttl)
}

// unlock notes that the program is about to unlock.
func (h *hold) unlock() {
	until := h.lock.Until()
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	for _, h := range h.all() {
		if !h.unlocked {
			h.unlocked, h.unlockedAt, h.untilThen = true, time.Now(), until
		}
		if h.end.IsZero() {
			h.told(until)
			h.ends()
			h.w.tell(h.value, "Unlock")
		}
	}
}

func (h *hold) all() []*hold { return append([]*hold{h}, h.rest...) }

// unlocks calls Unlock, after unlock.
func (h *hold) unlocks(ctx context.Context) {
	from := time.Now()
	err := h.lock.Unlock(ctx)
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.hears(answer{call: byUnlock, from: from, to: time.Now(), err: err, ended: ctx.Err() != nil})
	for _, h := range h.all() {
		h.w.tell(h.value, "Unlock returned %v", err)
		if err == nil && h.released.IsZero() {
			h.released = time.Now()
		}
	}
}

// over notes that the context has ended.
func (h *hold) over(cause error) {
	now, valid, until := time.Now(), h.lock.Valid(), h.lock.Until()
	w := h.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if !h.end.IsZero() {
		return
	}
	h.told(until)
	h.ends()
	w.tell(h.value, "over: %v", cause)
	h.first.hears(answer{call: byContext, from: h.start, to: now, err: cause, until: until})
	if errors.Is(cause, redlock.ErrLockLost) && now.Before(until.Add(-h.process.gained(h.began, now))) && h.first.lostAt.IsZero() && !h.first.unlocked {
		h.first.lostAt = now
	}
	if valid && !errors.Is(cause, redlock.ErrHoldLimit) {
		w.violate("b", h.value.resource, h.start, now, "lock #%d is valid after its context has ended: %v", h.value.number, cause)
	}
	if late := h.end.Sub(h.until); late > time.Microsecond {
		w.violate("b", h.value.resource, h.start, now, "the context of lock #%d ended %v after Until", h.value.number, late)
	}
}

// ends notes that the lock has ended for its holder, just now: or when it has run out, if the
// process was stopped then, and nobody could do anything since.
func (h *hold) ends() {
	h.end = time.Now()
	if h.end.After(h.until) && h.process.lateFrom(h.until, h.end) {
		h.end = h.until
		h.w.stats.LateEnds++
	}
}

// sample looks if Until has moved: only an extension that succeeded moves it
// forward.
func (h *hold) sample() {
	h.sampling.Lock()
	defer h.sampling.Unlock()
	until, valid := h.lock.Until(), h.lock.Valid()
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if !valid || !h.end.IsZero() {
		return
	}
	if until.After(h.until) {
		h.succeed(until)
	}
	h.told(until)
}

// told notes what Until says. An extension to a smaller TTL whose outcome is
// unknown can move it to a moment that has passed: until now, the holder went
// by what it was told before.
func (h *hold) told(until time.Time) {
	h.keep()
	if until.Before(h.until) && h.asked != 0 {
		h.ttl = h.asked // it may have been extended to the smaller TTL
	}
	if now := time.Now(); until.Before(now) && until.Before(h.until) {
		until = now
		if h.until.Before(now) { // that had passed, too: the process was stopped
			until = h.until
		}
	}
	h.until = until
}

// keep notes how long its keys may last.
func (h *hold) keep() {
	if keeps := h.until.Add(drift(h.ttl) + slack(h.ttl)); keeps.After(h.keeps) {
		h.keeps = keeps
	}
}

// extend extends the lock by hand and notes the outcome.
func (h *hold) extend(ctx context.Context, ttl time.Duration) {
	h.w.mu.Lock()
	for _, h := range h.all() {
		h.asked = ttl.Truncate(time.Millisecond)
	}
	h.w.mu.Unlock()
	from := time.Now()
	err := h.lock.Extend(ctx, ttl)
	a := answer{call: byExtend, from: from, to: time.Now(), err: err, until: h.lock.Until(), ended: ctx.Err() != nil}
	h.w.mu.Lock()
	h.hears(a)
	if errors.Is(err, redlock.ErrLockLost) && a.to.Before(a.until.Add(-h.process.gained(h.began, a.to))) && h.lostAt.IsZero() && !h.unlocked {
		h.lostAt = a.to
	}
	h.w.mu.Unlock()
	for _, h := range h.all() {
		h.extended(err)
	}
}

func (h *hold) extended(err error) {
	h.sampling.Lock()
	defer h.sampling.Unlock()
	until := h.lock.Until()
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.keep()
	if err == nil {
		h.ttl = h.asked
		h.succeed(until)
		if !h.unlocked {
			h.w.checkLasting(h, h.begun(until, h.ttl), until)
		}
	}
	h.w.tell(h.value, "extended by hand to %v, until %s: %v", h.asked, h.w.clock(until), err)
	h.told(until)
	h.asked = 0
}

// atOnce is less than any answer takes. Where Until is that of a round that has begun so
// shortly before, an extension to a larger TTL has succeeded, and one to this smaller one
// has begun at that very moment.
const atOnce = 10 * time.Microsecond

// sentFor returns when the round began that made the lock last until then, by what its process
// has sent: the lock may just be extended to a TTL that it had before, or is to have. If
// there are several such rounds, it is the first of them.
func (h *hold) sentFor(until time.Time) (first time.Time, ok bool) {
	for _, c := range h.value.calls {
		begun := h.begun(until, c.ttl)
		if c.op == extend && c.from.Sub(begun).Abs() < 2*ms && time.Since(begun) > atOnce && (!ok || begun.Before(first)) {
			first, ok = begun, true
		}
	}
	return first, ok
}

func (h *hold) succeed(until time.Time) {
	now, begun := time.Now(), h.begun(until, h.ttl)
	if sent, ok := h.sentFor(until); ok {
		begun = sent
	}
	impossible := func() bool { return now.Sub(begun) <= atOnce || begun.Before(h.start) }
	if impossible() && h.asked != 0 {
		begun = h.begun(until, h.asked)
	}
	if impossible() {
		begun = h.settled // it was for a TTL that the lock had before
		if n := len(h.successes); n > 0 {
			begun = h.successes[n-1].at
		}
	}
	h.successes = append(h.successes, success{begun: begun, at: now, until: until})
	h.w.stats.Extensions++
	h.w.tell(h.value, "extended until %s", h.w.clock(until))
}

// ended returns when the interval of the hold ended, by now at the latest.
func (h *hold) ended() time.Time {
	if h.end.IsZero() {
		return time.Now()
	}
	return h.end
}

// clock writes a moment as the log does.
func (w *world) clock(t time.Time) string {
	if t.IsZero() {
		return "no time"
	}
	return fmt.Sprintf("%.6f s", t.Sub(w.began).Seconds())
}
