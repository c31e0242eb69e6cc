// Package faultproxy puts a TCP proxy between a client and one Redis server,
// for tests of what a network can do to a request.
//
// The proxy knows whole requests and whole replies, so a fault never acts on
// half a message. It pairs the replies of a connection with its requests in
// order. Connections that subscribe to channels, use MONITOR or turn replies
// off break that pairing and must not be sent through it.
//
// A [Fault] acts on a single request, chosen by the hook of [Proxy.SetFault].
// [Proxy.BlackHole], [Proxy.Forget], [Proxy.Cut], [Proxy.Refuse] and [Proxy.Latency] act on
// all connections at once.
package faultproxy

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	reopenTimeout = 30 * time.Second
	pollInterval  = 5 * time.Millisecond
)

// A Proxy forwards connections to one server. It is safe for concurrent use.
type Proxy struct {
	tb     testing.TB
	target string
	addr   *net.TCPAddr

	gate     gate
	hook     atomic.Pointer[func(cmd []string) Fault]
	latency  atomic.Int64 // a time.Duration
	requests atomic.Int64

	done chan struct{} // closed when the test is over
	wg   sync.WaitGroup

	mu       sync.Mutex
	listener *net.TCPListener // nil while dials are refused
	conns    map[*conn]struct{}
	late     []string
}

// New returns a proxy of the server at target, listening on a port of
// 127.0.0.1. When tb ends, it closes all its connections and waits for its
// goroutines.
func New(tb testing.TB, target string) *Proxy {
	tb.Helper()
	l, err := listen(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatalf("faultproxy: %v", err)
	}
	p := &Proxy{
		tb:     tb,
		target: target,
		addr:   l.Addr().(*net.TCPAddr),
		done:   make(chan struct{}),
		conns:  make(map[*conn]struct{}),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accept(l)
	tb.Cleanup(p.close)
	return p
}

// Addr returns the address that clients connect to.
func (p *Proxy) Addr() string { return p.addr.String() }

// SetFault makes f decide what happens to each request from now on; nil passes
// them all.
//
// f is called with the arguments of every request in order, those of the
// client's handshake (HELLO, CLIENT SETINFO, AUTH, SELECT …) too, and at once
// for requests of different connections. It is not called for requests of a
// connection that a fault has silenced. It may call the other methods of p.
func (p *Proxy) SetFault(f func(cmd []string) Fault) {
	if f == nil {
		p.hook.Store(nil)
		return
	}
	p.hook.Store(&f)
}

// BlackHole makes everything disappear while on: connections are accepted, but
// nothing passes in either direction, not even the end of a connection. When
// it goes off, everything held is forwarded in order, also what clients sent
// before they closed their connections.
//
// Nothing passes any more when BlackHole(true) returns; it waits for the
// messages that are being written.
func (p *Proxy) BlackHole(on bool) { p.gate.set(on) }

// Forget makes the connections that are open hang: nothing passes on them any more, not
// even their end, and nobody is told. New ones are well. So does a load balancer, or a
// NAT, that drops flows.
func (p *Proxy) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate.alone(func() {
		for c := range p.conns {
			c.forgotten = true
		}
	})
}

// Latency delays each reply by d from when it arrives, so replies to pipelined
// requests are not delayed one after the other. It applies to replies that
// arrive from now on.
func (p *Proxy) Latency(d time.Duration) { p.latency.Store(int64(d)) }

// Cut closes all connections at once. New ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.close()
	}
}

// Refuse closes the listener while on, so that dials are refused, and listens
// on the same port again when it goes off. Open connections stay as they are.
func (p *Proxy) Refuse(on bool) {
	p.tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if on {
		p.stopListening()
		return
	}
	if p.listener != nil || p.closed() {
		return
	}
	// Somebody else's connection may hold the port for a moment.
	for deadline := time.Now().Add(reopenTimeout); ; time.Sleep(pollInterval) {
		l, err := listen(p.addr)
		if err == nil {
			p.accept(l)
			return
		}
		if time.Now().After(deadline) {
			p.tb.Errorf("faultproxy: Refuse(false): %v", err)
			return
		}
	}
}

// Requests returns the number of requests that have arrived, forwarded or not.
// Those that arrived on a connection after a fault ended it are not counted.
func (p *Proxy) Requests() int { return int(p.requests.Load()) }

// LateReplies returns the server's replies to the requests held with [Hold],
// as they came over the wire (":1\r\n"), in the order of their arrival. A test
// that waits for a stale copy to be applied waits for its reply here.
func (p *Proxy) LateReplies() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.late)
}

// faultOf asks the hook about a request.
func (p *Proxy) faultOf(cmd []string) Fault {
	if f := p.hook.Load(); f != nil {
		return (*f)(cmd)
	}
	return Pass
}

// accept serves the connections of l until it is closed. The caller holds mu.
func (p *Proxy) accept(l *net.TCPListener) {
	p.listener = l
	p.wg.Go(func() {
		for {
			client, err := l.AcceptTCP()
			if err != nil {
				return
			}
			c := &conn{proxy: p, client: client, out: newQueue(), done: make(chan struct{})}
			if !p.add(c) {
				c.close()
				return
			}
			p.wg.Go(func() {
				c.serve()
				p.remove(c)
			})
		}
	})
}

// add returns false if the proxy has been closed.
func (p *Proxy) add(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed() {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) remove(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// closed reports whether the test is over.
func (p *Proxy) closed() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stopListening makes dials be refused. The caller holds mu.
func (p *Proxy) stopListening() {
	if p.listener == nil {
		return
	}
	_ = p.listener.Close() // the accept loop ends either way
	p.listener = nil
	// A process that is just being started has a copy of the listener, which
	// goes on accepting, until it runs its own program. The lock is held so
	// long. (Where Go can't use vfork, a moment of that is left.)
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
}

// close ends everything and waits for it.
func (p *Proxy) close() {
	p.mu.Lock()
	close(p.done)
	p.stopListening()
	for c := range p.conns {
		c.close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func listen(addr *net.TCPAddr) (*net.TCPListener, error) { return net.ListenTCP("tcp4", addr) }
