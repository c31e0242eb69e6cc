package redlock

import (
	"context"
	"fmt"
	"time"

	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// Extend sets the TTL anew, to ttl from now on; it never adds to it. With a ttl
// smaller than what is left, the lock is valid for that long only, while the
// keys on the nodes last as long as before. ttl is cut to whole milliseconds.
//
// A round that found no majority is repeated by the lock's retry schedule (see
// [WithRetry]) while the lock is valid. ctx bounds the waiting only. Calls for
// the same lock run one after the other.
//
// The error matches [ErrLockLost] if the lock is over or is found gone from so
// many nodes that it does not stand on a majority: that is final, and what is
// left of it is removed in the background. It matches [ErrNoQuorum], and ctx's
// error too if ctx ended the wait, if the outcome is unknown: the lock is then
// valid until [Lock.Until], which is not later than before. It matches
// [ErrUnlocked] after Unlock, and [ErrInvalidArgument] for a ttl that Lock would
// not take.
func (k *Lock) Extend(ctx context.Context, ttl time.Duration) error {
	if ctx == nil {
		return invalid("nil context")
	}
	if k.zero() {
		return k.fail(OpExtend, ErrUnlocked, "")
	}
	ttl, err := checkTTL(ttl, k.locker.config.drift)
	if err != nil {
		return err
	}
	t, start := k.locker.telemetry, time.Now()
	ctx, span := t.startOn(ctx, spanExtend, k.resource, ttl)
	x := extension{lock: k, ttl: ttl, drift: quorum.Drift(ttl, k.locker.config.drift)}
	err = x.inTurn(ctx)
	result := resultOf(err, resultExtended)
	setVotes(span, x.last.Agreed, x.last.Refused, len(x.last.Failures))
	finish(span, result, err, false)
	t.record(ctx, t.extendDuration, time.Since(start), k.attrs, result, err, false)
	return err
}

// A turn lets one Extend of a lock run at a time.
type turn struct {
	taken chan struct{}
	over  chan struct{} // closed when the lock ends
}

// takeTurn waits until no other Extend of the lock is running.
func (k *Lock) takeTurn(ctx context.Context) (*turn, error) {
	k.mu.Lock()
	if k.turn == nil {
		k.turn = &turn{taken: make(chan struct{}, 1), over: make(chan struct{})}
		if k.over != nil {
			close(k.turn.over)
		}
	}
	t, over := k.turn, k.over != nil
	k.mu.Unlock()
	switch {
	case over:
		return nil, k.notHeld()
	case ctx.Err() == nil:
		select {
		case t.taken <- struct{}{}:
			return t, nil
		case <-t.over:
			return nil, k.notHeld()
		case <-ctx.Done():
		}
	}
	return nil, k.failed(OpExtend, 0, round.Result{}, ended(ctx), ErrNoQuorum)
}

// notHeld returns the error of an Extend that found the lock over.
func (k *Lock) notHeld() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.fail(OpExtend, k.over, k.detail)
}

// tryRenew returns the lease that an extension beginning now is for, unless the
// lock is over. From here on keys may outlast the present lease.
func (k *Lock) tryRenew(ttl, drift time.Duration) (next lease, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	next = lease{k.now(), ttl, drift}
	if k.over != nil || k.lease.left(next.start) <= 0 {
		return next, false
	}
	if end := next.start.Add(ttl); end.After(k.latest) {
		k.latest = end
	}
	return next, true
}

// renew replaces the lease if the lock is still held and valid, under the old
// lease and the new one. If not, the lock is over.
func (k *Lock) renew(ctx context.Context, next lease) bool {
	k.mu.Lock()
	now := k.now()
	if k.over == nil && k.lease.left(now) > 0 && next.left(now) > 0 {
		k.lease = next
		k.timer.Reset(min(next.left(now), slice))
		k.mu.Unlock()
		return true
	}
	k.mu.Unlock()
	k.lose(ctx, expired)
	return false
}

// shorten takes the lease that an extension of unknown outcome asked for, if
// it ends earlier than the present one.
func (k *Lock) shorten(next lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := k.now(); k.over == nil && next.left(now) < k.lease.left(now) {
		k.lease = next
		k.timer.Reset(min(next.left(now), slice))
	}
}

// lose ends the lock and removes in the background what is left of it.
func (k *Lock) lose(ctx context.Context, detail string) {
	k.end(ctx, ErrLockLost, detail, func() { k.grant.Release(ctx, k.timeout()) })
}

// loseMajority ends a lock whose value is gone from too many nodes, and returns
// the error of the extension that found it.
func (k *Lock) loseMajority(ctx context.Context, rounds int, res round.Result) error {
	n := k.locker.fleet.Size()
	detail := fmt.Sprintf("its value was gone from more than %d of %d nodes", quorum.Spare(n), n)
	k.lose(ctx, detail)
	err := k.failed(OpExtend, rounds, res, nil, ErrLockLost)
	err.detail = detail
	return err
}

// confirm makes a node count that has the value since a moment ago: if the
// others still have it now, there was no gap. It is what an extension to the
// present end of the lock finds out. It runs on a goroutine that counts as a
// node call under way, and ends with the lock at the latest.
func (k *Lock) confirm(ctx context.Context) {
	if !k.confirming.CompareAndSwap(false, true) {
		return // one that has not begun will see this node too
	}
	t, err := k.takeTurn(ctx)
	k.confirming.Store(false)
	if err != nil {
		return
	}
	defer func() { <-t.taken }()
	left := k.left()
	if left < time.Millisecond {
		return
	}
	rounds := k.grant.NewExtension()
	switch rounds.Round(ctx, left, round.Limits{Timeout: k.timeout(), Wait: left, Stop: t.over}).Outcome {
	case quorum.Extended:
		rounds.Commit()
	case quorum.Lost:
		_ = k.loseMajority(ctx, 1, round.Result{})
	default: // the next extension will tell
	}
}

// An extension is one call of Extend.
type extension struct {
	lock  *Lock
	over  <-chan struct{}
	ttl   time.Duration
	drift time.Duration
	last  round.Result
}

// inTurn runs the extension when no other one of the lock is running.
func (x *extension) inTurn(ctx context.Context) error {
	t, err := x.lock.takeTurn(ctx)
	if err != nil {
		return err
	}
	defer func() { <-t.taken }()
	x.over = t.over
	return x.run(ctx)
}

func (x *extension) run(ctx context.Context) error {
	k := x.lock
	rounds := k.grant.NewExtension()
	for n := 1; ; n++ {
		next, ok := k.tryRenew(x.ttl, x.drift)
		if !ok {
			k.expire(ctx)
			return k.notHeld()
		}
		res := rounds.Round(ctx, x.ttl, round.Limits{
			Timeout: k.call.timeout(x.ttl), Wait: k.left(), Stop: x.over,
		})
		x.last = res
		switch res.Outcome {
		case quorum.Extended:
			if !k.renew(ctx, next) {
				return k.notHeld()
			}
			rounds.Commit()
			rounds.Arm(ctx)
			return nil
		case quorum.Lost:
			return k.loseMajority(ctx, n, res)
		case quorum.Released:
			return k.notHeld()
		default: // unknown, or interrupted
		}
		k.shorten(next)
		if err := x.pause(ctx, n); err != nil {
			return err
		}
	}
}

// pause waits before the next round, or returns the error of the call if there
// is to be none.
func (x *extension) pause(ctx context.Context, rounds int) error {
	k, res := x.lock, x.last
	left := k.left()
	if left <= 0 {
		k.expire(ctx)
		return k.notHeld()
	}
	wait := quorum.Delay(k.call.delay, k.call.jitter, random())
	switch {
	case ctx.Err() != nil:
		return k.failed(OpExtend, rounds, res, ended(ctx), ErrNoQuorum)
	case wait >= left, k.call.retries != Forever && rounds > k.call.retries:
		return k.failed(OpExtend, rounds, res, nil, ErrNoQuorum)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-x.over:
		return k.notHeld()
	case <-ctx.Done():
		return k.failed(OpExtend, rounds, res, ended(ctx), ErrNoQuorum)
	}
}
