// Package redlocktest runs Redis nodes in the memory of a test, and makes happen what code
// that locks has to cope with: somebody else holds the lock, nodes are away, the lock is lost
// in the middle.
//
//	nodes := redlocktest.New(t, 3)
//	nodes.Hold("invoice:42")
//	err := charge(t.Context(), nodes.Locker(), "invoice:42") // matches redlock.ErrContended
//
// It works inside a bubble of [testing/synctest] and outside. Inside, waiting takes no time:
// TTLs run out, and Lock gives up after its four seconds, at once. Outside, both take as long
// as they say; give [Nodes.Locker] redlock.WithRetry(0, 0) where a test need not wait.
//
// The nodes are those of miniredis, which knows what the library needs of Redis. They are
// reached through their clients only, and listen nowhere. They end by cleanups of the test:
// a search for leaked goroutines belongs in TestMain, or in a cleanup from before [New].
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
// test if it is called in another bubble of testing/synctest than [New], or in one of the two only.
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

// Lose takes a lock away from under its holder: its keys are gone from the nodes, as after
// an eviction or FLUSHALL, and anybody can have the resource at once. The holder learns of
// it when it extends the lock, by hand or automatically, or unlocks it; by its context at
// the end of its validity. It is for the lock that [redlock.FromContext] finds in the context
// of fn, too. It fails the test if lock is nil, as that of any other context is.
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

// Down makes the nodes refuse connections and drops those that there are. Their data stays.
func (ns Nodes) Down() { ns.each((*Node).Down) }

// Up ends Down, Freeze and Slow.
func (ns Nodes) Up() { ns.each((*Node).Up) }

// Freeze makes the nodes take commands and answer none, until Up; then they answer those
// that are still waited for. See [Node.Freeze].
func (ns Nodes) Freeze() { ns.each((*Node).Freeze) }

// Slow makes each command take d longer, instead of what an earlier Slow said.
func (ns Nodes) Slow(d time.Duration) { ns.each(func(n *Node) { n.Slow(d) }) }

// Wipe makes the nodes forget their data, as a restart without persistence does: locks,
// counters of fencing tokens, who waits. With [redlock.WithRestartQuarantine] they grant
// nothing for a while then; before, they count as up for long.
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

// Client returns the node's client. To read or to set what is on the node, use it; a resource
// is a key. Another client for it, as another process has, is
// redis.NewClient(node.Client().Options()); the address in there is a name only.
func (n *Node) Client() *redis.Client { return n.redis.Client }

// Down makes the node refuse connections and drops those that there are. Its data stays.
func (n *Node) Down() { n.redis.Down() }

// Up ends Down, Freeze and Slow.
func (n *Node) Up() {
	n.redis.Up()
	n.redis.Hurry()
	n.redis.Thaw()
}

// Freeze makes the node take commands and answer none, until Up; then it answers those that
// are still waited for. It never carries out one that its client has given up, by default
// after 5 s, where a real server may still do so.
func (n *Node) Freeze() { n.redis.Freeze() }

// Slow makes each command take d longer, instead of what an earlier Slow said. The client
// waits for as long as that, also beyond its own time-outs.
func (n *Node) Slow(d time.Duration) { n.redis.Slow(d) }

// Wipe makes the node forget its data, as a restart without persistence does.
func (n *Node) Wipe() { n.redis.Restart() }

// A Holder is somebody else who has a lock.
type Holder struct {
	// Lock is what it has.
	Lock *redlock.Lock

	nodes Nodes
}

// Hold returns somebody else who has taken the lock on resource, and keeps it until Release
// or Expire. Refusals name it "somebody else", unless opts say otherwise. It fails the test
// if the lock can't be had at once.
func (ns Nodes) Hold(resource string, opts ...redlock.LockOption) *Holder {
	t := ns.test()
	t.Helper()
	opts = slices.Concat([]redlock.LockOption{redlock.WithOwner("somebody else")}, opts)
	lock, err := ns.Locker().TryLock(context.Background(), resource, held, opts...)
	if err != nil {
		t.Fatalf("redlocktest: Hold: %v", err)
	}
	h := &Holder{Lock: lock, nodes: ns}
	t.Cleanup(func() {
		ns.Up() // else each one waits for what does not answer
		h.Release()
	})
	return h
}

// held is how long a Holder can have its lock. It is not extended: what goes on for ever in a
// bubble would hide that a test is stuck.
const held = 1000 * time.Hour

// Release gives the lock back, as Unlock does; who waits for it is called. It does nothing if
// the lock is not there any more.
func (h *Holder) Release() { _ = h.Lock.Unlock(context.Background()) }

// Expire lets the lock run out now, as if the holder had died. Nobody is told: who waits
// finds it gone at the next look, which comes within a second in a bubble and outside.
func (h *Holder) Expire() { h.nodes.Lose(h.Lock) }
