// Package check brings the facts that package finding judges: it asks each node TIME and INFO,
// takes a lock there on a key of its own, tries the waiting line and sends itself a message. It
// promises to return within four node timeouts, whatever hangs, and to leave nothing on the
// nodes. It knows nothing of the locks of its Locker. The root package calls it.
package check

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/finding"
	"github.com/b0401464/redlock/internal/script"
)

// A Setup is what is checked, and how.
type Setup struct {
	finding.Setup

	Clients []client.Client
	Addrs   []string         // as the options of the clients tell
	Go      func(f func())   // runs f on a goroutine that somebody waits for
	Wall    func() time.Time // the clock of this process
	Stop    <-chan struct{}  // ends the check early
}

// Patience is how many node timeouts a check takes at most.
const Patience = 4

// Bounds of how long a key of the check lasts if nobody can delete it. An extension adds a
// second.
const (
	minLife = time.Second
	maxLife = 9 * time.Second
)

// A check is one that is under way.
type check struct {
	*Setup

	ctx      context.Context //nolint:containedctx // has the values of the caller's, and is never done
	over     chan struct{}   // closed when nobody waits any more
	resource string
	channel  string   // of its messages, before the number of the node
	values   []string // by node: of the lock there
	marks    []string // what names them
	life     time.Duration

	mu    sync.Mutex
	tried int           // nodes where the lock has been asked for, or cannot be
	all   chan struct{} // closed when that is so of all
}

// Run asks all nodes at once and returns what is known of them when all have told, ctx or
// the Setup has ended it, or its time is over.
func Run(ctx context.Context, s *Setup) []finding.Node {
	n := len(s.Clients)
	c := &check{
		Setup: s, ctx: context.WithoutCancel(ctx), over: make(chan struct{}), all: make(chan struct{}),
		life: min(max(Patience*s.Timeout, minLife), maxLife),
	}
	c.name(n)
	nodes, done := make([]finding.Node, n), make(chan struct{}, n)
	for i := range nodes {
		set := settingsOf(s.Clients[i])
		nodes[i] = finding.Node{Addr: s.Addrs[i], Client: set.Settings}
		p := &probe{check: c, node: &nodes[i], set: set, index: i, client: s.Clients[i], end: make(chan struct{})}
		s.Go(func() {
			defer func() { done <- struct{}{} }()
			p.run()
		})
	}
	timer := time.NewTimer(Patience * s.Timeout)
	defer timer.Stop()
	for left := n; left > 0; {
		select {
		case <-done:
			left--
			continue
		case <-timer.C:
		case <-ctx.Done():
		case <-s.Stop:
		}
		// No probe waits for anything else from here on, so that all end at once.
		close(c.over)
		for ; left > 0; left-- {
			<-done
		}
	}
	return nodes
}

// name draws the names that the check goes by on the nodes.
func (c *check) name(nodes int) {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	id := hex.EncodeToString(random[:])
	c.resource, c.channel = "redlock:check:"+id, "redlock:check:"+id+":"
	for range nodes {
		_, _ = rand.Read(random[:])
		value := hex.EncodeToString(random[:])
		c.values, c.marks = append(c.values, value), append(c.marks, script.Hash(value)[:8])
	}
}

// arrive notes that the lock has been asked for on a node, or cannot be.
func (c *check) arrive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tried++; c.tried == len(c.values) {
		close(c.all)
	}
}
