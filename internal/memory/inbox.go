package memory

import (
	"net"
	"os"
	"sync"
	"time"
)

// An inbox keeps what a server has sent until it is read, as a kernel does. A pipe keeps
// nothing: the server would wait for a reader that is slow or frozen, with its data locked,
// and no clock goes on in a bubble while others wait for them.
type inbox struct {
	arrived chan struct{} // has an element if there may be something new

	mu   sync.Mutex
	data []byte
	err  error // that ended the connection
}

// fill takes what the server sends until the connection ends.
func (x *inbox) fill(c net.Conn) {
	for room := make([]byte, 4096); ; {
		n, err := c.Read(room)
		x.mu.Lock()
		x.data = append(x.data, room[:n]...)
		x.err = err
		x.mu.Unlock()
		select {
		case x.arrived <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// read is Read of a connection with that deadline for it. Nobody else reads.
func (x *inbox) read(b []byte, deadline time.Time, closed <-chan struct{}) (int, error) {
	var timeout <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		timeout = timer.C
	}
	for {
		if n, err := x.take(b); n > 0 || err != nil {
			return n, err
		}
		select {
		case <-x.arrived:
		case <-timeout:
			return 0, os.ErrDeadlineExceeded
		case <-closed:
			return 0, net.ErrClosed
		}
	}
}

// take returns what there is.
func (x *inbox) take(b []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := copy(b, x.data)
	x.data = x.data[n:]
	if n == 0 {
		return 0, x.err
	}
	return n, nil
}
