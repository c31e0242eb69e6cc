package lease

import "sync"

// A Count counts the calls of a Locker that may still take a lock, and the locks held. It
// lets none begin after Shutdown.
type Count struct {
	closing chan struct{} // closed by the first Shutdown

	mu     sync.Mutex
	closed bool
	busy   int           // calls that may still take a lock, and locks held
	held   int           // of them, locks held
	idle   chan struct{} // closed when busy falls to 0, if somebody waits for that
}

// Enter counts a call that may take a lock; it reports false after Shutdown.
func (c *Count) Enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.busy++
	return true
}

// Keep counts the lock that a call has got; it reports false after Shutdown.
func (c *Count) Keep() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.held++
	return true
}

// Leave ends what Enter began, of a call that has got no lock.
func (c *Count) Leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy--
	c.settle()
}

// letGo counts a lock that is over.
func (c *Count) letGo() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held--
	c.busy--
	c.settle()
}

// Close lets no call begin any more, nor get a lock.
func (c *Count) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.closing)
	}
}

// Closed reports whether Close was called.
func (c *Count) Closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Closing returns a channel that Close closes.
func (c *Count) Closing() <-chan struct{} { return c.closing }

// Left returns how many locks are held, and how many calls may still take one.
func (c *Count) Left() (held, calls int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held, c.busy - c.held
}

// Idle returns a channel that is closed once no call and no lock is left.
func (c *Count) Idle() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.settle()
	return idle
}

func (c *Count) settle() {
	if c.busy == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}
