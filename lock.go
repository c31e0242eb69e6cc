package redlock

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// A Lock is a lock that was granted. It is made by [Locker.Lock] and safe for
// concurrent use. A nil or zero Lock is one that has been unlocked. It need not
// be unlocked: then it ends by itself after its TTL, and nothing of it is left.
type Lock struct {
	locker   *Locker
	resource string
	grant    *round.Grant
	call     callConfig
	since    clock.Time // just before the attempt that granted it
	attrs    []attribute.KeyValue

	mu       sync.Mutex
	lease    lease
	timer    *time.Timer
	over     error  // why it ended: ErrUnlocked or ErrLockLost; nil while it is held
	detail   string // more about that
	endedAt  clock.Time
	contexts map[*context.CancelCauseFunc]struct{}
	turn     *turn     // made by the first Extend
	latest   time.Time // until when keys may last by the extensions that were sent

	confirming atomic.Bool // a confirm waits for its turn
}

// A lease is how long a lock is valid: ttl less drift, from the moment just
// before the first command of the round that granted it.
type lease struct {
	start      clock.Time
	ttl, drift time.Duration
}

func (e lease) left(now clock.Time) time.Duration {
	return quorum.Validity(e.ttl, now.Since(e.start), e.drift)
}

// slice is how often the validity of a lock is checked against the wall clock.
// The timers of a suspended machine stand still; one second after it wakes up,
// the context of a lock that ran out meanwhile has ended.
const slice = time.Second

// begin starts the timer that ends the lock.
func (k *Lock) begin() {
	k.mu.Lock()
	k.timer = time.AfterFunc(min(k.lease.left(k.now()), slice), func() { k.check(context.Background()) })
	k.mu.Unlock()
	k.grant.OnFresh(k.confirm)
}

func (k *Lock) now() clock.Time { return k.locker.clock.Now() }

// check ends the lock if its validity is over.
func (k *Lock) check(ctx context.Context) {
	k.mu.Lock()
	left := k.lease.left(k.now())
	if k.over == nil && left > 0 {
		k.timer.Reset(min(left, slice))
		k.mu.Unlock()
		return
	}
	k.mu.Unlock()
	k.expire(ctx)
}

// expire ends a lock whose validity is over.
func (k *Lock) expire(ctx context.Context) {
	k.mu.Lock()
	loose := k.latest.After(k.lease.start.Add(k.lease.ttl))
	k.mu.Unlock()
	k.end(ctx, ErrLockLost, expired, func() {
		// What is still on its way, or did not become part of the lock, would
		// keep the value on a node after the lock is over.
		if loose || k.grant.Late() || k.grant.Pending() {
			k.grant.Release(ctx, k.timeout())
		}
	})
}

const expired = "its TTL ran out"

// end ends the lock, once: its contexts first, then what release does, then
// its count. It reports whether it was this call that did.
func (k *Lock) end(ctx context.Context, kind error, detail string, release func()) bool {
	k.mu.Lock()
	if k.over != nil {
		k.mu.Unlock()
		return false
	}
	if errors.Is(kind, ErrUnlocked) && k.lease.left(k.now()) <= 0 {
		kind, detail = ErrLockLost, expired
	}
	k.over, k.detail, k.endedAt = kind, detail, k.now()
	if k.timer != nil {
		k.timer.Stop()
	}
	contexts := k.contexts
	k.contexts = nil
	if k.turn != nil {
		close(k.turn.over)
	}
	k.mu.Unlock()
	for cancel := range contexts {
		(*cancel)(k.fail(OpHold, kind, detail))
	}
	release()
	defer k.locker.letGo()
	t := k.locker.telemetry
	t.add(ctx, t.active, -1, k.attrs)
	switch {
	case detail == expired:
		k.held(ctx, resultExpired)
	case errors.Is(kind, ErrLockLost):
		k.held(ctx, resultLost)
	}
	return true
}

// held records that the hold is over. Unlock does so when it knows the outcome.
func (k *Lock) held(ctx context.Context, result string) {
	k.mu.Lock()
	d := k.endedAt.Since(k.since)
	k.mu.Unlock()
	k.locker.telemetry.held(ctx, k.attrs, result, d)
}

// Resource returns the locked resource.
func (k *Lock) Resource() string {
	if k.zero() {
		return ""
	}
	return k.resource
}

// Value returns the random value that stands for this lock on the nodes. Who
// knows it can release the lock: keep it out of logs.
func (k *Lock) Value() string {
	if k.zero() {
		return ""
	}
	return k.grant.Value()
}

// Until returns the moment until which the lock is valid if it is not extended,
// or was if it is over: the time just before the first command of the round
// that granted or last extended it, plus the TTL, less the drift. It is the
// zero time for a zero Lock.
func (k *Lock) Until() time.Time {
	if k.zero() {
		return time.Time{}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lease.start.Add(k.lease.ttl - k.lease.drift)
}

// Valid reports whether the lock is held and its validity not over, by the
// monotonic and by the wall clock. It is false from the call of Unlock on.
func (k *Lock) Valid() bool {
	if k.zero() {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.over == nil && k.lease.left(k.now()) > 0
}

func (k *Lock) zero() bool { return k == nil || k.locker == nil }

// ended returns why the lock is over, or nil if it is valid.
func (k *Lock) ended() *LockError {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.over != nil:
		return k.fail(OpHold, k.over, k.detail)
	case k.lease.left(k.now()) <= 0:
		return k.fail(OpHold, ErrLockLost, expired)
	}
	return nil
}

// Context returns a context that ends with parent, and when the lock is over:
// at the end of its validity, by a local timer, even if an extension hangs; when
// an extension finds the lock lost; and at Unlock, before anything is sent.
// [context.Cause] then matches [ErrLockLost] or [ErrUnlocked] and is a
// [*LockError] that names the resource. Its Deadline is the parent's, because
// an extension moves the lock's.
//
// The returned function releases what belongs to the context earlier than the
// end of the lock does. If parent is nil the context has ended with an error
// that matches [ErrInvalidArgument].
func (k *Lock) Context(parent context.Context) (context.Context, context.CancelFunc) {
	var bad error
	if parent == nil {
		parent, bad = context.Background(), invalid("nil context")
	}
	ctx, cancel := context.WithCancelCause(parent)
	if bad == nil {
		bad = k.watch(&cancel)
	}
	if bad != nil {
		cancel(bad)
	}
	return ctx, func() {
		k.unwatch(&cancel)
		cancel(nil)
	}
}

// watch has cancel called when the lock ends. If it has, watch returns why.
func (k *Lock) watch(cancel *context.CancelCauseFunc) error {
	if k.zero() {
		return k.fail(OpHold, ErrUnlocked, "")
	}
	if over := k.ended(); over != nil {
		return over
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over != nil {
		return k.fail(OpHold, k.over, k.detail)
	}
	if k.contexts == nil {
		k.contexts = make(map[*context.CancelCauseFunc]struct{})
	}
	k.contexts[cancel] = struct{}{}
	return nil
}

func (k *Lock) unwatch(cancel *context.CancelCauseFunc) {
	if k.zero() {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.contexts, cancel)
}

// Unlock releases the lock on every node, whatever the clock says, and waits
// for the outcome until ctx ends, at most for the node timeout. The lock is over
// at once: its contexts end before anything is sent. The release goes on in the
// background when Unlock returns before all nodes have answered; a lock of the
// same resource by the same Locker is never refused because of it.
//
// The error is nil as soon as a majority has removed the lock. It matches
// [ErrLockLost] if so many nodes did not have it any more that it did not
// stand on a majority; [ErrNoQuorum] if too few nodes answered: the lock ends
// by itself then; ctx's error if that ended the wait. It is a [*LockError].
//
// Unlock may be called again: it waits for a release that is under way, returns
// the same result after nil and ErrLockLost, and tries again after ErrNoQuorum.
// On a nil or zero Lock it returns nil.
func (k *Lock) Unlock(ctx context.Context) error {
	if ctx == nil {
		return invalid("nil context")
	}
	if k.zero() {
		return nil
	}
	t, start := k.locker.telemetry, time.Now()
	ctx, span := t.startOn(ctx, spanUnlock, k.resource, 0)
	res, err := k.unlock(ctx)
	result := resultOf(err, resultReleased)
	setVotes(span, res.Agreed, res.Refused, len(res.Failures))
	finish(span, result, err, false)
	t.record(ctx, t.unlockDuration, time.Since(start), k.attrs, result, err, false)
	return err
}

func (k *Lock) unlock(ctx context.Context) (round.Result, error) {
	var wave *round.Wave
	release := func() { wave = k.grant.Release(ctx, k.timeout()) }
	first := k.end(ctx, ErrUnlocked, "", release) && k.valid()
	if wave == nil {
		release()
	}
	res := wave.Wait(k.outlive(ctx))
	if first && res.Outcome == quorum.Lost {
		k.held(ctx, resultLost)
	} else if first {
		k.held(ctx, resultReleased)
	}
	switch res.Outcome {
	case quorum.Released:
		return res, nil
	case quorum.Lost:
		return res, k.failed(OpUnlock, 1, res, nil, ErrLockLost)
	case quorum.Unanswered:
		return res, k.failed(OpUnlock, 1, res, nil, ErrNoQuorum)
	default:
		return res, k.failed(OpUnlock, 1, res, ended(ctx))
	}
}

// valid reports whether a lock that was unlocked was valid then.
func (k *Lock) valid() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return errors.Is(k.over, ErrUnlocked)
}

// outlive returns ctx, or one that is never done if ctx has ended because the
// lock did: fn of With, for one, may hand its ctx to Unlock.
func (k *Lock) outlive(ctx context.Context) context.Context {
	if e, ok := errors.AsType[*LockError](context.Cause(ctx)); ok && e.lock == k {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

func (k *Lock) timeout() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.call.timeout(k.lease.ttl)
}

func (k *Lock) left() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over != nil {
		return 0
	}
	return k.lease.left(k.now())
}

// fail returns an error for which nothing was sent.
func (k *Lock) fail(op string, kind error, detail string) *LockError {
	e := &LockError{Op: op, kinds: []error{kind}, detail: detail}
	if !k.zero() {
		e.Resources = []string{k.resource}
		e.Quorum = k.locker.fleet.Quorum()
	}
	if op == OpHold {
		e.lock = k
	}
	return e
}

func (k *Lock) failed(op string, attempts int, res round.Result, cause error, kinds ...error) *LockError {
	return &LockError{
		Op: op, Resources: []string{k.resource},
		Attempts: attempts, Agreed: res.Agreed, Quorum: k.locker.fleet.Quorum(),
		Nodes: k.locker.nodeErrors(res.Failures),
		kinds: kinds, cause: cause,
	}
}
