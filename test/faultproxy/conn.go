package faultproxy

import (
	"bufio"
	"io"
	"net"
	"sync"
	"time"
)

// A conn is one connection of a client and the one to the server that belongs
// to it.
//
// Three goroutines serve it: requests reads from the client and writes to the
// server, replies reads from the server, and deliver writes to the client when
// a reply is due.
type conn struct {
	proxy  *Proxy
	client *net.TCPConn
	out    *queue
	done   chan struct{} // closed with the connection
	once   sync.Once

	session [][]byte // requests that a copy of this connection needs; of requests only

	mu      sync.Mutex
	server  *net.TCPConn // nil until connected
	pending []Fault      // of requests without a reply yet, in order
	silent  bool         // the last request is, or was, one that silences
	// forgotten says that nothing passes any more. It changes under proxy.gate.
	forgotten bool
}

// serve returns when the connection has ended on both sides.
func (c *conn) serve() {
	defer c.close()
	if !c.proxy.gate.wait(c.done) {
		return
	}
	server, err := dial(c.proxy.target)
	if err != nil || !c.attach(server) {
		return // a client sees the end of its connection, as with a crashed server
	}
	var wg sync.WaitGroup
	wg.Go(c.replies)
	wg.Go(c.deliver)
	c.requests(server)
	// What was forwarded must be applied even though the client is gone.
	// Closing with replies unread would reset the connection and could lose it.
	c.proxy.gate.pass(c.done, func() {
		if c.forgotten {
			c.close()
			return
		}
		_ = server.CloseWrite()
	})
	wg.Wait()
}

// attach sets the server's side. It returns false if c has ended meanwhile.
func (c *conn) attach(server *net.TCPConn) bool {
	c.mu.Lock()
	c.server = server
	c.mu.Unlock()
	select {
	case <-c.done: // close may have come before
		_ = server.Close()
		return false
	default:
		return true
	}
}

// close ends both sides at once.
func (c *conn) close() {
	c.once.Do(func() {
		close(c.done)
		_ = c.client.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.server != nil {
			_ = c.server.Close()
		}
	})
}

// requests forwards the client's requests until the client closes its side.
func (c *conn) requests(server *net.TCPConn) {
	r := bufio.NewReader(c.client)
	for {
		raw, cmd, err := readRequest(r)
		if err != nil {
			return
		}
		c.proxy.requests.Add(1)
		if !c.proxy.gate.wait(c.done) {
			return
		}
		fault := c.proxy.faultOf(cmd)
		if fault.kind == hold {
			c.proxy.applyLate(append(c.session, raw), fault.release)
		}
		if isAny(cmd, "AUTH", "HELLO", "SELECT") {
			c.session = append(c.session, raw)
		}
		// A gate that the hook has just shut holds this request already.
		if !c.proxy.gate.pass(c.done, func() {
			if c.forgotten {
				return
			}
			c.expect(fault)
			if fault.forwards() {
				_, err = server.Write(raw)
			}
		}) {
			return
		}
		if err != nil {
			return
		}
		if fault.silences() || !fault.forwards() {
			// Reading on tells when the client closes its side.
			_, _ = io.Copy(io.Discard, r)
			return
		}
	}
}

// expect notes that the reply to a request comes next, or the ending of one
// that is not forwarded.
func (c *conn) expect(f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent = c.silent || f.silences()
	c.pending = append(c.pending, f)
	c.endIfNext()
}

// endIfNext ends the connection if it is the turn of a request that was not
// forwarded. The caller holds mu.
func (c *conn) endIfNext() {
	if len(c.pending) > 0 && !c.pending[0].forwards() {
		c.out.push(delivery{ending: c.pending[0].ending()})
		c.pending = c.pending[1:]
	}
}

// replies reads the server's replies until the server closes the connection.
func (c *conn) replies() {
	r := bufio.NewReader(c.server)
	for {
		raw, push, err := readReply(r)
		if err != nil {
			c.serverGone()
			return
		}
		c.arrived(raw, push)
	}
}

// arrived hands a reply over to deliver, or what its fault makes of it.
func (c *conn) arrived(raw []byte, push bool) {
	due := time.Now().Add(time.Duration(c.proxy.latency.Load()))
	c.mu.Lock()
	defer c.mu.Unlock()
	if push || len(c.pending) == 0 {
		c.out.push(delivery{data: raw, due: due}) // answers no request
		return
	}
	f := c.pending[0]
	c.pending = c.pending[1:]
	if e := f.ending(); e != goOn {
		c.out.push(delivery{ending: e})
		return
	}
	c.out.push(delivery{data: raw, due: due.Add(f.delay)})
	c.endIfNext()
}

// serverGone ends the connection after the last reply, but a silent one does
// not even tell the client that.
func (c *conn) serverGone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := cut
	if c.silent {
		e = silence
	}
	c.out.push(delivery{ending: e})
}

// deliver writes to the client what is due until the connection ends or goes
// silent.
func (c *conn) deliver() {
	for {
		d, ok := c.out.pop(c.done)
		if !ok {
			return
		}
		var err error
		ok = c.proxy.gate.pass(c.done, func() {
			if c.forgotten {
				return
			}
			switch d.ending {
			case goOn:
				_, err = c.client.Write(d.data)
			case cut:
				c.close()
			case silence:
			}
		})
		if !ok || err != nil || d.ending != goOn {
			return
		}
	}
}
