// Package notify says which node keeps the line of a resource between processes, and hears
// there that this Locker is the next one. It promises the same node in every process, and a
// connection that listens where somebody waits and is looked at from time to time; but nothing
// of what is said on it: messages get lost, come late or twice, and only wake somebody who
// then asks. It knows nothing of locks, and of who is next. Rounds, package acquire and the root package call it.
package notify

import (
	"sync"
	"time"

	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/script"
)

const (
	// linger is how long a connection that listens stays open when nobody waits.
	linger = 5 * time.Second
	// recheck is how often it is looked at most whether a listener is heard.
	recheck = 2 * time.Second
)

// Listeners listen, on the nodes where somebody waits, to the channel on which a
// Locker is told that it is the next one. Messages can get lost, come late or
// twice: they only wake somebody who then asks.
type Listeners struct {
	nodes   []*node.Node
	channel string
	wake    func(node int, resource string)

	mu     sync.Mutex
	closed bool
	all    []subscriber  // by node
	open   int           // listeners, those that are about to end included
	idle   chan struct{} // closed when open falls to 0, if somebody waits for that
}

// A subscriber is what listens on one node. It is under Listeners.mu.
type subscriber struct {
	users    int
	listener *listener   // nil if nobody has waited for long
	timer    *time.Timer // ends it
	checked  time.Time
	moves    int // in a row that were no use
	sending  int // messages that are under way
}

// New returns what listens for the Locker that is called self, on no node yet. wake is told
// of each message: on which node it came and for which resource.
func New(nodes []*node.Node, self any, wake func(node int, resource string)) *Listeners {
	return &Listeners{nodes: nodes, channel: script.Channel(self), wake: wake, all: make([]subscriber, len(nodes))}
}

// Listen has a connection listen on a node until Unlisten is called. The channel
// is closed when the node has confirmed that, or refused it; it is nil after Close.
func (e *Listeners) Listen(node int) chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := &e.all[node]
	n.users++
	if n.timer != nil {
		n.timer.Stop()
	}
	if n.listener == nil && !e.closed {
		n.listener = e.listen(node)
	}
	if n.listener == nil {
		return nil
	}
	return n.listener.ready
}

// ended takes note that a listener has ended.
func (e *Listeners) ended(l *listener) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := &e.all[l.node]; n.listener == l {
		n.listener = nil
	}
	e.open--
	e.settle()
}

// background runs f, which sends a message, unless so many hang that one more would be
// of no use. That counts as open for maxSend at most.
func (e *Listeners) background(n *subscriber, f func()) {
	if n.sending == maxSending {
		return
	}
	n.sending++
	e.open++
	over := sync.OnceFunc(func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.open--
		e.settle()
	})
	timer := time.AfterFunc(maxSend, over)
	go func() {
		defer e.sent(n)
		defer over()
		defer timer.Stop()
		f()
	}()
}

func (e *Listeners) sent(n *subscriber) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n.sending--
}

func (e *Listeners) settle() {
	if e.open == 0 && e.idle != nil {
		close(e.idle)
		e.idle = nil
	}
}

// Patience returns how long to wait for the confirmation at most: not at all where
// the node is slow, or somebody has waited in vain.
func (e *Listeners) Patience(node int, timeout time.Duration) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l := e.all[node].listener; l == nil || l.vain || e.nodes[node].Slow() {
		return 0
	}
	return e.nodes[node].Patience(timeout)
}

// InVain notes that somebody has waited for the confirmation in vain.
func (e *Listeners) InVain(node int) {
	e.nodes[node].Lag()
	e.mu.Lock()
	defer e.mu.Unlock()
	if l := e.all[node].listener; l != nil {
		l.vain = true
	}
}

// Unlisten ends what Listen began.
func (e *Listeners) Unlisten(node int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := &e.all[node]
	n.users--
	switch {
	case n.users > 0 || n.listener == nil:
	case n.timer == nil:
		n.timer = time.AfterFunc(linger, func() { e.closeIdle(node) })
	default:
		n.timer.Reset(linger)
	}
}

func (e *Listeners) closeIdle(node int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.all[node].users == 0 {
		e.close(&e.all[node])
	}
}

// close ends a listener. It waits for a message, and closing what it waits on would
// have to wait while go-redis dials: so it is sent one.
func (e *Listeners) close(n *subscriber) {
	l := n.listener
	if l == nil {
		return
	}
	n.listener = nil
	l.cancel()
	e.background(n, func() { _, _ = l.send(e.publish()...) })
}

func (e *Listeners) publish() []any { return []any{"publish", e.channel, ""} }

// maxSending bounds the messages to a node that are under way, as each may hang for ever.
const maxSending = 4

// maxSend is how long Close waits for that message, which may hang for as long as the
// client is told to wait. The listener has ended by itself long before.
const maxSend = 30 * time.Second

// Check looks, once in a while, whether what is sent where commands go comes to what
// listens: the name of a node may have moved to another server while the one that is
// listened to lives on, or a server may have left its Cluster. It is for who has waited
// for a resource without having been called.
func (e *Listeners) Check(node int, resource string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, pause := &e.all[node], recheck
	if e.nodes[node].MessagesRefused() {
		pause = refused
	}
	if l := n.listener; l != nil && Confirmed(l.ready) && !e.nodes[node].ListeningRefused() && time.Since(n.checked) >= pause<<min(n.moves, maxMoves) {
		n.checked = time.Now()
		e.background(n, func() { e.check(l, resource) })
	}
}

// maxMoves bounds by how often looking gets rarer where nobody is ever heard, as behind
// a proxy that does not tell.
const maxMoves = 6

func (e *Listeners) check(l *listener, resource string) {
	heard := l.isHeard(resource)
	e.mu.Lock()
	defer e.mu.Unlock()
	n := &e.all[l.node]
	switch {
	case heard:
		n.moves = 0
	case n.listener == l:
		n.moves++
		e.close(n)
		n.listener = e.listen(l.node)
	}
}

// Close ends all that listens, for good, and returns a channel that is closed when
// that is done.
func (e *Listeners) Close() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for i := range e.all {
		n := &e.all[i]
		if n.timer != nil {
			n.timer.Stop()
		}
		e.close(n)
	}
	if e.idle == nil {
		e.idle = make(chan struct{})
	}
	idle := e.idle
	e.settle()
	return idle
}

// Open reports whether anything listens.
func (e *Listeners) Open() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.open > 0
}
