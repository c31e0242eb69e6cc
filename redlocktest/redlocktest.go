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
// reached through their clients only, and listen nowhere.
package redlocktest

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
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
	t     testing.TB
}

// New starts n nodes, which end with the test. It fails the test if n is less than 1.
func New(tb testing.TB, n int) Nodes {
	tb.Helper()
	if n < 1 {
		tb.Fatalf("redlocktest: New(t, %d): want at least one node", n)
	}
	nodes := make(Nodes, n)
	for i := range nodes {
		m := memory.New(i)
		tb.Cleanup(m.Close)
		if err := m.AnswerSetIfEq(); err != nil {
			tb.Fatalf("redlocktest: node %d does not start: %v", i+1, err)
		}
		nodes[i] = &Node{redis: m, t: tb}
	}
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

// shutdown ends what a Locker does.
func (ns Nodes) shutdown(locker *redlock.Locker) {
	ns.Up()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if locker.Shutdown(ctx) == nil {
		return
	}
	// What is left is under way and ends soon, or is a lock that ends at its TTL only.
	patience := time.Second
	if inBubble() {
		patience = time.Hour // the clock stands still when the test has returned
	}
	ctx, cancel = context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = locker.Shutdown(ctx)
}

// inBubble reports whether the caller is in a bubble, where waiting takes no time.
func inBubble() (yes bool) {
	defer func() { _ = recover() }()
	synctest.Wait() // panics outside
	return true
}

// Clients returns the client of each node, for code that makes its own Locker.
func (ns Nodes) Clients() []*redis.Client {
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
// of fn, too.
func (ns Nodes) Lose(lock *redlock.Lock) {
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

// Freeze makes the nodes take commands and answer none, until Up; then they answer them all.
func (ns Nodes) Freeze() { ns.each((*Node).Freeze) }

// Slow makes each command take d longer, instead of what an earlier Slow said.
func (ns Nodes) Slow(d time.Duration) { ns.each(func(n *Node) { n.Slow(d) }) }

// Wipe makes the nodes forget their data, as a restart without persistence does: locks,
// counters of fencing tokens, who waits.
func (ns Nodes) Wipe() { ns.each((*Node).Wipe) }

func (ns Nodes) each(f func(*Node)) {
	for _, n := range ns {
		f(n)
	}
}

// test returns the test of the nodes.
func (ns Nodes) test() testing.TB {
	if len(ns) == 0 {
		panic("redlocktest: a method of no nodes was called")
	}
	return ns[0].t
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

// Freeze makes the node take commands and answer none, until Up; then it answers them all.
func (n *Node) Freeze() { n.redis.Freeze() }

// Slow makes each command take d longer, instead of what an earlier Slow said.
func (n *Node) Slow(d time.Duration) { n.redis.Slow(d) }

// Wipe makes the node forget its data, as a restart without persistence does.
func (n *Node) Wipe() { n.redis.FlushAll() }

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
	t.Cleanup(h.Release)
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
