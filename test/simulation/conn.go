package simulation

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// A conn is the client's end of a connection to a node.
type conn struct {
	link    *link
	peer    *server.Peer // the node's end
	written bytes.Buffer // what peer has written

	partial  []byte // of a request
	replies  []byte // that have arrived
	err      error  // what Read ends with once it has read the replies
	closed   bool   // by the client
	stuck    bool   // it carries nothing any more
	refused  bool   // the node has lost it
	deadline time.Time
	wake     chan struct{} // holds one: something has changed for Read

	listens *miniredis.Subscriber // nil unless it has subscribed to a channel

	lastRequest, lastReply time.Time
}

func newConn(l *link) *conn {
	c := &conn{link: l, wake: make(chan struct{}, 1)}
	c.peer = server.NewPeer(bufio.NewWriter(&c.written))
	l.node.conns[c] = struct{}{}
	return c
}

// A message is a request on its way, and the reply.
type message struct {
	conn     *conn
	commands []command
	fate     fate
	back     time.Duration // what the reply takes
	gone     bool          // the reply says that a lock is gone that was to be extended
}

// Write sends what is complete.
func (c *conn) Write(b []byte) (int, error) {
	w := c.link.w
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case c.closed:
		return 0, opError("write", net.ErrClosed)
	case c.err != nil: // it was reset, perhaps long ago
		c.link.trouble(0, resumes)
		return 0, opError("write", errReset)
	}
	c.partial = append(c.partial, b...)
	commands, rest := parse(c.partial)
	c.partial = rest
	for i := range commands {
		commands[i].propose(c.link.process.wall)
	}
	if len(commands) > 0 {
		c.request(commands)
	}
	return len(b), nil
}

func (c *conn) request(commands []command) {
	l := c.link
	if p := l.process; p.stopped != nil {
		p.waits = append(p.waits, func() {
			if !c.closed && c.err == nil {
				c.request(commands)
			}
		})
		return
	}
	f, there, back := l.draw(commands[0].op)
	l.process.hurry(&commands[0], there+back)
	l.befalls(f, max(there, back))
	if c.stuck { // it was forgotten, perhaps long ago
		l.trouble(0, hangs)
	}
	m := &message{conn: c, commands: commands, fate: f, back: back}
	l.w.sent(m, there)
	if f == isLost {
		c.stuck = true
		return
	}
	p := &parcel{conn: c, takes: there, last: &c.lastRequest, arrive: func() {
		if f == isCut {
			c.reset()
			return
		}
		l.node.receive(m)
	}}
	p.send()
}

// answer sends the reply to a request that the node has run.
func (c *conn) answer(m *message, reply []byte) {
	switch m.fate {
	case losesReply:
		c.stuck = true
		return
	case resetsAfter:
		c.reset()
		return
	default:
	}
	p := &parcel{conn: c, takes: m.back, last: &c.lastReply, inward: true, arrive: func() {
		c.replies = append(c.replies, reply...)
		c.notify()
		c.link.w.answered(m)
		if m.gone {
			c.link.node.doubt(c.link)
		}
	}}
	p.send()
}

// reset ends the connection as a TCP reset does.
func (c *conn) reset() {
	if c.err == nil {
		c.err = errReset
		if !c.closed {
			c.link.stale++
		}
	}
	c.stuck = true
	delete(c.link.node.conns, c)
	c.unlisten()
	c.link.trouble(0, resumes)
	c.notify()
}

func (c *conn) notify() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		n, wait, err := c.take(b)
		if n > 0 || err != nil {
			return n, err
		}
		if wait == 0 {
			<-c.wake
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-c.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// take reads what is there, or returns how long to wait for more.
func (c *conn) take(b []byte) (n int, wait time.Duration, err error) {
	w := c.link.w
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case c.closed:
		return 0, 0, opError("read", net.ErrClosed)
	case len(c.replies) > 0:
		n = copy(b, c.replies)
		c.replies = c.replies[n:]
		return n, 0, nil
	case c.err != nil:
		return 0, 0, opError("read", c.err)
	case c.deadline.IsZero():
		return 0, 0, nil
	}
	if wait = time.Until(c.deadline); wait <= 0 {
		return 0, 0, opError("read", os.ErrDeadlineExceeded)
	}
	return 0, wait, nil
}

// Close closes the client's end. What is on its way to the node arrives.
func (c *conn) Close() error {
	w := c.link.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.err != nil && !c.closed {
		c.link.stale--
	}
	c.closed = true
	delete(c.link.node.conns, c)
	c.unlisten()
	c.notify()
	return nil
}

// SetDeadline sets when Read gives up. Write never waits.
func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline sets when Read gives up.
func (c *conn) SetReadDeadline(t time.Time) error {
	w := c.link.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.err != nil && len(c.replies) == 0 {
		return io.EOF
	}
	c.deadline = t
	c.notify()
	return nil
}

// SetWriteDeadline does nothing.
func (*conn) SetWriteDeadline(time.Time) error { return nil }

// LocalAddr returns an address.
func (*conn) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr returns an address.
func (*conn) RemoteAddr() net.Addr { return &net.TCPAddr{} }
