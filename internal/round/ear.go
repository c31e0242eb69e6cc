package round

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// A subscriber is a client that can listen to channels.
type subscriber interface {
	Subscribe(ctx context.Context, channels ...string) *redis.PubSub
}

const (
	// linger is how long a connection that listens stays open when nobody waits.
	linger = 5 * time.Second
	// quiet is how long nothing may come on a connection before the node is
	// pinged, and then before it is given up.
	quiet = 5 * time.Second
	// relisten is the pause before it is opened again. It doubles while the node
	// does not confirm, up to maxRelisten.
	relisten    = 100 * time.Millisecond
	maxRelisten = 5 * time.Second
)

// Ears listen, on the nodes where somebody waits, to the channel on which a
// Locker is told that it is the next one. Messages can get lost, come late or
// twice: they only wake somebody who then asks.
type Ears struct {
	fleet   *Fleet
	channel string
	wake    func(node int, resource string)

	mu     sync.Mutex
	closed bool
	nodes  []ear
	open   int           // listeners, those that are about to end included
	idle   chan struct{} // closed when open falls to 0, if somebody waits for that
}

// An ear is what listens on one node. It is under Ears.mu.
type ear struct {
	users    int
	listener *listener   // nil if nobody has waited for long
	timer    *time.Timer // ends it
}

// A listener is a goroutine with a connection. It ends soon after it is cancelled.
type listener struct {
	ears   *Ears
	node   int
	client subscriber
	ready  chan struct{} // closed when the node has confirmed the subscription
	cancel context.CancelFunc
	prod   func() // sends it a message
	heard  bool   // the node has confirmed this subscription; of the goroutine
	vain   bool   // somebody has waited for the confirmation in vain; under Ears.mu
}

// NewEars returns ears that are closed. wake is told of each message: on which
// node it came and for which resource.
func (f *Fleet) NewEars(wake func(node int, resource string)) *Ears {
	return &Ears{fleet: f, channel: fmt.Sprint("redlock:", f.lines.self), wake: wake, nodes: make([]ear, f.Size())}
}

// Listen has a connection listen on a node until Unlisten is called. The channel
// is closed when the node has confirmed that; it is nil after Close.
func (e *Ears) Listen(node int) chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := &e.nodes[node]
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

// listen starts a listener. It serves all that wait, and lives longer than who asked
// for it: so it has a context of its own.
func (e *Ears) listen(node int) *listener {
	client, ok := e.fleet.clients[node].(subscriber)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{ears: e, node: node, client: client, ready: make(chan struct{}), cancel: cancel}
	l.prod = func() {
		ctx := context.Background()
		process(ctx, e.fleet.clients[node], redis.NewCmd(ctx, "publish", e.channel, ""), true)
	}
	e.open++
	go func() {
		defer e.ended(l)
		defer cancel()
		l.run(ctx)
	}()
	return l
}

// ended takes note that a listener has ended.
func (e *Ears) ended(l *listener) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := &e.nodes[l.node]; n.listener == l {
		n.listener = nil
	}
	e.open--
	e.settle()
}

func (e *Ears) settle() {
	if e.open == 0 && e.idle != nil {
		close(e.idle)
		e.idle = nil
	}
}

// Patience returns how long to wait for the confirmation at most: not at all where
// the node is slow, or somebody has waited in vain.
func (e *Ears) Patience(node int, timeout time.Duration) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l := e.nodes[node].listener; l == nil || l.vain || e.fleet.Slow(node) {
		return 0
	}
	return e.fleet.patience(node, timeout)
}

// InVain notes that somebody has waited for the confirmation in vain.
func (e *Ears) InVain(node int) {
	e.fleet.lag(node)
	e.mu.Lock()
	defer e.mu.Unlock()
	if l := e.nodes[node].listener; l != nil {
		l.vain = true
	}
}

// Unlisten ends what Listen began.
func (e *Ears) Unlisten(node int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := &e.nodes[node]
	n.users--
	switch {
	case n.users > 0 || n.listener == nil:
	case n.timer == nil:
		n.timer = time.AfterFunc(linger, func() { e.closeIdle(node) })
	default:
		n.timer.Reset(linger)
	}
}

func (e *Ears) closeIdle(node int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.nodes[node].users == 0 {
		e.close(&e.nodes[node])
	}
}

// close ends a listener. It waits for a message, and closing what it waits on would
// have to wait while go-redis dials: so it is sent one.
func (e *Ears) close(n *ear) {
	l := n.listener
	if l == nil {
		return
	}
	n.listener = nil
	l.cancel()
	e.open++
	go func() {
		defer e.ended(l)
		l.prod()
	}()
}

// Close ends all that listens, for good, and returns a channel that is closed when
// that is done.
func (e *Ears) Close() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for i := range e.nodes {
		n := &e.nodes[i]
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
func (e *Ears) Open() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.open > 0
}

// run listens until it is cancelled, the node forbids it, or the program has
// closed the client.
func (l *listener) run(ctx context.Context) {
	for pause := relisten; ctx.Err() == nil; pause = min(2*pause, maxRelisten) {
		l.heard = false
		err := l.hear(ctx)
		if l.heard {
			pause = relisten
		}
		switch {
		case errors.Is(err, redis.ErrClosed):
			return
		case err != nil && redis.HasErrorPrefix(err, "NOPERM"):
			l.ears.fleet.mute(l.node)
			return
		}
		wait(ctx, pause)
	}
}

// hear listens on one subscription until that is no use any more. go-redis
// connects again by itself, and leaves its timeouts and panics to who calls.
func (l *listener) hear(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	pubsub := l.client.Subscribe(ctx, l.ears.channel)
	defer func() { _ = pubsub.Close() }()
	for pinged := false; ctx.Err() == nil; {
		in, err := pubsub.ReceiveTimeout(ctx, quiet) // messages get lost where it times out
		switch m := in.(type) {
		case *redis.Subscription:
			l.heard = true
			l.confirm()
		case *redis.Message:
			if ctx.Err() != nil {
				return nil
			}
			if m.Payload != "" { // one to end the listener before this one
				l.ears.wake(l.node, m.Payload)
			}
		}
		switch e, ok := errors.AsType[net.Error](err); {
		case err == nil:
			pinged = false
		case !ok || !e.Timeout():
			return err
		case pinged:
			return err
		default:
			pinged = true
			_ = pubsub.Ping(ctx)
		}
	}
	return nil
}

func (l *listener) confirm() {
	select {
	case <-l.ready:
	default:
		close(l.ready)
	}
}

// wait waits for d or until ctx is done.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
