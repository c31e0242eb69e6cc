// Package redlock locks resources across processes, on one or several independent Redis
// nodes: the Redlock algorithm.
//
//	locker, err := redlock.New(clients) // one for the whole process
//	…
//	err = locker.Do(ctx, "invoice:42", 10*time.Second, func(ctx context.Context) error {
//		return charge(ctx, 42) // ctx ends the moment the lock can no longer be trusted
//	})
//	if errors.Is(err, redlock.ErrContended) {
//		return nil // another process has the lock
//	}
//
// # Limits
//
// A lock is a lease: it ends by itself after its TTL. A process that stalls after it last
// looked at its context may still be running when another one gets the lock. Where overlap
// must be impossible, the protected resource must compare a fencing token: see [WithFencing]
// and [Fence].
//
// A node that restarts empty forgets its locks. It can let a second holder in if a lock
// stood on a bare majority. Let the nodes write every command to disk before they answer
// (appendonly yes, appendfsync always), or use [WithRestartQuarantine]. A single Sentinel
// group or Cluster can lose a lock when it fails over, and a Ring when it re-hashes.
//
// The clocks of nodes and clients must run at about the same rate. They need not agree.
//
// # Ways to lock
//
// [Locker.Do] and [Locker.With] lock, call a function and release the lock. [Locker.Lock],
// [Locker.TryLock], [Lock.Extend] and [Lock.Unlock] do the same by hand. [Locker.WithAll]
// and [Locker.LockAll] lock several resources at once. [WithAutoExtend] extends a lock for
// as long as the work takes. [NewSingle] makes a Locker on one Redis.
//
// # Errors
//
// Compare with [errors.Is]. [ErrContended] says that another caller has the lock,
// [ErrNoQuorum] that too few nodes answered, and [ErrLockLost] that the lock ended before
// the work did. A [*LockError] has the details.
//
// # More
//
// The README of the repository is an introduction. Its directory docs has a page for each
// subject: guarantees, waiting, fencing, nodes, recipes, how to test your own code, and
// others.
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

// A Client runs commands on one independent Redis deployment: a standalone server, a
// Sentinel-managed group or a Cluster. Every go-redis client is one, and so is any type that
// processes commands as they do.
//
// A hook of the client may change the arguments of a command in place, for example to put a
// prefix before keys. It must do so in all processes, and waiting Lockers then poll. A hook
// must not send a command a second time. [Locker.Inspect] sends one pipeline. A panic of
// Process is an error of the node.
type Client interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// A Locker grants locks on its nodes. [New] makes it. It is safe for concurrent use, and
// must not be copied.
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

// New returns a Locker that grants locks on a majority of the nodes behind clients, one
// client for each node. Use 1, 3 or 5 nodes that fail independently. A program makes one
// Locker, shares it, and calls [Locker.Shutdown] before it ends. New sends nothing. The
// Locker never closes the clients.
//
// The error matches [ErrInvalidArgument] if there are no clients, if one is nil or only
// queues commands (a redis.Pipeliner), if two are the same or name the same address and
// database, or if an option is out of range. A server with a second name is found out when a
// lock is taken: it has one vote. Two databases of one server are not found out, except by
// [Locker.Check].
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
// Cluster. It makes the same checks. While the node is down, nobody can lock. If the node
// loses its data, it loses its locks: use [WithFencing] where that must do no harm.
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

// Lock locks resource for ttl. It waits for the lock for 4 s by default: see [WithRetry] and
// [WithMaxWait]. ctx can end the wait earlier, not lengthen it. The returned Lock does not
// depend on ctx. If ctx ends, Lock returns at once, and what was granted is released in the
// background.
//
// The key on the nodes is resource as it is. ttl is cut to whole milliseconds and counts
// from the start of the successful attempt.
//
// The error matches exactly one of [ErrContended], [ErrNoQuorum], [ErrShutdown],
// [ErrInvalidArgument] and ctx's error, or ctx's error and one of the first two, if ctx
// ended the wait after an outcome was seen. It is a [*LockError], unless an argument is
// invalid.
//
// More: docs/waiting.md.
func (l *Locker) Lock(ctx context.Context, resource string, ttl time.Duration, opts ...LockOption) (*Lock, error) {
	r, err := l.newRequest(ctx, resource, ttl, opts)
	if err != nil {
		return nil, err
	}
	return r.run(ctx)
}

// TryLock is [Locker.Lock] with one attempt, whatever the retry options say; [Lock.Extend]
// still uses them. Its error matches [ErrContended] if another caller has the lock, if a
// waiter is next in line, or if contenders of the same instant took the nodes from each
// other: then none of them has it.
//
// While the same Locker holds the resource, TryLock asks no node and returns at once. Every
// 10 s, such a call has the nodes asked whether they still have that lock.
//
// No program can ask whether a resource is locked: the answer may be outdated when it
// arrives. [Locker.Inspect] shows it to people.
func (l *Locker) TryLock(ctx context.Context, resource string, ttl time.Duration, opts ...LockOption) (*Lock, error) {
	r, err := l.newRequest(ctx, resource, ttl, opts)
	if err != nil {
		return nil, err
	}
	r.Once = true
	return r.run(ctx)
}

// LockAll is [Locker.Lock] for several resources: it locks all of them or none, on each node
// in one step. The result is one lock, which is extended, released and lost as a whole. It
// excludes every lock on any of the resources. Their order makes no difference.
//
// LockAll does not queue: it polls as [WithRetry] and [WithMaxWait] say, so a busy resource
// may starve it.
//
// On a Cluster all resources must lie in one slot; behind a Ring they must share a hash tag.
// The errors are those of Lock. They match [ErrInvalidArgument] also for an empty list or
// name, and for resources that do not lie together.
//
// More: docs/several.md.
func (l *Locker) LockAll(ctx context.Context, resources []string, ttl time.Duration, opts ...LockOption) (*Lock, error) {
	r, err := l.newRequestAll(ctx, resources, ttl, opts)
	if err != nil {
		return nil, err
	}
	return r.run(ctx)
}

// Shutdown makes new and waiting calls fail with [ErrShutdown] at once. Held locks stay
// usable, and automatic extension goes on. Shutdown returns nil once all locks are unlocked
// or over and no call to a node is under way. A lock that was not unlocked counts as held
// until it runs out.
//
// If ctx ends first, Shutdown returns ctx's error with what is left. Automatic extension
// stops then, and held locks run out within their TTL.
//
// A call to a node that cannot be reached lasts until its client gives up, by default many
// seconds: give ctx a deadline. Shutdown may be called again, but not from a node error
// handler. The clients stay open.
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
