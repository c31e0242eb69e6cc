// Package redlock provides mutual exclusion across processes using a majority
// of independent Redis nodes: the Redlock algorithm.
//
// A lock is a lease: it ends by itself after its TTL. A process that stalls
// after it last looked at its lock may still be running when another one
// acquires it, so protect the resource itself, for example by checking a
// fencing token there ([WithFencing]), when overlap must be impossible. Nodes that forget
// forget locks: a node that restarts empty can let a second holder in if a lock
// stood on a bare majority, unless it writes every command to disk before it
// answers (appendonly yes, appendfsync always) or is kept away for the longest
// TTL after a restart. A single Sentinel group or Cluster can lose a lock when
// it fails over, and a Ring when it re-hashes. The clocks of nodes and clients
// are expected to run at about the same rate; they need not agree.
//
// Most programs only need [New] and [Locker.With]:
//
//	locker, err := redlock.New([]*redis.Client{client})
//	…
//	err = locker.With(ctx, "invoice:42", 10*time.Second, func(ctx context.Context, lock *redlock.Lock) error {
//		return charge(ctx) // ctx ends the moment the lock can no longer be trusted
//	}, nil)
//
// [Locker.Lock], [Locker.TryLock], [Lock.Extend] and [Lock.Unlock] do the same
// by hand, [Locker.WithAll] and [Locker.LockAll] for several resources at once.
package redlock

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/alarm"
	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/line"
	"github.com/b0401464/redlock/internal/round"
)

// A Client runs commands on one independent Redis deployment: a standalone
// server, a Sentinel-managed group or a Cluster. Every go-redis client is one;
// so is anything that processes commands as they do. The arguments of a command
// are shared by all nodes: neither Process nor a hook may change them in place. A
// panic of Process is an error of the node, as it is not on the caller's goroutine.
type Client interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// A Locker grants locks on the nodes it was made with. It is made by [New],
// safe for concurrent use, and must not be copied.
type Locker struct {
	_ noCopy

	fleet     *round.Fleet
	lines     line.Table  // of callers in this process
	memory    line.Memory // of resources that were contended
	ears      *round.Ears // nil without lines of Lockers
	addrs     []string
	shards    []shards // of what is made of several servers
	config    config
	clock     clock.Clock
	telemetry *telemetry
	alarms    alarm.Clock
	admission admission

	closing chan struct{} // closed by the first Shutdown
	halted  atomic.Bool   // Shutdown was given up: no lock is extended automatically

	mu     sync.Mutex
	closed bool
	busy   int           // calls that may still take a lock, and locks held
	held   int           // of them, locks held
	idle   chan struct{} // closed when busy falls to 0, if somebody waits for that
}

// noCopy makes go vet complain about a copy.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// New returns a Locker that grants locks on a majority of the nodes behind
// clients, one client per node. It sends nothing. Use 1, 3 or 5 nodes that fail
// independently; an even number works and tolerates no more failures than the
// odd one below it. The clients stay the caller's: no method of Locker closes
// them.
//
// The error matches [ErrInvalidArgument] if there are no clients, if one is nil
// or only queues commands (a redis.Pipeliner), if two are the same or have
// options that name the same address and database (that node would vote twice),
// or if an option is out of range.
func New[C Client](clients []C, opts ...Option) (*Locker, error) {
	nodes := make([]round.Client, len(clients))
	for i, c := range clients {
		if round.IsNil(c) {
			return nil, invalid("client %d is nil", i)
		}
		nodes[i] = c
	}
	return newLocker(nodes, opts)
}

func newLocker(nodes []round.Client, opts []Option) (*Locker, error) {
	if len(nodes) == 0 {
		return nil, invalid("no clients")
	}
	endpoints, err := endpointsOf(nodes)
	if err != nil {
		return nil, err
	}
	l := &Locker{closing: make(chan struct{})}
	for _, e := range endpoints {
		l.addrs = append(l.addrs, round.Addr(e))
	}
	l.shards = shardsOf(nodes)
	if l.config, err = newConfig(opts); err != nil {
		return nil, err
	}
	l.telemetry, err = newTelemetry(l.config.tracers, l.config.meters, l.config.attributes, singleAddrs(endpoints))
	if err != nil {
		return nil, fmt.Errorf("redlock: metrics: %w", err)
	}
	l.fleet = round.NewFleet(nodes, round.Hooks{Failed: l.nodeFailed, Late: l.telemetry.nodeLate, Next: l.memory.Others})
	if !l.config.noLine {
		l.fleet.EnableLines(newValue()[:16], nodeNames(endpoints))
		l.ears = l.fleet.NewEars(l.called)
	}
	if l.config.pipeline {
		l.fleet.EnablePipes()
	}
	return l, nil
}

// called is told by a node that it is this Locker's turn. If nobody here wants the
// resource any more, the next one is to have it.
func (l *Locker) called(node int, resource string) {
	if !l.lines.Call(resource) && l.fleet.Gate(resource) == node {
		l.fleet.LeaveLine(context.Background(), resource, newValue(), node, time.Second)
	}
}

// nodeNames returns what every process that uses the nodes calls them, in
// whatever order it lists them: the databases that the clients' options name, or
// the position of a client that does not tell.
func nodeNames(endpoints [][]round.Endpoint) []string {
	names := make([]string, len(endpoints))
	for i, e := range endpoints {
		if len(e) > 0 {
			names[i] = fmt.Sprint(e)
		} else {
			names[i] = fmt.Sprint("node ", i)
		}
	}
	return names
}

// endpointsOf returns the endpoints of each node, or why the nodes cannot be used
// together.
func endpointsOf(nodes []round.Client) ([][]round.Endpoint, error) {
	all := make([][]round.Endpoint, len(nodes))
	for i, c := range nodes {
		if _, queues := c.(redis.Pipeliner); queues {
			return nil, invalid("client %d is a pipeline: it only queues commands", i)
		}
		var err error
		if all[i], err = round.Endpoints(c); err != nil {
			return nil, invalid("client %d cannot be used: %v", i, err)
		}
		for j, other := range nodes[:i] {
			if round.Same(c, other) || round.Overlap(all[i], all[j]) {
				return nil, invalid("clients %d and %d are the same node (%s): it would vote twice", j, i, round.Addr(all[i]))
			}
		}
	}
	return all, nil
}

// singleAddrs returns the address of each node that has a single one.
func singleAddrs(endpoints [][]round.Endpoint) []string {
	addrs := make([]string, len(endpoints))
	for i, e := range endpoints {
		if len(e) == 1 {
			addrs[i] = e[0].Addr
		}
	}
	return addrs
}

// nodeFailed counts and passes on the failure of a node.
func (l *Locker) nodeFailed(ctx context.Context, f round.Failure) {
	err := l.nodeError(f)
	l.telemetry.nodeFailed(ctx, err)
	if handler := l.config.onError; handler != nil {
		handler(ctx, err)
	}
}

// Lock locks resource for ttl, retrying until it succeeds, ctx is done or the
// retry policy gives up; see [WithRetry] and [WithMaxWait]. The key on the
// nodes is resource as it is. ttl is cut to whole milliseconds and counts from
// the beginning of the successful attempt; [Lock.Until] tells until when the
// lock is valid.
//
// ctx bounds the waiting only; the returned Lock does not depend on it. When
// ctx is cancelled, Lock returns at once and what was granted is released in
// the background.
//
// The error matches [ErrNotAcquired] and one of [ErrContended] and
// [ErrNoQuorum], and ctx's error too if ctx ended the wait; it is a
// [*LockError]. It matches only [ErrInvalidArgument] for an empty resource, a
// ttl under 1 ms or not above its drift, or a bad option, and only
// [ErrShutdown] after [Locker.Shutdown].
func (l *Locker) Lock(ctx context.Context, resource string, ttl time.Duration, opts ...LockOption) (*Lock, error) {
	r, err := l.newRequest(ctx, resource, ttl, opts)
	if err != nil {
		return nil, err
	}
	return r.run(ctx)
}

// TryLock is like [Locker.Lock] with one attempt only, whatever the retry
// options say. Its error matches [ErrContended] if somebody else has the lock or,
// for a moment after a release, is the next one in the line of waiting Lockers, or
// if contenders of the same instant took the nodes from each other: then none
// of them has it. [Lock.Extend] goes by the retry options all the same.
//
// While a lock of the same Locker has the resource, TryLock asks nobody: it returns at
// once, with no attempt in the error, even if somebody has removed the keys by hand. So
// does every call that would make one attempt only; see [WithRetry].
//
// There is no way to ask whether a resource is locked that would not be
// outdated when the answer arrives.
func (l *Locker) TryLock(ctx context.Context, resource string, ttl time.Duration, opts ...LockOption) (*Lock, error) {
	r, err := l.newRequest(ctx, resource, ttl, opts)
	if err != nil {
		return nil, err
	}
	r.once = true
	return r.run(ctx)
}

// LockAll is like [Locker.Lock] for several resources at once: it locks all of them
// or none, on every node in one step. It excludes every other lock on any of
// them; in which order they are listed makes no difference, and no two calls can
// wait for each other. The lock is extended and released as one, with one fencing
// token, and lost as a whole: a node counts only if it has all of the keys.
//
// [Lock.Resources] tells them sorted and without duplicates; resources is neither
// kept nor changed. One resource is locked as Lock does it.
//
// A call for several has no place in the line of a resource. While its own Locker holds
// one of them it asks nobody, and when that ends at once, though only once until it
// is to ask anyway; calls of one Locker that have a resource in common ask one after
// the other, and one whose retries run out before its turn fails with [ErrContended].
// Where another process has one, it asks again as the retry options say. What has just
// been reserved for the first one in a line it leaves to that one, once it knows that
// somebody waits, but not more than three times in a row. Where a resource
// is always wanted, its turn is a matter of luck, and many retries or [WithMaxWait]
// give it time. With WithRetry(0, 0) it makes one attempt, or none while its own Locker
// holds one of them.
//
// Where a client is a Cluster, all resources have to lie in one slot; where it is a
// Ring, they have to share a hash tag: a part of the name in braces that alone decides
// where a key lies, as in {order:42}:items and {order:42}:payment. Of a client whose
// type hides what it is, the caller has to know.
//
// The errors are those of Lock, and they match [ErrInvalidArgument] for an empty
// list too, for an empty name in it, for resources that do not lie together, and for
// one that is a key which the library keeps beside another one.
func (l *Locker) LockAll(ctx context.Context, resources []string, ttl time.Duration, opts ...LockOption) (*Lock, error) {
	r, err := l.newRequestAll(ctx, resources, ttl, opts)
	if err != nil {
		return nil, err
	}
	return r.run(ctx)
}

// newValue returns the random value of an attempt.
func newValue() string {
	var random [16]byte
	var text [2 * len(random)]byte
	_, _ = rand.Read(random[:]) // never fails
	hex.Encode(text[:], random[:])
	return string(text[:])
}

func (l *Locker) nodeError(f round.Failure) *NodeError {
	return &NodeError{Node: f.Node, Addr: l.addrs[f.Node], Op: f.Op.String(), Err: f.Err}
}

func (l *Locker) nodeErrors(failures []round.Failure) []*NodeError {
	var all []*NodeError
	for _, f := range failures {
		all = append(all, l.nodeError(f))
	}
	return all
}
