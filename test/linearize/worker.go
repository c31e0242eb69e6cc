//go:build linux

package linearize

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/b0401464/redlock"
)

// envWorker has the binary be a worker, whose job it has.
const envWorker = "REDLOCK_LINEARIZE_WORKER"

// callers is how many goroutines of a worker lock at the same time.
const callers = 4

// A job is what a worker is told.
type job struct {
	Name  string // of the worker
	Seed  uint64
	Addrs []string  // of the nodes
	File  string    // for its events
	Ready bool      // the clients have the options that the README recommends
	Load  *workload // nil for what all calls of the library take
}

// resources are what all workers contend for. The counters of the first one begin apart, and
// ahead of every clock.
var resources = []string{fencedPrefix + "-ahead", fencedPrefix, fencedPrefix + "-2", "plain", "plain-2"}

// work does the job that is in the environment until standard input ends.
func work(ctx context.Context, text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	record, err := newRecorder(j.File)
	if err != nil {
		return err
	}
	locker, err := redlock.New(j.clients())
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if j.Load != nil {
		return j.Load.run(ctx, &j, locker, record)
	}
	var wg sync.WaitGroup
	for i := range callers {
		c := &caller{
			locker: locker, record: record, name: fmt.Sprintf("%s-%d", j.Name, i),
			random: rand.New(rand.NewPCG(j.Seed, uint64(i))), //nolint:gosec // nothing secret
			marks:  make(map[string]string),
		}
		wg.Go(func() { c.run(ctx) })
	}
	wg.Wait()
	return nil // what it still has to release is left to the TTL, as when it is killed
}

func (j *job) clients() []*redis.Client {
	all := make([]*redis.Client, len(j.Addrs))
	for i, addr := range j.Addrs {
		o := &redis.Options{Addr: addr, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}}
		if j.Ready {
			o.DialTimeout, o.DialerRetries = time.Second, 1
			o.ReadTimeout, o.MaxRetries = time.Second, 1
		}
		all[i] = redis.NewClient(o)
	}
	return all
}

// A caller calls the Locker of its worker, one call after the other.
type caller struct {
	locker *redlock.Locker
	record *recorder
	name   string
	random *rand.Rand
	calls  int
	marks  map[string]string // of the holder that it has heard of last, by resource; nil if it breaks none
}

func (c *caller) run(ctx context.Context) {
	for ctx.Err() == nil {
		resource := resources[c.random.IntN(len(resources))]
		switch n := c.random.IntN(100); {
		case n < 45:
			c.lock(ctx, resource)
		case n < 62:
			c.tryLock(ctx, resource)
		case n < 80:
			c.with(ctx, resource)
		case n < 94:
			c.inspect(ctx, resource)
		default:
			c.breakLock(ctx, resource)
		}
		c.sleep(ctx, c.upTo(20*time.Millisecond))
	}
}

// nextID returns a name for a call that no other one has, in any process.
func (c *caller) nextID() string {
	c.calls++
	return fmt.Sprintf("%s-%d", c.name, c.calls)
}

func (c *caller) upTo(d time.Duration) time.Duration { return time.Duration(c.random.Int64N(int64(d))) }

func (c *caller) chance(percent int) bool { return c.random.IntN(100) < percent }

func (c *caller) sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (c *caller) ttl() time.Duration { return 60*time.Millisecond + c.upTo(500*time.Millisecond) }

// ask writes down a call that is to follow, and returns its options.
func (c *caller) ask(call, resource string, ttl time.Duration) (Event, []redlock.LockOption) {
	e := Event{What: Asked, ID: c.nextID(), Call: call, Resource: resource, TTL: int64(ttl)}
	opts := []redlock.LockOption{redlock.WithOwner(e.ID)}
	if strings.HasPrefix(resource, fencedPrefix) {
		opts = append(opts, redlock.WithFencing(time.Hour))
	}
	if c.chance(25) {
		e.Auto = true
		opts = append(opts, redlock.WithAutoExtend(redlock.Forever))
	}
	if c.chance(40) {
		opts = append(opts, redlock.WithRetry(redlock.Forever, 20*time.Millisecond))
	}
	e.T = monotonic()
	c.record.put(&e)
	return e, opts
}

func (c *caller) lock(ctx context.Context, resource string) {
	ttl := c.ttl()
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond+c.upTo(2*time.Second))
	defer cancel()
	asked, opts := c.ask("Lock", resource, ttl)
	lock, err := c.locker.Lock(ctx, resource, ttl, opts...)
	c.locked(ctx, &asked, lock, err)
}

func (c *caller) tryLock(ctx context.Context, resource string) {
	ttl := c.ttl()
	asked, opts := c.ask("TryLock", resource, ttl)
	lock, err := c.locker.TryLock(ctx, resource, ttl, opts...)
	c.locked(ctx, &asked, lock, err)
}

// locked writes down what came of a Lock, and holds what was granted.
func (c *caller) locked(ctx context.Context, asked *Event, lock *redlock.Lock, err error) {
	if err != nil {
		c.failed(asked, err)
		return
	}
	c.granted(asked, lock)
	ctx = context.WithoutCancel(ctx) // which bounds the waiting only
	held, stop := lock.Context(ctx)
	defer stop()
	c.hold(held, asked, lock)
	switch {
	case c.chance(20) && !asked.Auto:
		return // left to run out
	case c.chance(30):
		c.outstay(held, asked.ID, lock)
	}
	if c.chance(15) {
		short, cancel := context.WithTimeout(ctx, c.upTo(20*time.Millisecond))
		defer cancel()
		ctx = short
	}
	c.tell(Unlock, asked.ID, lock)
	c.told(Unlocked, asked.ID, lock.Unlock(ctx))
}

func (c *caller) failed(asked *Event, err error) {
	e := Event{T: monotonic(), What: Failed, ID: asked.ID}
	resultOf(&e, err)
	c.heard(asked.Resource, e.ByMark)
	c.record.put(&e)
}

// heard notes whom to break.
func (c *caller) heard(resource, mark string) {
	if mark != "" && c.marks != nil {
		c.marks[resource] = mark
	}
}

func (c *caller) granted(asked *Event, lock *redlock.Lock) {
	now := monotonic()
	c.record.put(&Event{T: now, What: Granted, ID: asked.ID, Until: onClock(lock.Until()), Token: lock.Token(), Mark: lock.Mark()})
}

// tell writes down that a call is to follow, and what the lock says of its end then.
func (c *caller) tell(what What, id string, lock *redlock.Lock) {
	now := monotonic()
	c.record.put(&Event{T: now, What: what, ID: id, Until: onClock(lock.Until())})
}

// told writes down that a call has returned.
func (c *caller) told(what What, id string, err error) {
	e := Event{T: monotonic(), What: what, ID: id}
	resultOf(&e, err)
	c.record.put(&e)
}

// with does what lock does, by With.
func (c *caller) with(ctx context.Context, resource string) {
	ttl := c.ttl()
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond+c.upTo(3*time.Second))
	defer cancel()
	asked, opts := c.ask("With", resource, ttl)
	called, news := false, error(nil)
	err := c.locker.With(ctx, resource, ttl, func(held context.Context, lock *redlock.Lock) error {
		called = true
		c.granted(&asked, lock)
		c.hold(held, &asked, lock)
		if c.chance(10) {
			c.outstay(held, asked.ID, lock)
		}
		c.tell(Unlock, asked.ID, lock)
		return nil
	}, func(err error) { news = err }, opts...)
	switch {
	case !called:
		c.failed(&asked, err)
	case news != nil:
		c.told(Unlocked, asked.ID, news)
	case err != nil: // it was lost before, and the release found what it found
		e := Event{T: monotonic(), What: Unlocked, ID: asked.ID, Result: Unsure, Text: err.Error()}
		c.record.put(&e)
	default:
		c.told(Unlocked, asked.ID, nil)
	}
}
