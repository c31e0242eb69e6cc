package redlock

import (
	"context"
	"fmt"
	"time"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// Extend sets the TTL anew, to ttl from now on; it never adds to it. With a ttl
// smaller than what is left, the lock is valid for that long only, while the
// keys on the nodes last as long as before. ttl is cut to whole milliseconds.
//
// A round that found no majority is repeated by the lock's retry schedule (see
// [WithRetry]) while the lock is valid. ctx bounds the waiting only. Rounds of
// several calls for the same lock, and of automatic extension, run one after the
// other.
//
// The error matches [ErrLockLost] if the lock is over or is found gone from so
// many nodes that it does not stand on a majority: that is final, and what is
// left of it is removed in the background. It matches [ErrNoQuorum], and ctx's
// error too if ctx ended the wait, if the outcome is unknown: the lock is then
// valid until [Lock.Until], which that did not make later. It matches
// [ErrUnlocked] after Unlock, and [ErrInvalidArgument] for a ttl that Lock would
// not take.
func (k *Lock) Extend(ctx context.Context, ttl time.Duration) error {
	if ctx == nil {
		return invalid("nil context")
	}
	if k.zero() {
		return unlockedZero(OpExtend)
	}
	h := k.hold
	ttl, drift, err := checkTTL(ttl, &h.locker.config, &h.call)
	if err != nil {
		return err
	}
	t, start := h.locker.telemetry, time.Now()
	ctx, span := t.startOn(ctx, spanExtend, h.resources, ttl)
	x := extension{hold: h, ttl: ttl, drift: drift}
	err = x.run(ctx)
	result := resultOf(err, resultExtended)
	setVotes(span, x.last.Agreed, x.last.Refused, len(x.last.Failures))
	finish(span, result, err, false)
	t.record(ctx, t.extendDuration, start, h.attrs, result, err, false)
	return err
}

// A turn lets one extension of a lock run at a time.
type turn struct {
	taken chan struct{}
	over  chan struct{} // closed when the lock ends
	nudge chan struct{} // holds one: automatic extension has something to look at
}

// takeTurn waits until no other round of extension of the lock is running. If ctx
// ends that, the error tells of the rounds that were made before.
func (h *hold) takeTurn(ctx context.Context, rounds int, last round.Result) (*turn, error) {
	h.mu.Lock()
	if h.turn == nil {
		h.turn = &turn{taken: make(chan struct{}, 1), over: make(chan struct{}), nudge: make(chan struct{}, 1)}
		if h.over != nil {
			close(h.turn.over)
		}
	}
	t, over := h.turn, h.over != nil
	h.mu.Unlock()
	switch {
	case over:
		return nil, h.notHeld()
	case ctx.Err() == nil:
		select {
		case t.taken <- struct{}{}:
			return t, nil
		case <-t.over:
			return nil, h.notHeld()
		case <-ctx.Done():
		}
	}
	return nil, h.failed(OpExtend, rounds, last, ended(ctx), ErrNoQuorum)
}

// notHeld returns the error of an Extend that found the lock over.
func (h *hold) notHeld() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fail(OpExtend, h.over, h.detail)
}

// tryRenew returns the lease that an extension beginning now is for, unless the
// lock is over. From here on keys may outlast the present lease.
func (h *hold) tryRenew(ttl, drift time.Duration) (next lease, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next = lease{h.now(), ttl, drift}
	if h.over != nil || h.lease.left(next.start) <= 0 {
		return next, false
	}
	if end := next.start.Add(ttl); end.After(h.latest) {
		h.latest = end
	}
	return next, true
}

// renew replaces the lease if the lock is still held and valid, under the old
// lease and the new one. If not, the lock is over, since the earlier end of both.
func (h *hold) renew(ctx context.Context, next lease) bool {
	h.mu.Lock()
	now := h.now()
	if h.over == nil && h.lease.left(now) > 0 {
		if next.left(now) > 0 {
			h.replace(next, now)
			h.mu.Unlock()
			return true
		}
		h.latest = h.lease.start.Add(h.lease.ttl) // the keys outlast the lock: whoever ends it removes them
		h.lease = next
	}
	h.mu.Unlock()
	h.lose(ctx, expired)
	return false
}

// shorten takes the lease that an extension of unknown outcome asked for, if
// it ends earlier than the present one.
func (h *hold) shorten(next lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := h.now(); h.over == nil && next.left(now) < h.lease.left(now) {
		h.replace(next, now)
	}
}

// replace replaces the lease. An automatic extension that is under way has lost
// its reason.
func (h *hold) replace(next lease, now clock.Time) {
	h.lease, h.trip = next, now.Since(next.start)
	h.reschedule(now)
	h.nudge()
}

func (h *hold) nudge() {
	if h.turn == nil {
		return
	}
	select {
	case h.turn.nudge <- struct{}{}:
	default: // nudged already
	}
}

// lose ends the lock and removes in the background what is left of it.
func (h *hold) lose(ctx context.Context, detail string) {
	h.end(ctx, ErrLockLost, detail, func() { h.grant.Release(ctx, h.timeout(), round.Pop) })
}

// loseMajority ends a lock whose value is gone from too many nodes, and returns
// the error of the extension that found it.
func (h *hold) loseMajority(ctx context.Context, rounds int, res round.Result) error {
	n := h.locker.fleet.Size()
	detail := fmt.Sprintf("its value was gone from more than %d of %d nodes", quorum.Spare(n), n)
	h.lose(ctx, detail)
	err := h.failed(OpExtend, rounds, res, nil, ErrLockLost)
	err.detail = detail
	return err
}

// Confirm makes a node count that has the value since a moment ago: if the
// others still have it now, there was no gap. It is what an extension to the
// present end of the lock finds out. It runs on a goroutine that counts as a
// node call under way, and ends with the lock at the latest.
func (h *hold) Confirm(ctx context.Context) {
	if !h.confirming.CompareAndSwap(false, true) {
		return // one that has not begun will see this node too
	}
	t, err := h.takeTurn(ctx, 0, round.Result{})
	h.confirming.Store(false)
	if err != nil {
		return
	}
	defer func() { <-t.taken }()
	left := h.left()
	if left < time.Millisecond {
		return
	}
	x, res := h.grant.Extend(ctx, h.now(), left.Truncate(time.Millisecond), round.Limits{Timeout: h.timeout(), Wait: left, Stop: t.over})
	switch res.Outcome {
	case quorum.Extended:
		x.Commit()
	case quorum.Lost:
		_ = h.loseMajority(ctx, 1, round.Result{})
	default: // the next extension will tell
	}
}

// An extension is one call of Extend.
type extension struct {
	hold  *hold
	ttl   time.Duration
	drift time.Duration
	last  round.Result
}

func (x *extension) run(ctx context.Context) error {
	h := x.hold
	for n := 1; ; n++ {
		t, err := h.takeTurn(ctx, n-1, x.last)
		if err != nil {
			return err
		}
		done, err := x.turn(ctx, t.over, n)
		<-t.taken
		if done {
			return err
		}
		if err := x.pause(ctx, t.over, n); err != nil {
			return err
		}
	}
}

// turn makes one round. It reports whether the call is over.
func (x *extension) turn(ctx context.Context, over <-chan struct{}, n int) (done bool, err error) {
	h := x.hold
	next, ok := h.tryRenew(x.ttl, x.drift)
	if !ok {
		h.expire(ctx)
		return true, h.notHeld()
	}
	r, res := h.grant.Extend(ctx, next.start, x.ttl, round.Limits{
		Timeout: h.call.timeout(x.ttl), Wait: min(h.left(), quorum.Validity(x.ttl, 0, x.drift)), Stop: over,
	})
	x.last = res
	switch res.Outcome {
	case quorum.Extended:
		if !h.renew(ctx, next) {
			return true, h.notHeld()
		}
		r.Commit()
		r.Arm(ctx)
		return true, nil
	case quorum.Lost:
		return true, h.loseMajority(ctx, n, res)
	case quorum.Released:
		return true, h.notHeld()
	default: // unknown, or interrupted
		h.shorten(next)
		return false, nil
	}
}

// pause waits before the next round, or returns the error of the call if there
// is to be none.
func (x *extension) pause(ctx context.Context, over <-chan struct{}, rounds int) error {
	h, res := x.hold, x.last
	left := h.left()
	if left <= 0 {
		h.expire(ctx)
		return h.notHeld()
	}
	wait := quorum.Delay(h.call.delay, h.call.jitter, random())
	switch {
	case ctx.Err() != nil:
		return h.failed(OpExtend, rounds, res, ended(ctx), ErrNoQuorum)
	case wait >= left, h.call.retries != Forever && rounds > h.call.retries:
		return h.failed(OpExtend, rounds, res, nil, ErrNoQuorum)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-over:
		return h.notHeld()
	case <-ctx.Done():
		return h.failed(OpExtend, rounds, res, ended(ctx), ErrNoQuorum)
	}
}
