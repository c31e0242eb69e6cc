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
//	locker, err := redlock.New([]*redis.Client{client}) // one for the whole process
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
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/acquire"
	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/inspect"
	"github.com/b0401464/redlock/internal/lease"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/round"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/internal/value"
)

// A Client runs commands on one independent Redis deployment: a standalone
// server, a Sentinel-managed group or a Cluster. Every go-redis client is one;
// so is anything that processes commands as they do. Each command has arguments of its
// own, which a hook may change in place, as one does that puts a prefix before keys. It
// must do so in all processes; a waiting Locker is not told of a release then, and polls.
// A hook must not send a command a second time; the library and go-redis do where it is safe.
// [Locker.Inspect] reads by one pipeline of a go-redis client, which hooks see as such.
// A panic of Process is an error of the node, as it is not on the caller's goroutine.
type Client interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// A Locker grants locks on the nodes it was made with. It is made by [New],
// safe for concurrent use, and must not be copied.
type Locker struct {
	_ noCopy

	locks     *lease.Locks // nil if it was not made by New
	calls     acquire.Calls
	reader    *inspect.Reader
	addrs     []string
	config    config
	telemetry *telemetry
}

// noCopy makes go vet complain about a copy.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// New returns a Locker, of which a program makes one and shares it: its callers wait for
// each other without asking the nodes, and each Locker has connections of its own while it
// waits. Call [Locker.Shutdown] before the program ends.
//
// It grants locks on a majority of the nodes behind clients, one client per node. New sends
// nothing. Use 1, 3 or 5 nodes that fail independently; an even number works and tolerates
// no more failures than the odd one below it. The clients stay the caller's: no method of
// Locker closes them.
//
// The error matches [ErrInvalidArgument] if there are no clients, if one is nil
// or only queues commands (a redis.Pipeliner), if two are the same or have
// options that name the same address and database (that node would vote twice),
// or if an option is out of range. A server that has another name, as localhost beside
// 127.0.0.1, is found out when a lock is taken: it has one vote, and the others fail.
// Another database of the same server is not noticed.
func New[C Client](clients []C, opts ...Option) (*Locker, error) {
	nodes := make([]client.Client, len(clients))
	for i, c := range clients {
		if client.IsNil(c) {
			return nil, invalid("client %d is nil", i+1)
		}
		nodes[i] = c
	}
	return newLocker(nodes, opts)
}

// NewSingle is [New] for one node: a standalone server, a Sentinel-managed group or a
// Cluster. It makes the same checks. There is no majority then: while the node is down
// nobody can lock, and a node that loses its data loses its locks. Where that must do no
// harm, use [WithFencing].
func NewSingle(client Client, opts ...Option) (*Locker, error) {
	return New([]Client{client}, opts...)
}

func newLocker(clients []client.Client, opts []Option) (*Locker, error) {
	endpoints, err := client.Distinct(clients)
	if err != nil {
		return nil, asInvalid(err)
	}
	l := &Locker{}
	if l.config, err = newConfig(opts); err != nil {
		return nil, err
	}
	terms := &l.config.terms
	terms.Shards = client.ShardsOf(clients)
	if terms.Quarantine != 0 && len(terms.Shards) > 0 {
		return nil, invalid("client %d spreads keys among servers, and WithRestartQuarantine is for single ones", terms.Shards[0].Client+1)
	}
	var single []string
	l.addrs, single = client.Addrs(endpoints)
	l.telemetry, err = newTelemetry(l.config.tracers, l.config.meters, l.config.attributes, single)
	if err != nil {
		return nil, fmt.Errorf("redlock: metrics: %w", err)
	}
	l.telemetry.errorOf = l.errorOf
	memory := &l.calls.Memory
	nodes := round.NewNodes(clients, round.Hooks{Failed: l.nodeFailed, Late: l.telemetry.nodeLate, Next: memory.Others, Stray: memory.Stray})
	l.locks = lease.NewLocks(nodes, l.telemetry, lease.Errors{
		Of:    func(f *fault.Fault) error { return l.lockError(f) },
		EndIn: endIn,
	})
	l.calls.Locks, l.calls.Telemetry = l.locks, l.telemetry
	l.reader = inspect.New(nodes)
	if !l.config.noLine {
		nodes.EnableLines(value.NewID(l.config.call.Owner), client.Names(endpoints))
		l.calls.Listeners = nodes.NewListeners(l.calls.Called)
	}
	if terms.NoScripts {
		nodes.DisableScripts()
	}
	if terms.Quarantine != 0 {
		nodes.Quarantine(terms.Quarantine)
	}
	if l.config.pipeline {
		nodes.EnableBatches()
	}
	return l, nil
}

// nodeFailed counts and passes on the failure of a node.
func (l *Locker) nodeFailed(ctx context.Context, f node.Failure) {
	err := l.nodeError(f)
	l.telemetry.nodeFailed(ctx, err)
	if handler := l.config.onError; handler != nil {
		handler(ctx, err)
	}
}

// Lock locks resource for ttl. It waits for the lock for 4 s at most by default: for
// the count times the delay of [WithRetry], or for [WithMaxWait], however it waits, or
// until ctx ends, whichever comes first; a ctx that lasts longer does not lengthen it.
// Only an attempt that has begun before that may take longer: where nodes do not answer,
// 1.5 node timeouts at most, and 2.5 with a token. [WithNodeTimeout] says what counts
// towards that.
//
// The key on the nodes is resource as it is. ttl is cut to whole milliseconds and
// counts from the beginning of the successful attempt; [Lock.Until] tells until when
// the lock is valid. ctx bounds the waiting only; the returned Lock does not depend on
// it. When ctx is cancelled, Lock returns at once and what was granted is released in
// the background.
//
// The error matches exactly one of [ErrContended], [ErrNoQuorum], ctx's error,
// [ErrShutdown] after [Locker.Shutdown], and [ErrInvalidArgument] for an empty
// resource, a ttl under 1 ms or not above its drift, or a bad option; but ctx's error
// and one of the first two if ctx ended the wait and it is known how things stood.
// That is what was seen last of the nodes, by this call or by another one of the
// Locker that waits for the resource. Except for a bad argument it is a [*LockError].
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
// once, with no attempt in the error. So does every call that would make one attempt only;
// see [WithRetry]. Every 10 s such a call has the nodes asked whether they still have that
// lock, which is lost if somebody has removed the keys by hand.
//
// There is no way to ask whether a resource is locked that would not be
// outdated when the answer arrives; [Locker.Inspect] shows it to people all the same.
func (l *Locker) TryLock(ctx context.Context, resource string, ttl time.Duration, opts ...LockOption) (*Lock, error) {
	r, err := l.newRequest(ctx, resource, ttl, opts)
	if err != nil {
		return nil, err
	}
	r.Once = true
	return r.run(ctx)
}

// LockAll is like [Locker.Lock] for several resources: it locks all of them or none, on
// each node in one step. It is one lock, which is extended, released and lost as a whole.
// It excludes every lock on any of the resources; their order makes no difference.
//
// LockAll does not queue: it polls as [WithRetry] and [WithMaxWait] say, so a busy
// resource may starve it.
//
// On a Cluster all resources must lie in one slot; behind a Ring they must share a hash
// tag. The errors are those of Lock. They match [ErrInvalidArgument] also for an empty
// list or name, and for resources that do not lie together.
//
// More: docs/several.md.
func (l *Locker) LockAll(ctx context.Context, resources []string, ttl time.Duration, opts ...LockOption) (*Lock, error) {
	r, err := l.newRequestAll(ctx, resources, ttl, opts)
	if err != nil {
		return nil, err
	}
	return r.run(ctx)
}

// Shutdown makes new calls fail with [ErrShutdown], and callers that are still
// waiting for a lock too, at once. Held locks stay usable, and are extended if
// [WithAutoExtend] says so. Shutdown returns nil once all of them are unlocked or
// over and no node call is under way, or the context's error, with what is
// left, if ctx ends first: then automatic extension stops, and what is still
// held runs out within its TTL; nothing is released under a holder. It may be
// called again. The clients stay open.
//
// A lock that was not unlocked counts as held until it runs out. A node that
// cannot be reached keeps its calls under way until the client gives them up,
// with go-redis' default options after many seconds. A call that hangs on a node which
// answers others is waited for some seconds, and then left alone. A release that a node has not
// carried out yet is tried twice more at most, within some seconds, and then left to the TTL.
// Shutdown must not be called from a node error handler, which it waits for.
func (l *Locker) Shutdown(ctx context.Context) error {
	if err := l.canLock(ctx); err != nil {
		return err
	}
	if err := l.calls.Shutdown(ctx); err != nil {
		return fmt.Errorf("redlock: shutdown: %w", err)
	}
	return nil
}

// A request is one call of Lock or of its kin.
type request struct {
	acquire.Request

	locker      *Locker
	onUnlockErr func(error) // of the options
}

func (l *Locker) newRequest(ctx context.Context, resource string, ttl time.Duration, opts []LockOption) (request, error) {
	if err := l.canLock(ctx); err != nil {
		return request{}, err
	}
	if resource == "" {
		return request{}, invalid("empty resource")
	}
	return l.requestFor(lease.NewHold(l.locks, resource), ttl, opts)
}

func (l *Locker) newRequestAll(ctx context.Context, resources []string, ttl time.Duration, opts []LockOption) (request, error) {
	if err := l.canLock(ctx); err != nil {
		return request{}, err
	}
	all, err := l.config.terms.Set(resources)
	switch {
	case err != nil:
		return request{}, asInvalid(err)
	case len(all) == 1:
		return l.requestFor(lease.NewHold(l.locks, all[0]), ttl, opts)
	}
	return l.requestFor(lease.NewHoldOfAll(l.locks, all), ttl, opts)
}

func (l *Locker) canLock(ctx context.Context) error {
	switch {
	case l == nil || l.locks == nil:
		return invalid("Locker was not made by New")
	case ctx == nil:
		return invalid("nil context")
	}
	return nil
}

// requestFor returns the call that is to make h a lock on its resources.
func (l *Locker) requestFor(h *lease.Hold, ttl time.Duration, opts []LockOption) (request, error) {
	call, err := l.config.call.with(opts)
	if err != nil {
		return request{}, err
	}
	ttl, drift, err := l.config.terms.Call(h.Resources, ttl, &call.Config)
	if err != nil {
		return request{}, asInvalid(err)
	}
	return request{acquire.NewRequest(&l.calls, h, ttl, drift, &call.Config), l, call.onUnlockErr}, nil
}

// Tests outside of this package see it through the seam.
func init() {
	seam.Version = version
	seam.SetWallJump = func(l any, jump func() time.Duration) { l.(*Locker).locks.Clock.Jump = jump }
	seam.SetStood = func(l any, stood func() time.Duration) { l.(*Locker).locks.Clock.Stood = stood }
	seam.OpenCalls = func(l any) int { return l.(*Locker).locks.Nodes.Open() }
	seam.Queues = func(l any) int { return l.(*Locker).calls.Queues.Len() }
	seam.Rests = func(k any) bool { return k.(*Lock).hold.Rests() }
}
