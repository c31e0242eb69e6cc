package faultproxy

import (
	"sync"
	"time"
)

// A gate lets messages through while it is open.
type gate struct {
	mu     sync.RWMutex  // read-locked while a message passes
	opened chan struct{} // nil while open; closed when it opens again
}

// set opens or shuts the gate. No message is passing any more when it returns
// from shutting it.
func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case shut && g.opened == nil:
		g.opened = make(chan struct{})
	case !shut && g.opened != nil:
		close(g.opened)
		g.opened = nil
	}
}

// alone runs f while no message is passing.
func (g *gate) alone(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

// pass runs f as soon as the gate is open. It returns false, and has not run
// f, if done was closed before. f must not use the gate.
func (g *gate) pass(done <-chan struct{}, f func()) bool {
	for {
		g.mu.RLock()
		opened := g.opened
		if opened == nil {
			f()
		}
		g.mu.RUnlock()
		if opened == nil {
			return true
		}
		select {
		case <-opened:
		case <-done:
			return false
		}
	}
}

// wait is pass without a message.
func (g *gate) wait(done <-chan struct{}) bool { return g.pass(done, func() {}) }

// An ending is what becomes of a connection after a reply.
type ending int

const (
	goOn    ending = iota
	cut            // close it
	silence        // deliver nothing any more
)

// A delivery is the next thing to do to the client: to send it data, or to end
// its connection.
type delivery struct {
	data   []byte
	due    time.Time
	ending ending
}

// A queue holds any number of deliveries, so that a reply which is not due yet
// keeps nobody from reading the next one and noting when that arrived.
type queue struct {
	mu    sync.Mutex
	items []delivery
	added chan struct{} // has room for one: there may be items
}

func newQueue() *queue { return &queue{added: make(chan struct{}, 1)} }

func (q *queue) push(d delivery) {
	q.mu.Lock()
	q.items = append(q.items, d)
	q.mu.Unlock()
	select {
	case q.added <- struct{}{}:
	default:
	}
}

// pop removes the oldest item when it is due. It returns false if done was
// closed before. Only one goroutine may call it.
func (q *queue) pop(done <-chan struct{}) (delivery, bool) {
	for {
		q.mu.Lock()
		if len(q.items) > 0 {
			d := q.items[0]
			q.items = q.items[1:]
			q.mu.Unlock()
			return d, sleepUntil(d.due, done)
		}
		q.mu.Unlock()
		select {
		case <-q.added:
		case <-done:
			return delivery{}, false
		}
	}
}

// sleepUntil returns false if done was closed before t.
func sleepUntil(t time.Time, done <-chan struct{}) bool {
	left := time.Until(t)
	if left <= 0 {
		return true
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-done:
		return false
	}
}
