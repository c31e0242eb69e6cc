package chaos

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"github.com/b0401464/redlock"
)

// A worker is a process that wants a resource again and again. Its sections
// stop as soon as their context ends.
type worker struct {
	*process
	counter *counter
	figures *figures
	random  *rand.Rand
}

// A use is one way to use a lock.
type use struct {
	name   string
	weight int
	run    func(ctx context.Context, w *worker, name string) error
}

// uses are those that workers choose from.
var uses = []use{
	{"With", 8, scoped},
	{"TryLock", 4, tried},
	{"Lock, Extend, Unlock", 4, byHand},
	{"WithAutoExtend", 2, autoExtended},
	{"cancelled", 4, cancelled},
	{"left to run out", 3, leftToRunOut},
}

func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		u := w.choose()
		if err := u.run(ctx, w, u.name); ctx.Err() == nil {
			w.figures.failed(u.name+":", err)
		}
		w.pause(ctx, w.between(0, 30*time.Millisecond))
	}
}

func (w *worker) choose() use {
	all := 0
	for _, u := range uses {
		all += u.weight
	}
	n := w.random.IntN(all)
	for _, u := range uses {
		if n -= u.weight; n < 0 {
			return u
		}
	}
	return uses[0]
}

// scoped uses With, for less than its TTL.
func scoped(ctx context.Context, w *worker, name string) error {
	return w.with(ctx, name, w.ttl(), w.between(0, 80*time.Millisecond))
}

// autoExtended uses With for longer than its TTL. In one of four the limit of
// the extension comes first.
func autoExtended(ctx context.Context, w *worker, name string) error {
	ttl := w.between(minTTL, 4*minTTL)
	work, limit := w.between(ttl, 3*ttl), time.Duration(redlock.Forever)
	if w.random.IntN(4) == 0 {
		limit = work / 2
	}
	return w.with(ctx, name, ttl, work, redlock.WithAutoExtend(limit))
}

func (w *worker) with(ctx context.Context, name string, ttl, work time.Duration, opts ...redlock.LockOption) error {
	var lock *redlock.Lock
	asked := time.Now()
	return w.locker.With(ctx, w.counter.resource, ttl, func(ctx context.Context, k *redlock.Lock) error {
		lock = k
		w.granted(asked, lock, name)
		if s := w.counter.enter(ctx, lock, w.id, name); s != nil {
			defer s.leave()
			w.increment(ctx, s, work)
		}
		return ctx.Err()
	}, func(err error) { w.released(name, lock, err) }, append(opts, w.patience()...)...)
}

// tried uses TryLock, a few times.
func tried(ctx context.Context, w *worker, name string) error {
	var lock *redlock.Lock
	err := error(nil)
	for range 5 {
		asked := time.Now()
		lock, err = w.locker.TryLock(ctx, w.counter.resource, w.ttl())
		if err == nil {
			w.granted(asked, lock, name)
			break
		}
		w.pause(ctx, w.between(0, 50*time.Millisecond))
	}
	if err != nil {
		return err
	}
	held, cancel := lock.Context(ctx)
	defer cancel()
	if s := w.counter.enter(held, lock, w.id, name); s != nil {
		w.increment(held, s, w.between(0, 50*time.Millisecond))
		s.leave()
	}
	w.released(name, lock, lock.Unlock(ctx))
	return nil
}

// byHand extends its lock between pieces of work, sometimes to a TTL that the
// next piece outlasts.
func byHand(ctx context.Context, w *worker, name string) error {
	asked := time.Now()
	lock, err := w.locker.Lock(ctx, w.counter.resource, w.ttl(), w.patience()...)
	if err != nil {
		return err
	}
	w.granted(asked, lock, name)
	held, cancel := lock.Context(ctx)
	defer cancel()
	if s := w.counter.enter(held, lock, w.id, name); s != nil {
		for range w.random.IntN(5) {
			w.increment(held, s, w.between(0, 2*minTTL))
			if !w.extend(held, s, lock) {
				break
			}
		}
		w.increment(held, s, 0)
		s.leave()
	}
	w.released(name, lock, lock.Unlock(context.WithoutCancel(ctx)))
	return nil
}

// extend reports whether there is anything left to extend after it.
func (w *worker) extend(ctx context.Context, s *section, lock *redlock.Lock) bool {
	ttl := w.ttl()
	s.extending(ttl)
	err := lock.Extend(ctx, ttl)
	w.figures.failed("Extend:", err)
	return ctx.Err() == nil && (err == nil || errors.Is(err, redlock.ErrNoQuorum))
}

// cancelled is any other use whose context is cancelled while it waits, works,
// extends or releases.
func cancelled(ctx context.Context, w *worker, name string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := time.AfterFunc(w.between(0, 400*time.Millisecond), cancel)
	defer timer.Stop()
	others := []func(context.Context, *worker, string) error{scoped, tried, byHand, autoExtended}
	return others[w.random.IntN(len(others))](ctx, w, name)
}

// leftToRunOut works until its context ends by itself, and never unlocks.
func leftToRunOut(ctx context.Context, w *worker, name string) error {
	asked := time.Now()
	lock, err := w.locker.Lock(ctx, w.counter.resource, w.between(minTTL/2, 2*minTTL), w.patience()...)
	if err != nil {
		return err
	}
	w.granted(asked, lock, name)
	held, cancel := lock.Context(ctx)
	defer cancel()
	if s := w.counter.enter(held, lock, w.id, name); s != nil {
		w.increment(held, s, maxTTL) // a context that never ends is seen by then
		s.leave()
	}
	return nil
}

// increment goes on incrementing the counter for so long, and at least once,
// unless ctx ends before. Nothing else ends it: it is for ctx to tell.
func (w *worker) increment(ctx context.Context, s *section, long time.Duration) {
	for end := time.Now().Add(long); ctx.Err() == nil; {
		s.increment(func() { w.pause(ctx, w.between(0, 15*time.Millisecond)) })
		if !time.Now().Before(end) {
			return
		}
	}
}

// granted notes the token of a lock that was asked for then.
func (w *worker) granted(asked time.Time, lock *redlock.Lock, name string) {
	w.counter.tokens.granted(asked, lock.Token(), who(w.id, name))
}

// released notes the result of a release: that the lock was lost is news that
// must not come before its time.
func (w *worker) released(name string, lock *redlock.Lock, err error) {
	w.figures.failed("Unlock:", err)
	if errors.Is(err, redlock.ErrLockLost) {
		w.figures.checkEarly(who(w.id, name), err, time.Until(lock.Until()))
	}
}

// patience returns how long a call may wait for the lock: as the Locker does, or
// for a random time.
func (w *worker) patience() []redlock.LockOption {
	if w.random.IntN(2) == 0 {
		return nil
	}
	return []redlock.LockOption{redlock.WithMaxWait(w.between(100*time.Millisecond, 3*time.Second))}
}

// ttl returns a time to live, more often a short one.
func (w *worker) ttl() time.Duration {
	return time.Duration(float64(minTTL) * math.Pow(float64(maxTTL)/float64(minTTL), w.random.Float64()))
}

func (w *worker) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.random.Int64N(int64(high-low)))
}

// pause waits for d, or until ctx ends.
func (w *worker) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
