package memory

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A slowConn is a client's connection to a node; it holds the requests back
// while the node is frozen or slow, until the deadline of the write, which does
// not know of the reply to come: so it waits in Read.
type slowConn struct {
	net.Conn
	node     *Node
	flows    int // of the node, when it was opened
	mu       sync.Mutex
	deadline time.Time
	held     [][]byte
	closed   chan struct{}
	close    func() error // once
}

func newConn(c net.Conn, n *Node, flows int) *slowConn {
	slow := &slowConn{Conn: c, node: n, flows: flows, closed: make(chan struct{})}
	slow.close = sync.OnceValue(func() error {
		close(slow.closed)
		return c.Close()
	})
	return slow
}

// Close ends what waits in Read, too.
func (c *slowConn) Close() error { return c.close() }

func (c *slowConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = append(c.held, append([]byte(nil), b...))
	return len(b), nil
}

func (c *slowConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	return asTCP(c.Conn.SetReadDeadline(t))
}

func (c *slowConn) SetWriteDeadline(t time.Time) error {
	return asTCP(c.Conn.SetWriteDeadline(t))
}

// asTCP returns what a closed TCP connection says for what a closed pipe says.
func asTCP(err error) error {
	if errors.Is(err, io.ErrClosedPipe) {
		return io.EOF
	}
	return err
}

func (c *slowConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	return asTCP(c.Conn.SetDeadline(t))
}

// Read lets the requests through once the node is up to them, then reads.
func (c *slowConn) Read(b []byte) (int, error) {
	if err := c.hold(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	return n, asTCP(err)
}

func (c *slowConn) hold() error {
	c.mu.Lock()
	held, deadline := c.held, c.deadline
	c.held = nil
	c.mu.Unlock()
	if len(held) == 0 {
		return nil
	}
	c.node.mu.Lock()
	frozen, delay, hurry := c.node.frozen, c.node.delay, c.node.hurry
	if c.flows != c.node.flows {
		frozen = c.node.ended
	}
	hooks := c.node.onSend
	c.node.mu.Unlock()
	for _, hook := range hooks {
		hook(bytes.Join(held, nil))
	}
	timeout := make(<-chan time.Time)
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		timeout = timer.C
	}
	if frozen != nil {
		select {
		case <-frozen:
		case <-timeout:
			return os.ErrDeadlineExceeded
		case <-c.closed:
			return net.ErrClosed
		}
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-hurry:
		case <-c.closed:
			return net.ErrClosed
		}
	}
	go func() { // a pipe holds nothing: the first replies may have to be read before all is written
		for _, b := range held {
			if _, err := c.Conn.Write(b); err != nil {
				return // reading fails too
			}
		}
	}()
	return nil
}
