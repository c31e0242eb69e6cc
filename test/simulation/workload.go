package simulation

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/b0401464/redlock"
)

// habits are how programs use locks, as chances.
type habits struct {
	contends float64 // waits for the lock, where others try once
	extends  float64 // by hand, at each step
	auto     float64 // WithAutoExtend
	forgets  float64 // never unlocks
	deaf     float64 // goes on for a while after its context has ended
	cancels  float64 // gives up waiting
	queues   float64 // keeps waiting until its context ends
	quits    float64 // gives up just when it is called
	dies     float64 // is killed then
	misses   float64 // does not hear it
	shuts    float64 // an episode: a process is shut down in the middle of it
}

// A worker is a goroutine of a process that takes locks.
type worker struct {
	w       *world
	process *process
	random  *rand.Rand
	several *rand.Rand // for locks on several resources
	panics  *rand.Rand
	fails   *rand.Rand // what functions return
	writes  *rand.Rand
	episode context.Context //nolint:containedctx // ends when everything is healed
}

// A plan is one lock that a worker is going to take, and what for.
type plan struct {
	resource string
	several  []string // instead, if there are some
	ttl      time.Duration
	opts     []redlock.LockOption
	limit    time.Duration // of automatic extension; 0: none, or Forever
	patience time.Duration // until the context of Lock ends; 0: never

	nodeTimeout time.Duration // 0: the default
	with        bool
	once        bool
	deaf        bool
	unlocks     int // how often; 0: never
}

func (k *worker) run(locks int) {
	for range locks {
		k.process.gate()
		if k.over() {
			return
		}
		k.w.survives(func() { k.take(k.plan()) })
		k.rest(between(k.random, ms, 2*k.w.profile.lasting[0]+100*ms))
	}
}

func (k *worker) over() bool { return k.episode.Err() != nil }

// rest sleeps for d, or until the episode is over.
func (k *worker) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-k.episode.Done():
	}
	k.process.gate()
}

func (k *worker) plan() plan {
	r, h, w := k.random, &k.w.profile.habits, k.w
	p := plan{
		resource: w.resources[r.IntN(len(w.resources))],
		ttl:      between(r, w.profile.lasting[0], w.profile.lasting[1]),
		with:     chance(r, 0.4), once: !chance(r, h.contends), deaf: chance(r, h.deaf), unlocks: 1,
	}
	// No jitter: the library draws it from a source that no seed governs.
	delay := between(r, 20*ms, max(40*ms, min(p.ttl/2, sec)))
	p.opts = []redlock.LockOption{redlock.WithRetry(1+r.IntN(5), delay), redlock.WithJitter(0)}
	if h.queues > 0 && chance(r, h.queues) {
		p.opts[0] = redlock.WithRetry(redlock.Forever, delay)
	}
	if chance(r, 0.3) {
		p.opts = append(p.opts, redlock.WithMaxWait(between(r, 10*ms, 2*sec)))
	}
	if chance(r, 0.3) {
		p.nodeTimeout = between(r, 20*ms, sec)
		p.opts = append(p.opts, redlock.WithNodeTimeout(p.nodeTimeout))
	}
	if chance(r, h.cancels) {
		p.patience = between(r, ms, 2*sec)
	}
	if chance(r, h.auto) {
		limit := time.Duration(redlock.Forever)
		if chance(r, 0.5) {
			p.limit = between(r, p.ttl/2, 6*p.ttl)
			limit = p.limit
		}
		p.opts = append(p.opts, redlock.WithAutoExtend(limit))
	}
	switch {
	case chance(r, h.forgets):
		p.unlocks = 0
		if p.limit == 0 {
			p.opts = append(p.opts, redlock.WithoutAutoExtend())
		}
	case chance(r, 0.2):
		p.unlocks = 2
	}
	if several := k.several; chance(several, k.w.profile.several) {
		for _, i := range several.Perm(len(w.resources))[:2+several.IntN(len(w.resources)-1)] {
			p.several = append(p.several, w.resources[i])
		}
	}
	return p
}

// take takes a lock, holds it for a while and lets it go.
func (k *worker) take(p plan) {
	k.w.asks(p.ttl, p.limit)
	ctx, cancel := k.patient(p.patience)
	defer cancel()
	l := k.process.locker
	over := func() {}
	if p.several == nil {
		ctx, over = k.process.comes(ctx, p.resource, p.with || !p.once, p.hasty())
	}
	defer func() { over() }()
	ended := ctx // which does not panic
	ctx = k.panicking(ctx)
	start := time.Now()
	entered := false
	called := new(within)
	with := func(ctx context.Context, lock *redlock.Lock) error {
		entered = true
		h := k.process.hold(lock, p.ttl, p.limit) //nolint:contextcheck // a lock does not depend on ctx
		h.watch(ctx)
		called.hold, called.ctx = h, ctx
		k.section(ctx, h, p)
		return called.leaves(k.failure(ctx))
	}
	news := func(err error) { called.news = append(called.news, err) }
	told := func(err error) {
		if err != nil && !entered {
			k.told(p, start, err)
		}
	}
	switch {
	case p.with && p.several != nil:
		err := l.WithAll(ctx, p.several, p.ttl, with, news, p.opts...)
		called.judge(err, ended.Err())
		told(err)
	case p.with:
		err := l.With(ctx, p.resource, p.ttl, with, news, p.opts...)
		called.judge(err, ended.Err())
		told(err)
	default:
		lock := l.Lock
		switch {
		case p.several != nil && p.once:
			p.opts = append(p.opts, redlock.WithRetry(0, 0))
			fallthrough
		case p.several != nil:
			lock = func(ctx context.Context, _ string, ttl time.Duration, opts ...redlock.LockOption) (*redlock.Lock, error) {
				return l.LockAll(ctx, p.several, ttl, opts...)
			}
		case p.once:
			lock = l.TryLock
		}
		got, err := lock(ctx, p.resource, p.ttl, p.opts...)
		over()
		told(err)
		if err != nil {
			return
		}
		h := k.process.hold(got, p.ttl, p.limit)
		held, stop := got.Context(context.Background())
		h.watch(held)
		k.section(held, h, p)
		stop()
		k.letGo(h, p)
	}
}

// failure returns what a function of With returns under ctx: mostly nothing.
func (k *worker) failure(ctx context.Context) error {
	switch u := k.fails.Float64(); {
	case u < 0.2:
		return errWork
	case u < 0.4:
		return ctx.Err()
	default:
		return nil
	}
}

// letGo unlocks as often as the plan says, twice at the same time or one after
// the other.
func (k *worker) letGo(h *hold, p plan) {
	if p.unlocks == 0 {
		return
	}
	h.unlock()
	ctx, cancel := context.WithTimeout(context.Background(), between(k.random, ms, 10*sec))
	defer cancel()
	if p.unlocks == 2 && chance(k.random, 0.5) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.unlocks(ctx)
		}()
		defer func() { <-done }()
	}
	h.unlocks(ctx)
	if p.unlocks == 2 {
		h.unlocks(ctx)
	}
}

// section is what is done under the lock: it works and extends in turns.
func (k *worker) section(ctx context.Context, h *hold, p plan) {
	r := k.random
	if held := k.w.profile.held; held[1] > 0 {
		k.work(ctx, between(r, held[0], held[1]))
		k.write(ctx, h)
		return
	}
	for range r.IntN(k.w.profile.steps + 1) {
		length := between(r, ms, h.ttl)
		if chance(r, 0.2) {
			length *= 2
		}
		switch {
		case k.over():
			return
		case p.deaf:
			k.rest(length)
		case !k.work(ctx, length):
			return
		}
		k.write(ctx, h)
		if !k.over() && chance(r, k.w.profile.habits.extends) {
			k.extend(h, p) //nolint:contextcheck // it may go on after its context has ended
		}
	}
	if p.limit > 0 || chance(r, 0.3) {
		k.work(ctx, 8*p.ttl)
	}
}

// work reports false when the context has ended.
func (k *worker) work(ctx context.Context, length time.Duration) bool {
	timer := time.NewTimer(length)
	defer timer.Stop()
	defer k.process.gate()
	select {
	case <-timer.C:
	case <-k.episode.Done():
	case <-ctx.Done():
		return false
	}
	return true
}

func (k *worker) extend(h *hold, p plan) {
	r := k.random
	ttl := p.ttl
	if chance(r, 0.5) && !h.process.plain {
		low, high := k.w.profile.lasting[0], k.w.profile.lasting[1]
		ttl = between(r, max(low, ttl/4), min(high, 4*ttl))
	}
	k.w.asks(ttl, 0)
	patience := time.Duration(0)
	if chance(r, k.w.profile.habits.cancels) {
		patience = between(r, ms, sec)
	}
	ctx, cancel := k.patient(patience)
	defer cancel()
	k.w.survives(func() { h.extend(k.panicking(ctx), ttl) })
}

// patient returns a context that ends with the episode, and after patience if
// that is not 0.
func (k *worker) patient(patience time.Duration) (context.Context, context.CancelFunc) {
	if patience == 0 {
		return context.WithCancel(k.episode)
	}
	return context.WithTimeout(k.episode, patience)
}

// asks notes the longest TTL that was asked for, and until when a lock may be
// extended automatically that nobody unlocks.
func (w *world) asks(ttl, limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.longest = max(w.longest, ttl)
	if kept := time.Now().Add(limit); kept.After(w.kept) {
		w.kept = kept
	}
}
