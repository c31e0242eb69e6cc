package round

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/script"
)

// A Grant is one random value, for one resource or several, and what became of it
// on the nodes, from the attempt to acquire to the release. It is safe for
// concurrent use.
type Grant struct {
	fleet *Fleet
	value string
	boxed any   // value, converted once
	keys  []any // the resources
	ttl   any   // of the acquire, in ms
	train lane.Train
	// calls starts the goroutines of node calls. It is not one WithContext: the
	// first failing node would cancel the healthy ones.
	calls errgroup.Group
	first call   // the acquire
	last  call   // the release
	gate  *gate  // nil without a line
	fence *fence // nil without a fencing token
	many  *many  // nil for one resource
	// Room for the keys and the arguments of both, with one resource.
	oneKey    [1]any
	firstArgs [3 + 1 + 2]any
	lastArgs  [3 + 1 + 1]any

	mu        sync.Mutex
	nodes     []grantNode
	release   release
	rounds    int           // of extensions
	successes int           // of those
	arming    *Extension    // the last one after which empty nodes get the value again
	told      chan struct{} // nil until somebody wants to know
	holder    Holder
	missed    context.Context //nolint:containedctx // of a grant that came before OnFresh
	late      bool
	// countUntil is until when grants of the attempt count; zero while it is
	// not decided.
	countUntil time.Time
}

// A grantNode is what is known of the value on one node. It is under Grant.mu.
type grantNode struct {
	// since is the first round since the last success in which the node has had
	// the value, or 0, and agreed the one of them that it keeps it longest for.
	since  int
	agreed *Extension
	// held says that the node is known to have held the value without a break
	// since the last success, so that its vote for an extension counts.
	held bool
	// fresh says that the node has answered that it has the value, too late to
	// count.
	fresh bool
	// unsent says that it was not sent the value, for certain: the client had no
	// connection.
	unsent bool
	// gone says that the node has not got the value, and was not given it again;
	// empty, that nothing was there and it is to be.
	gone, empty bool

	release releaseNode
}

// newGrant returns a grant for resources, a list without duplicates that it keeps.
func newGrant(f *Fleet, resources []string, value string) *Grant {
	g := &Grant{
		fleet: f, value: value, boxed: value,
		train: f.lanes.NewTrain(resources...), nodes: make([]grantNode, f.Size()),
	}
	g.keys = appendKeys(g.oneKey[:0], resources)
	if len(resources) > 1 {
		g.many = &many{resources: resources}
	}
	g.last = call{op: OpRelease, script: script.Release, args: script.Release.Append(g.lastArgs[:0], g.keys, g.boxed), once: true}
	return g
}

func appendKeys(keys []any, resources []string) []any {
	keys = slices.Grow(keys, len(resources))
	for _, resource := range resources {
		keys = append(keys, resource)
	}
	return keys
}

// acquires prepares the acquire.
func (g *Grant) acquires(ttl time.Duration) {
	g.ttl = ttl.Milliseconds()
	if g.fence != nil {
		g.first = g.fence.acquire(g)
		return
	}
	g.first = call{op: OpAcquire, script: script.Acquire, args: script.Acquire.Append(g.firstArgs[:0], g.keys, g.boxed, g.ttl)}
}

// extends returns the command that lets the value last for ttl.
func (g *Grant) extends(ttl time.Duration) call {
	if g.fence != nil {
		return g.fence.extend(g, ttl)
	}
	return g.call(OpExtend, script.Extend, ttl)
}

// arms returns the command that puts the value into place again, for ttl.
func (g *Grant) arms(ttl time.Duration) call {
	if g.fence != nil {
		return g.fence.arm(g, ttl)
	}
	return g.call(OpAcquire, script.Acquire, ttl)
}

func (g *Grant) call(op Op, s *script.Script, ttl time.Duration) call {
	return call{op: op, script: s, args: s.Args(g.keys, g.boxed, ttl.Milliseconds())}
}

// Value returns the random value.
func (g *Grant) Value() string { return g.value }

// Pending reports whether a command for the value is sent and not answered, or
// waits to be sent.
func (g *Grant) Pending() bool { return g.train.Pending() }

// grace is how long after the decision a grant counts as if it had come with
// the others: as long as those took, between 5 and 50 ms. Replies that differ by
// the jitter of a network count; and for a node that granted in time to lose
// its data, come back, and be locked and unlocked by somebody else together
// with the late one, that is too short.
func grace(deciding time.Duration) time.Duration {
	return min(max(deciding, 5*time.Millisecond), maxGrace)
}

// decide notes that an attempt that began at start is decided. Grants that
// come after the grace do not count until an extension has succeeded beside
// them: a node that held the value may have lost it before they came, and
// somebody else may have had the lock.
func (g *Grant) decide(start time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.countUntil = now.Add(grace(now.Sub(start)))
}

// granted notes that a node has granted the value.
func (g *Grant) granted(ctx context.Context, node int) {
	g.mu.Lock()
	if g.countUntil.IsZero() || time.Now().Before(g.countUntil) {
		g.nodes[node].held = true
		g.mu.Unlock()
		return
	}
	g.late = true
	g.mu.Unlock()
	g.refresh(ctx, node)
}

// maxGrace bounds the grace, and how much later than its command was meant to
// a node may have acted without keeping the value markedly beyond the lock.
const maxGrace = 50 * time.Millisecond

// overdue notes that a node has done what was meant for a moment long ago.
func (g *Grant) overdue(meant time.Time) {
	if time.Since(meant) > maxGrace {
		g.mu.Lock()
		g.late = true
		g.mu.Unlock()
	}
}

// Late reports whether a node acted so late that it keeps the value beyond the
// end of the lock.
func (g *Grant) Late() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.late
}

// A Holder has the lock that a grant has become. Confirm is called, on a
// goroutine of its own, when a node has the value but does not count for
// extensions until one has succeeded beside it.
type Holder interface {
	Confirm(ctx context.Context)
}

// OnFresh says whom to tell of such nodes.
func (g *Grant) OnFresh(h Holder) {
	g.mu.Lock()
	g.holder = h
	missed := g.missed
	g.missed = nil
	g.mu.Unlock()
	if missed != nil {
		g.background(func() { h.Confirm(missed) })
	}
}

// refresh tells that a node has the value but does not count yet. ctx is never done.
func (g *Grant) refresh(ctx context.Context, node int) {
	g.mu.Lock()
	g.nodes[node].fresh = true
	holder := g.holder
	if holder == nil {
		g.missed = ctx
	}
	g.mu.Unlock()
	if holder != nil {
		g.background(func() { holder.Confirm(ctx) })
	}
}

func (g *Grant) holds(node int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.nodes[node].held
}
