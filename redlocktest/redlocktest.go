// Package redlocktest runs Redis nodes in the memory of a test, and makes happen what code
// with locks must cope with: another holder has the lock, nodes are away, the lock is lost
// in the middle.
//
//	nodes := redlocktest.New(t, 3)
//	nodes.Hold("invoice:42")
//	err := charge(t.Context(), nodes.Locker(), "invoice:42") // matches redlock.ErrContended
//
// It works inside a bubble of [testing/synctest] and outside. Inside, waiting takes no time:
// TTLs run out, and Lock gives up after its four seconds, at once. Outside, both take their
// real time. Give [Nodes.Locker] redlock.WithRetry(0, 0) where a test need not wait.
//
// # Limits
//
// The nodes are those of miniredis, which knows the commands that the library needs. They
// are reached through their clients only, and listen nowhere. They end by cleanups of the
// test: search for leaked goroutines in TestMain, or in a cleanup from before [New].
package redlocktest

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/memory"
)

// Nodes are the Redis nodes of a test. A part of them is Nodes, too: nodes[1:].Down() takes
// the majority of three away. Their methods are safe for concurrent use.
type Nodes []*Node

// A Node is one Redis node in memory, and the network to it.
type Node struct {
	redis *memory.Node
	test  *test
}

// A test is that of the nodes that one New has made.
type test struct {
	testing.TB
	bubble string // where New was called

	mu      sync.Mutex
	lockers []*redlock.Locker // that have been told to end
}

// New starts n nodes, which end with the test. In a test with a bubble of testing/synctest,
// call it in there, with the t of the bubble. It fails the test if n is less than 1.
func New(tb testing.TB, n int) Nodes {
	tb.Helper()
	if n < 1 {
		tb.Fatalf("redlocktest: New(t, %d): want at least one node", n)
	}
	t := &test{TB: tb, bubble: bubble()}
	nodes := make(Nodes, n)
	for i := range nodes {
		m := memory.New(i)
		tb.Cleanup(m.Close)
		if err := m.AnswerMore(); err != nil {
			tb.Fatalf("redlocktest: node %d does not start: %v", i+1, err)
		}
		nodes[i] = &Node{redis: m, test: t}
	}
	tb.Cleanup(t.await)
	return nodes
}

// Locker returns a Locker on the nodes, another one each time, as another process would have.
// When the test ends, callers that still wait get [redlock.ErrShutdown], and locks that are
// still held are not extended any more. It fails the test if an option is not valid.
func (ns Nodes) Locker(opts ...redlock.Option) *redlock.Locker {
	t := ns.test()
	t.Helper()
	locker, err := redlock.New(ns.Clients(), opts...)
	if err != nil {
		t.Fatalf("redlocktest: Locker: %v", err)
	}
	t.Cleanup(func() { ns.shutdown(locker) })
	return locker
}

// shutdown tells a Locker to end. Cleanups that come next may wait for its callers.
func (ns Nodes) shutdown(locker *redlock.Locker) {
	ns.Up()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if locker.Shutdown(ctx) == nil {
		return
	}
	t := ns.test()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lockers = append(t.lockers, locker)
}

// await lets Lockers end what they do. It is under way and ends soon, or is a lock that ends
// at its TTL only. One time is for all of them, as a test may have many.
func (t *test) await() {
	patience := time.Second
	if t.bubble != "" {
		patience = time.Hour // the clock stands still when the test has returned
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, locker := range t.lockers {
		_ = locker.Shutdown(ctx)
	}
}

// bubble names the bubble of testing/synctest that the caller is in, or none. The runtime
// tells that in stack traces only.
func bubble() string {
	trace := make([]byte, 128)
	head, _, _ := strings.Cut(string(trace[:runtime.Stack(trace, false)]), "]")
	_, name, _ := strings.Cut(head, "synctest ")
	return name
}

// Clients returns the client of each node, for code that makes its own Locker. It fails the
// test if it is called in another bubble of testing/synctest than [New] was.
func (ns Nodes) Clients() []*redis.Client {
	if len(ns) > 0 {
		t := ns.test()
		t.Helper()
		if bubble() != t.bubble {
			t.Fatalf("redlocktest: New was called outside of this bubble of testing/synctest: call it in here, with the t of the bubble")
		}
	}
	all := make([]*redis.Client, len(ns))
	for i, n := range ns {
		all[i] = n.Client()
	}
	return all
}

// Lose takes a lock away from its holder: its keys are gone from the nodes, as after an
// eviction or FLUSHALL, and another caller can have the resource at once. The holder learns
// of it when it extends or unlocks the lock, or by its context at the end of its validity.
//
// Within [redlock.Locker.With] and Do, give it the lock of [redlock.FromContext]. It fails
// the test if lock is nil.
func (ns Nodes) Lose(lock *redlock.Lock) {
	if len(lock.Resources()) == 0 {
		t := ns.test()
		t.Helper()
		t.Fatalf("redlocktest: Lose: there is no lock; redlock.FromContext finds it in the context that fn was given")
	}
	for _, n := range ns {
		for _, resource := range lock.Resources() {
			if value, err := n.redis.Get(resource); err == nil && value == lock.Value() {
				n.redis.Del(resource)
			}
		}
	}
}

// Down makes the nodes refuse connections and drops the open ones. Their data stays.
func (ns Nodes) Down() { ns.each((*Node).Down) }

// Up ends Down, Freeze and Slow.
func (ns Nodes) Up() { ns.each((*Node).Up) }

// Freeze makes the nodes take commands and answer none, until Up. Then they answer those
// whose clients still wait. See [Node.Freeze].
func (ns Nodes) Freeze() { ns.each((*Node).Freeze) }

// Slow makes each command take d longer, instead of the d of an earlier Slow.
func (ns Nodes) Slow(d time.Duration) { ns.each(func(n *Node) { n.Slow(d) }) }

// Wipe makes the nodes forget their data, as a restart without persistence does: locks,
// counters of fencing tokens, waiting lines. With [redlock.WithRestartQuarantine] they then
// grant nothing for a while; before a Wipe, they count as up for long.
func (ns Nodes) Wipe() { ns.each((*Node).Wipe) }

func (ns Nodes) each(f func(*Node)) {
	for _, n := range ns {
		f(n)
	}
}

// test returns the test of the nodes.
func (ns Nodes) test() *test {
	if len(ns) == 0 {
		panic("redlocktest: a method of no nodes was called")
	}
	return ns[0].test
}

// Client returns the node's client. Use it to read or set keys on the node; a resource is a
// key. Another client of the node, as another process has, is
// redis.NewClient(node.Client().Options()). The address in there is only a name.
func (n *Node) Client() *redis.Client { return n.redis.Client }

// Down makes the node refuse connections and drops the open ones. Its data stays.
func (n *Node) Down() { n.redis.Down() }

// Up ends Down, Freeze and Slow.
func (n *Node) Up() {
	n.redis.Up()
	n.redis.Hurry()
	n.redis.Thaw()
}

// Freeze makes the node take commands and answer none, until Up. Then it answers those whose
// clients still wait. It never carries out a command that its client has given up, by
// default after 5 s; a real server may do so.
func (n *Node) Freeze() { n.redis.Freeze() }

// Slow makes each command take d longer, instead of the d of an earlier Slow. The client
// waits for that long, also beyond its own time-outs.
func (n *Node) Slow(d time.Duration) { n.redis.Slow(d) }

// Wipe makes the node forget its data, as a restart without persistence does.
func (n *Node) Wipe() { n.redis.Restart() }

// A Holder is another holder of a lock.
type Holder struct {
	// Lock is what it has.
	Lock *redlock.Lock

	nodes Nodes
}

// Hold returns another holder, who has taken the lock on resource and keeps it until Release
// or Expire. Refusals name it "somebody else", unless opts say otherwise. It fails the test
// if the lock is not to be had at once.
func (ns Nodes) Hold(resource string, opts ...redlock.LockOption) *Holder {
	t := ns.test()
	t.Helper()
	opts = slices.Concat([]redlock.LockOption{redlock.WithOwner("somebody else")}, opts)
	lock, err := ns.Locker().TryLock(context.Background(), resource, held, opts...)
	if err != nil {
		t.Fatalf("redlocktest: Hold: %v", err)
	}
	h := &Holder{Lock: lock, nodes: ns}
	h.settle(true)
	t.Cleanup(func() {
		ns.Up() // else each one waits for what does not answer
		h.Release()
	})
	return h
}

// held is how long a Holder can have its lock. It is not extended: what goes on for ever in a
// bubble would hide that a test is stuck.
const held = 1000 * time.Hour

// Release gives the lock back on all nodes that answer, and the next waiter is woken. It does
// nothing if the lock is gone.
func (h *Holder) Release() {
	_ = h.Lock.Unlock(context.Background())
	h.settle(false)
}

// settle waits until something is there on each node that answers, or nothing of the holder:
// Lock and Unlock wait for a majority only, and the next caller may ask another node first.
func (h *Holder) settle(there bool) {
	key, pause := h.Lock.Resources()[0], time.Nanosecond // in which everybody in a bubble comes to rest
	for end := time.Now().Add(settle); time.Now().Before(end); pause = min(2*pause, time.Millisecond) {
		if !slices.ContainsFunc(h.nodes, func(n *Node) bool {
			value, err := n.redis.Get(key)
			settled := err == nil
			if !there {
				settled = value != h.Lock.Value()
			}
			return n.redis.Answers() && !settled
		}) {
			return
		}
		time.Sleep(pause)
	}
}

// Expire lets the lock run out now, as if the holder had died. No waiter is told: each finds
// the lock gone at its next look, within a second.
func (h *Holder) Expire() { h.nodes.Lose(h.Lock) }
