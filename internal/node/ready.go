package node

import (
	"sync"
	"time"

	"github.com/b0401464/redlock/internal/client"
)

// A ready is the calls that are to be run, each by a goroutine of its own. These have one
// function in common: one for each call would be an allocation more.
type ready struct {
	mu          sync.Mutex
	first, last *Call
}

// start has a call run.
func (n *Node) start(v *Call) {
	r := &n.ready
	r.mu.Lock()
	if r.last == nil {
		r.first = v
	} else {
		r.last.next = v
	}
	r.last = v
	r.mu.Unlock()
	n.calls.Go(n.goes)
}

// take returns the call that has waited for longest.
func (r *ready) take() *Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.first
	r.first, v.next = v.next, nil
	if r.first == nil {
		r.last = nil
	}
	return v
}

// runNext runs one call.
func (n *Node) runNext() error {
	v := n.ready.take()
	client.GrowStack()
	v.Place.Begun(time.Since(v.Sent))
	v.run(nil)
	return nil
}
