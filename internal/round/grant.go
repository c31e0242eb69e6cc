package round

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/script"
)

// A Grant is one random value and what became of it on the nodes, from the
// attempt to acquire to the release. It is safe for concurrent use.
type Grant struct {
	fleet *Fleet
	value string
	boxed any    // value, converted once
	keys  [1]any // the resource
	train lane.Train
	// calls starts the goroutines of node calls. It is not one WithContext: the
	// first failing node would cancel the healthy ones.
	calls errgroup.Group
	first call // the acquire
	last  call // the release

	mu      sync.Mutex
	nodes   []grantNode
	release release
	fresh   func(ctx context.Context)
}

// A grantNode is what is known of the value on one node. It is under Grant.mu.
type grantNode struct {
	// held says that the node is known to have held the value without a break
	// since the last success, so that its vote for an extension counts.
	held    bool
	release releaseNode
}

func newGrant(f *Fleet, resource, value string) *Grant {
	g := &Grant{
		fleet: f, value: value, boxed: value, keys: [1]any{resource},
		train: f.lanes.NewTrain(resource), nodes: make([]grantNode, f.Size()),
	}
	g.last = call{op: OpRelease, script: script.Release, value: value, args: script.Release.Args(g.keys[:], g.boxed), once: true}
	return g
}

// call returns a command that puts the value into place, or lets it last, for ttl.
func (g *Grant) call(op Op, s *script.Script, ttl time.Duration) call {
	return call{op: op, script: s, value: g.value, args: s.Args(g.keys[:], g.boxed, ttl.Milliseconds())}
}

// Value returns the random value.
func (g *Grant) Value() string { return g.value }

// Pending reports whether a command for the value is sent and not answered, or
// waits to be sent.
func (g *Grant) Pending() bool { return g.train.Pending() }

// OnFresh has f called, on a goroutine of its own, when a node has the value
// but does not count for extensions until one has succeeded beside it.
func (g *Grant) OnFresh(f func(ctx context.Context)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fresh = f
}

// granted notes that a node has granted the value for an attempt that began at
// start. A grant that comes later than the node timeout does not count until an
// extension has succeeded beside it: in the meantime a node that held the
// value may have lost it, and somebody else may have had the lock.
func (g *Grant) granted(ctx context.Context, node int, start time.Time, timeout time.Duration) {
	if time.Since(start) > timeout {
		g.refresh(ctx)
		return
	}
	g.mu.Lock()
	g.nodes[node].held = true
	g.mu.Unlock()
}

// refresh tells that a node has the value but does not count yet.
func (g *Grant) refresh(ctx context.Context) {
	g.mu.Lock()
	fresh := g.fresh
	g.mu.Unlock()
	if fresh != nil {
		fresh(context.WithoutCancel(ctx))
	}
}

func (g *Grant) holds(node int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.nodes[node].held
}
