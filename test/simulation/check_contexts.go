package simulation

import (
	"context"
	"sync/atomic"
	"time"
)

// checkContexts checks another part of (b), just before a release is sent: the contexts of
// its lock have ended. It looks at Done, because Err would end one that has run out.
func (w *world) checkContexts(c *call) {
	if c.op != release {
		return
	}
	for _, v := range c.about {
		if v.hold == nil {
			continue
		}
		for _, ctx := range v.hold.contexts {
			select {
			case <-ctx.Done():
			default:
				w.violate("b", v.resource, v.hold.start, time.Now(), "a release of lock #%d was sent while a context of it was alive", v.number)
				return
			}
		}
	}
}

// A parent is a context of the program's own type, and a lock's is derived from it. Once
// that has been made it is not to be called: it could block, panic or exit in the middle of
// the end of the lock.
type parent struct {
	context.Context //nolint:containedctx // it is one

	hold *hold
	done <-chan struct{}
	made atomic.Bool
}

// newParent returns one that package context knows how to be told by, or one with a Done
// channel of its own.
func newParent(h *hold, own bool) *parent {
	base, end := context.WithCancel(context.Background()) //nolint:gosec // it outlasts the history
	_ = end
	p := &parent{Context: base, hold: h, done: base.Done()}
	if own {
		p.done = make(chan struct{})
	}
	return p
}

func (p *parent) called(method string) {
	if !p.made.Load() {
		return
	}
	w := p.hold.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violate("b", p.hold.value.resource, p.hold.start, time.Now(), "%s of the parent of a context of lock #%d was called", method, p.hold.value.number)
}

// Done is what it should not be asked for too late.
func (p *parent) Done() <-chan struct{} {
	p.called("Done")
	return p.done
}

// Err is another one.
func (p *parent) Err() error {
	p.called("Err")
	return p.Context.Err()
}

// Value is another one.
func (p *parent) Value(key any) any {
	p.called("Value")
	return p.Context.Value(key)
}
