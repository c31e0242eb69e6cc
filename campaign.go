package redlock

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// A phase is how far the present automatic extension of a lock has come.
type phase uint8

const (
	resting   phase = iota
	queued          // it is due
	extending       // it makes rounds
)

// maxAdmitted is how many automatic extensions of a Locker make their first
// round at the same time. Many locks that were taken in one burst fall due in
// one, and after a pause of the whole process all of them do: without a bound,
// the process is then so busy that healthy nodes look silent to it. 256 keep
// two processors busy with servers on the same machine; beyond them, a lock that
// has waited for too long goes out of turn; see patience.
const maxAdmitted = 256

// An admission lets a bounded number of automatic extensions begin; the others
// wait in the order in which they fell due, and take no goroutine for that.
type admission struct {
	mu     sync.Mutex
	inside int
	queue  []*hold // some may have gone out of turn, or may be over
}

// enter begins the extension of h, or has it wait until another one leaves.
func (a *admission) enter(ctx context.Context, h *hold) {
	a.mu.Lock()
	if a.inside == maxAdmitted {
		a.queue = append(a.queue, h)
		a.mu.Unlock()
		return
	}
	a.inside++
	a.mu.Unlock()
	if h.start() {
		go h.keep(ctx, true) // start has counted it
	} else {
		a.leave(ctx)
	}
}

// leave gives the place of an extension to the one that has waited longest.
func (a *admission) leave(ctx context.Context) {
	for h := a.next(); h != nil; h = a.next() {
		if h.start() {
			go h.keep(ctx, true) // start has counted it
			return
		}
	}
}

func (a *admission) next() *hold {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.queue) == 0 {
		a.inside--
		return nil
	}
	h := a.queue[0]
	a.queue[0] = nil
	a.queue = a.queue[1:]
	return h
}

// start reports whether the extension that h waits for is still to be made. If
// so the caller runs keep, which counts as work of the fleet.
func (h *hold) start() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over != nil || h.phase != queued {
		return false
	}
	h.phase = resting
	if now := h.now(); h.untilDue(now) > 0 { // it was extended by hand, dropped, or reached its limit
		h.reschedule(now)
		return false
	}
	h.phase = extending
	// The lock is held, so that Shutdown does not return before this counts.
	h.locker.fleet.Begin()
	return true
}

// keep extends the lock automatically, once: it makes rounds until one has
// succeeded, the lock is over, or there is no reason any more to extend it.
func (h *hold) keep(ctx context.Context, admitted bool) {
	defer h.locker.fleet.End()
	h.mu.Lock()
	c := campaign{hold: h, since: h.lease, leave: func() {}}
	h.mu.Unlock()
	if admitted {
		others := ctx // without the span of this extension
		c.leave = sync.OnceFunc(func() { h.locker.admission.leave(others) })
	}
	defer c.leave()
	t, start := h.locker.telemetry, time.Now()
	ctx, span := t.startLinked(ctx, h.origin, h.resources, c.since.ttl)
	success, err := c.run(ctx)
	h.mu.Lock()
	h.phase = resting
	if h.over == nil {
		h.reschedule(h.now())
	}
	h.mu.Unlock()
	result, expected := resultOf(err, success), errors.Is(err, ErrUnlocked)
	setVotes(span, c.last.Agreed, c.last.Refused, len(c.last.Failures))
	finish(span, result, err, expected)
	t.record(ctx, t.extendDuration, start, h.attrs, result, err, expected)
}

// A campaign is one automatic extension of a lock.
type campaign struct {
	hold   *hold
	since  lease // the one to be replaced
	rounds int
	last   round.Result

	// leave gives up the place of the first round. What makes this extension take
	// longer than that must not hold up others.
	leave func()
}

// run returns what the campaign is to be recorded as, unless it failed.
func (c *campaign) run(ctx context.Context) (result string, err error) {
	h := c.hold
	for {
		t, err := h.takeTurn(ctx, c.rounds, c.last)
		if err != nil {
			return "", err
		}
		select {
		case <-t.nudge: // of a lease that is known by now
		default:
		}
		result, err = c.turn(ctx, t.over)
		<-t.taken
		c.leave()
		if result != "" || err != nil {
			return result, err
		}
		pause := time.NewTimer(pauseAfter(c.since.ttl))
		if !c.wanted() {
			pause.Stop() // only what is under way can still tell something
		}
		select {
		case <-pause.C:
		case <-h.grant.News():
		case <-t.nudge:
		case <-t.over:
		}
		pause.Stop()
	}
}

// turn looks at what votes have decided, and makes a round if that is nothing. It
// makes another one at once if the first is interrupted by news. The result is
// empty if there is to be another turn.
func (c *campaign) turn(ctx context.Context, over <-chan struct{}) (result string, err error) {
	h := c.hold
	for {
		select {
		case <-h.grant.News(): // is looked at now
		default:
		}
		result, err = c.judge(ctx)
		if result != "" || err != nil || !c.wanted() {
			return result, err
		}
		next, ok := h.tryRenew(c.since.ttl, c.since.drift)
		if !ok {
			h.expire(ctx)
			return "", h.notHeld()
		}
		c.rounds++
		x, res := h.grant.Extend(ctx, next.start, next.ttl, round.Limits{
			Timeout: h.call.timeout(next.ttl), Wait: h.left(), Stop: over, News: h.grant.News(),
		})
		c.last = res
		c.leave()
		switch res.Outcome {
		case quorum.Extended:
			return c.succeed(ctx, x, next)
		case quorum.Lost:
			return "", h.loseMajority(ctx, c.rounds, res)
		case quorum.Undecided: // there is news, or the lock is over
		default:
			return "", nil
		}
	}
}

// judge looks at what the votes of all rounds since the last success say, and
// whether there still is a reason to extend.
func (c *campaign) judge(ctx context.Context) (result string, err error) {
	h := c.hold
	outcome, x := h.grant.Verdict(c.since.ttl)
	switch {
	case outcome == quorum.Lost:
		return "", h.loseMajority(ctx, c.rounds, c.last)
	case c.replaced():
		return resultGivenUp, nil
	case outcome == quorum.Unknown, !c.wanted():
		return "", nil
	}
	next := lease{x.Start(), c.since.ttl, c.since.drift}
	if now := h.now(); next.left(now) > c.since.left(now) {
		return c.succeed(ctx, x, next)
	}
	x.Commit() // a majority has it, but not for longer than it is held anyway
	return "", nil
}

func (c *campaign) succeed(ctx context.Context, x *round.Extension, next lease) (result string, err error) {
	if !c.hold.renew(ctx, next) {
		return "", c.hold.notHeld()
	}
	x.Commit()
	x.Arm(ctx)
	return resultExtended, nil
}

// replaced reports whether the program has extended the lock meanwhile.
func (c *campaign) replaced() bool {
	h := c.hold
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease != c.since
}

// wanted reports whether the lock is still to be extended: the program may have
// dropped it, and the limit may have been reached.
func (c *campaign) wanted() bool {
	h := c.hold
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.extends()
}
