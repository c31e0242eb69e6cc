package redlock

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/b0401464/redlock/internal/quorum"
)

// queues reports whether the request stands in line with others of its Locker.
// One that has a single attempt does not wait for anybody.
func (r *request) queues() bool { return !r.once && r.call.retries != 0 }

// stand waits for the request's turn in the line of its Locker. The wait is
// bounded as if it were spent with pauses between attempts.
func (r *request) stand(ctx context.Context) error {
	r.countWaiting(ctx)
	place := &r.hold.place
	var until time.Time // the end of the present pause
	for !place.MayGo() {
		now := time.Now()
		if !now.Before(until) {
			if r.retriesLeft() == 0 {
				return r.fail(ErrNotAcquired, nil, ErrContended)
			}
			r.retries++
			until = now.Add(quorum.Delay(r.call.delay, r.call.jitter, random()))
		}
		left := r.left()
		if left == 0 {
			return r.fail(ErrNotAcquired, nil, ErrContended)
		}
		if _, err := r.sleep(ctx, min(until.Sub(now), left)); err != nil {
			return err
		}
	}
	return nil
}

// countWaiting counts the caller as waiting, once. Its end is counted by
// stopWaiting.
func (r *request) countWaiting(ctx context.Context) {
	if !r.waits {
		r.waits = true
		t := r.locker.telemetry
		t.add(ctx, t.waiting, 1, r.attrs)
	}
}

func (r *request) stopWaiting(ctx context.Context) {
	if r.waits {
		t := r.locker.telemetry
		t.add(ctx, t.waiting, -1, r.attrs)
	}
}

// pause returns how long to wait before the next attempt, negative if there is
// to be none.
func (r *request) pause(attempt time.Duration) time.Duration {
	if r.last.Outcome == quorum.Split && r.retriesLeft() != 0 && r.splits < maxSplits {
		r.splits++
		r.paid = false
		return r.fit(quorum.SplitPause(attempt, r.splits-1, random()), attempt)
	}
	r.splits = 0
	if r.retriesLeft() == 0 {
		return -1
	}
	r.retries++
	r.paid = true
	return r.fit(quorum.Delay(r.call.delay, r.call.jitter, random()), attempt)
}

// retriesLeft returns how many retries are left, or Forever.
func (r *request) retriesLeft() int {
	switch {
	case r.once:
		return 0
	case r.call.retries == Forever:
		return Forever
	}
	return r.call.retries - r.retries
}

// random returns a number in [0, 1).
func random() float64 {
	return rand.Float64() //nolint:gosec // spreads pauses; nothing secret depends on it
}

// fit cuts a pause that would outlast WithMaxWait so that one more attempt, which
// takes about as long as the last one, ends the wait.
func (r *request) fit(pause, attempt time.Duration) time.Duration {
	left := r.left()
	if left <= 0 {
		return -1
	}
	return min(pause, max(left-2*attempt, 0))
}

// left returns how much of WithMaxWait is left.
func (r *request) left() time.Duration {
	if r.call.maxWait == 0 {
		return math.MaxInt64
	}
	return max(r.call.maxWait-time.Since(r.began), 0)
}

// sleep waits for d, or until the head of the line has a reason to try again.
func (r *request) sleep(ctx context.Context, d time.Duration) (woken bool, err error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false, nil
	case <-r.hold.place.Woken():
		return true, nil
	case <-ctx.Done():
		return false, r.interrupted(ctx)
	case <-r.locker.closing:
		return false, r.fail(ErrShutdown, nil)
	}
}
