package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/script"
)

const (
	// quiet is how long nothing may come on a connection before the node is
	// pinged, and then before it is given up.
	quiet = 5 * time.Second
	// relisten is the pause before it is opened again. It doubles while the node
	// does not confirm, up to maxRelisten.
	relisten    = 100 * time.Millisecond
	maxRelisten = 5 * time.Second
	// refused is the pause after a refusal: it may be allowed later.
	refused = time.Minute
)

// A listener is a goroutine with a connection. It ends soon after it is cancelled.
type listener struct {
	listeners *Listeners
	node      int
	client    client.Subscriber
	ready     chan struct{} // closed when the node has confirmed the subscription, or refused it
	cancel    context.CancelFunc
	done      <-chan struct{} // closed when it is cancelled
	heard     bool            // the node has confirmed this subscription; of the goroutine
	vain      bool            // somebody has waited for the confirmation in vain; under Listeners.mu
	got       atomic.Int64    // messages

	// send runs a command that sends it an empty message, or one of the kind, the way that
	// commands go. It returns how many have heard that, as far as the server can tell.
	send func(args ...any) (heard int64, err error)
}

// listen starts a listener. It serves all that wait, and lives longer than who asked
// for it: so it has a context of its own.
func (e *Listeners) listen(node int) *listener {
	c, ok := e.nodes[node].Client.(client.Subscriber)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{listeners: e, node: node, client: c, ready: make(chan struct{}), cancel: cancel, done: ctx.Done()}
	l.send = func(args ...any) (heard int64, err error) {
		ctx := context.Background()
		cmd := redis.NewCmd(ctx, args...)
		a := client.Process(ctx, e.nodes[node].Client, cmd, client.Once{Cmd: cmd})
		heard, _ = a.Reply.(int64)
		return heard, a.Err
	}
	e.open++
	go func() {
		defer e.ended(l)
		defer cancel()
		l.run(ctx)
	}()
	return l
}

// run listens until it is cancelled, or the program has closed the client.
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
		case client.Unknown(err): // by the user's rights, or by a proxy
			l.listeners.nodes[l.node].RefuseListening(true)
			l.confirm()
			pause = refused
		}
		l.waits(pause)
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
	pubsub := l.client.Subscribe(ctx, l.listeners.channel)
	defer func() { _ = pubsub.Close() }()
	for pinged := false; ctx.Err() == nil; {
		in, err := pubsub.ReceiveTimeout(ctx, quiet) // messages get lost where it times out
		switch m := in.(type) {
		case *redis.Subscription:
			l.heard = true
			l.listeners.nodes[l.node].RefuseListening(false)
			l.confirm()
		case *redis.Message:
			l.got.Add(1)
			if ctx.Err() != nil {
				return nil
			}
			if m.Payload != "" { // one to end the listener before this one
				l.listeners.wake(l.node, m.Payload)
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
	if !Confirmed(l.ready) {
		close(l.ready)
	}
}

// Confirmed reports whether the node has confirmed that it listens, or refused to, by the
// channel that [Listeners.Listen] has returned.
func Confirmed(ready <-chan struct{}) bool {
	select {
	case <-ready:
		return true
	default:
		return false
	}
}

// waits waits for d or until the listener is cancelled.
func (l *listener) waits(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.done:
	}
}

// lineLasts is for how long the scripts keep a line, in milliseconds.
const lineLasts = 10_000

// maxStale is how many connections are given up at a time that lead to another server.
const maxStale = 4

// isHeard reports whether a listener hears what is sent the way that commands go, as far
// as that can be told.
func (l *listener) isHeard(resource string) bool {
	e, got := l.listeners, l.got.Load()
	single := e.nodes[l.node].Single()
	if single {
		l.dropStale(resource)
	}
	n, err := l.send(e.publish()...)
	if refuses := client.Unknown(err); refuses || err == nil {
		e.nodes[l.node].RefuseMessages(refuses)
	}
	if err != nil || n > 0 {
		return true
	}
	if single { // that the message comes means nothing: a server passes it on to its replicas
		return false
	}
	l.waits(quiet)
	return l.got.Load() != got
}

// dropStale has connections given up that still lead to a server which has become a replica.
// It answers what it knows to be held, as it would have done before, and so would stay in
// use; but it refuses a command that writes, and go-redis drops the connection then. This
// one only keeps the line.
func (l *listener) dropStale(resource string) {
	line, _ := script.Line(resource)
	for range maxStale {
		if _, err := l.send("pexpire", line, lineLasts); !redis.HasErrorPrefix(err, "READONLY") {
			return
		}
	}
}
