package lease

import (
	"context"
	"sync"
	"time"

	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// A phase is how far the present renewal of a lock has come.
type phase uint8

const (
	resting   phase = iota
	queued          // it is due
	extending       // it makes rounds
)

// maxAdmitted is how many renewals of a Locker make their first
// round at the same time. Many locks that were taken in one burst fall due in
// one, and after a pause of the whole process all of them do: without a bound,
// the process is then so busy that healthy nodes look silent to it. 256 keep
// two processors busy with servers on the same machine; beyond them, a lock that
// has waited for too long goes out of turn; see patience.
const maxAdmitted = 256

// An admission lets a bounded number of renewals begin; the others
// wait in the order in which they fell due, and take no goroutine for that.
type admission struct {
	mu     sync.Mutex
	inside int
	queue  []*Hold // some may have gone out of turn, or may be over
}

// enter begins the renewal of h, or has it wait until another one leaves.
func (a *admission) enter(ctx context.Context, h *Hold) {
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

// leave gives the place of a renewal to the one that has waited longest.
func (a *admission) leave(ctx context.Context) {
	for h := a.next(); h != nil; h = a.next() {
		if h.start() {
			go h.keep(ctx, true) // start has counted it
			return
		}
	}
}

func (a *admission) next() *Hold {
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

// start reports whether the renewal that h waits for is still to be made. If
// so the caller runs keep, which counts as work of the nodes.
func (h *Hold) start() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over != 0 || h.phase != queued {
		return false
	}
	h.phase = resting
	if now := h.now(); h.untilDue(now) > 0 { // it was extended by hand, dropped, or reached its limit
		h.reschedule(now)
		return false
	}
	h.phase = extending
	// The lock is held, so that Shutdown does not return before this counts.
	h.locks.Nodes.Begin()
	return true
}

// keep extends the lock automatically, once: it makes rounds until one has
// succeeded, the lock is over, or there is no reason any more to extend it.
func (h *Hold) keep(ctx context.Context, admitted bool) {
	defer h.locks.Nodes.End()
	h.mu.Lock()
	r := renewal{hold: h, since: h.lease, leave: func() {}}
	h.mu.Unlock()
	if admitted {
		others := ctx // without the span of this renewal
		r.leave = sync.OnceFunc(func() { h.locks.admission.leave(others) })
	}
	defer r.leave()
	ctx, tell := h.locks.telemetry.StartRenewal(ctx, h, r.since.ttl)
	result, f := r.run(ctx)
	h.mu.Lock()
	h.phase = resting
	if h.over == 0 {
		h.reschedule(h.now())
	}
	h.mu.Unlock()
	tell(result, r.last, f)
}

// A renewal is one automatic extension of a lock.
type renewal struct {
	hold   *Hold
	since  lease // the one to be replaced
	rounds int
	last   round.Result

	// leave gives up the place of the first round. What makes this renewal take
	// longer than that must not hold up others.
	leave func()
}

// run returns the result of the renewal, unless it failed.
func (r *renewal) run(ctx context.Context) (result string, f *fault.Fault) {
	h := r.hold
	for {
		t, f := h.takeTurn(ctx, r.rounds, r.last)
		if f != nil {
			return "", f
		}
		select {
		case <-t.news: // of a lease that is known by now
		default:
		}
		result, f = r.turn(ctx, t.over)
		<-t.taken
		r.leave()
		if result != "" || f != nil {
			return result, f
		}
		pause := time.NewTimer(pauseAfter(r.since.ttl))
		if !r.wanted() {
			pause.Stop() // only what is under way can still tell something
		}
		select {
		case <-pause.C:
		case <-h.grant.News():
		case <-t.news:
		case <-t.over:
		}
		pause.Stop()
	}
}

// turn looks at what votes have decided, and makes a round if that is nothing. It
// makes another one at once if the first is interrupted by news. The result is
// empty if there is to be another turn.
func (r *renewal) turn(ctx context.Context, over <-chan struct{}) (result string, f *fault.Fault) {
	h := r.hold
	for {
		select {
		case <-h.grant.News(): // is looked at now
		default:
		}
		result, f = r.judge(ctx)
		if result != "" || f != nil || !r.wanted() {
			return result, f
		}
		x, f := h.ask(ctx, r.since.ttl, r.since.drift, round.Limits{Stop: over, News: h.grant.News()})
		if f != nil {
			return "", f
		}
		r.rounds++
		r.last = x.found
		r.leave()
		done, f := h.conclude(ctx, x, r.rounds)
		switch {
		case f != nil:
			return "", f
		case done:
			return ResultExtended, nil
		case x.found.Outcome != quorum.Undecided: // there is no news, and the lock is not over
			return "", nil
		}
	}
}

// judge looks at what the votes of all rounds since the last success say, and
// whether there still is a reason to extend.
func (r *renewal) judge(ctx context.Context) (result string, f *fault.Fault) {
	h := r.hold
	outcome, x := h.grant.Verdict(r.since.ttl)
	switch {
	case outcome == quorum.Lost:
		return "", h.loseMajority(ctx, r.rounds, r.last)
	case r.replaced():
		return ResultGivenUp, nil
	case outcome == quorum.Unknown, !r.wanted():
		return "", nil
	}
	next := lease{x.Start, r.since.ttl, r.since.drift}
	if now := h.now(); next.left(now) > r.since.left(now) {
		if f := h.succeed(ctx, x, next); f != nil {
			return "", f
		}
		return ResultExtended, nil
	}
	h.grant.Commit(x) // a majority has it, but not for longer than it is held anyway
	return "", nil
}

// replaced reports whether the program has extended the lock meanwhile.
func (r *renewal) replaced() bool {
	r.hold.mu.Lock()
	defer r.hold.mu.Unlock()
	return r.hold.lease != r.since
}

// wanted reports whether the lock is still to be extended: the program may have
// dropped it, and the limit may have been reached.
func (r *renewal) wanted() bool {
	r.hold.mu.Lock()
	defer r.hold.mu.Unlock()
	return r.hold.extends()
}
