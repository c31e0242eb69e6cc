package redlock

import (
	"context"
	"fmt"
)

// Shutdown makes new calls fail with [ErrShutdown], and callers that are still
// waiting for a lock too, at once. Held locks stay usable, and are extended if
// [WithAutoExtend] says so. Shutdown returns nil once all of them are unlocked or
// over and no node call is under way, or the context's error, with what is
// left, if ctx ends first: then automatic extension stops, and what is still
// held runs out within its TTL; nothing is released under a holder. It may be
// called again. The clients stay open.
//
// A lock that was not unlocked counts as held until it runs out. A node that
// cannot be reached keeps its calls under way until the client gives them up,
// with go-redis' default options after many seconds. Shutdown must not be
// called from a node error handler, which it waits for.
func (l *Locker) Shutdown(ctx context.Context) error {
	if l == nil || l.fleet == nil {
		return invalid("Locker was not made by New")
	}
	if ctx == nil {
		return invalid("nil context")
	}
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.closing)
	}
	l.mu.Unlock()
	for !l.finished() {
		select {
		case <-l.quiet():
		case <-ctx.Done():
			return l.unfinished(ctx)
		}
		if l.ears != nil {
			select {
			case <-l.ears.Close():
			case <-ctx.Done():
				return l.unfinished(ctx)
			}
		}
		select {
		case <-l.fleet.Idle():
		case <-ctx.Done():
			return l.unfinished(ctx)
		}
	}
	return nil
}

// stopped reports whether the Locker is being shut down.
func (l *Locker) stopped() bool {
	select {
	case <-l.closing:
		return true
	default:
		return false
	}
}

// quiet returns a channel that is closed once no call and no lock is left.
func (l *Locker) quiet() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.idle == nil {
		l.idle = make(chan struct{})
	}
	idle := l.idle
	l.settle()
	return idle
}

func (l *Locker) settle() {
	if l.busy == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
}

func (l *Locker) finished() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy == 0 && l.fleet.Open() == 0 && (l.ears == nil || !l.ears.Open())
}

func (l *Locker) unfinished(ctx context.Context) error {
	l.halted.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Errorf("redlock: shutdown: %d locks held, %d calls waiting, %d node calls under way: %w",
		l.held, l.busy-l.held, l.fleet.Open(), ended(ctx))
}

// enter counts a call that may take a lock; it reports false after Shutdown.
func (l *Locker) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.busy++
	return true
}

// keep counts the lock that a call has got; it reports false after Shutdown.
func (l *Locker) keep() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.held++
	return true
}

// leave ends what enter began, of a call that has got no lock.
func (l *Locker) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy--
	l.settle()
}

// letGo counts a lock that is over.
func (l *Locker) letGo() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held--
	l.busy--
	l.settle()
}
