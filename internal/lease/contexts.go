package lease

import (
	"context"
	"maps"
	"strings"

	"github.com/b0401464/redlock/internal/text"
)

// Context returns a context that ends with parent and when the lock is over, and what the
// program is to call when it does not need it any more. Owner is what the program has of the
// lock, which the context keeps alive, and [OwnerOf] finds.
func (h *Hold) Context(parent context.Context, owner any) (context.Context, context.CancelFunc) {
	c := &lockContext{hold: h, owner: owner, above: parentOf(parent)}
	c.outer, _ = parent.Value(lockKey{}).(*lockContext)
	c.Context, c.end = context.WithCancelCause(&c.above)
	h.watch(c)
	return c, func() {
		h.unwatch(c)
		c.end(nil)
	}
}

// OwnerOf returns the owner of the innermost lock whose context ctx is or derives from, or nil.
func OwnerOf(ctx context.Context) any {
	if c, ok := ctx.Value(lockKey{}).(*lockContext); ok {
		return c.owner
	}
	return nil
}

// A lockContext is a context of a lock. What ends is the context of package context in it,
// so that it costs no goroutine to derive others.
type lockContext struct {
	context.Context //nolint:containedctx // it is one

	end   context.CancelCauseFunc
	hold  *Hold
	owner any
	above parent
	outer *lockContext // the next one that parent derives from, or nil
}

// lockKey is what a lockContext tells itself for.
type lockKey struct{}

// Value is the parent's, but for what is asked of the lock. Package context asks what
// cancels a context when one is derived from it: then that is over from the start if the
// lock is.
func (c *lockContext) Value(key any) any {
	switch key {
	case lockKey{}:
		return c
	case cancelerKey:
		_ = c.Err()
	}
	return c.Context.Value(key)
}

// Err looks at the clocks if the context has not ended: timers may be late.
func (c *lockContext) Err() error {
	if c.Context.Err() == nil {
		if c.outer != nil {
			_ = c.outer.Err() // ends c too, unless that does not end with its parent
		}
		if over := c.hold.Ended(); over != nil {
			c.end(c.hold.locks.errors.Of(over))
		}
	}
	return c.Context.Err()
}

// String keeps package fmt from looking into what others write at the same time.
func (c *lockContext) String() string {
	return "redlock.Context(" + text.Quote(strings.Join(c.hold.Resources, ", ")) + ")"
}

// A parent is the parent of a lockContext as package context sees it. Which context of
// its own cancels it is asked once, while the program waits for its lockContext, and not
// again when that ends: where the parent is of a type of the program's, that would
// call the program, which might block, panic or exit in the middle of the end of a lock.
type parent struct {
	context.Context //nolint:containedctx // it is one

	done     <-chan struct{}
	canceler any
}

func parentOf(ctx context.Context) parent {
	return parent{ctx, ctx.Done(), ctx.Value(cancelerKey)}
}

// Done tells what the parent has told.
func (p *parent) Done() <-chan struct{} { return p.done }

// Value is the parent's, but for what package context asks for.
func (p *parent) Value(key any) any {
	if key == cancelerKey {
		return p.canceler
	}
	return p.Context.Value(key)
}

// cancelerKey is the key of package context for the context of its own that cancels one.
// It does not tell it, but asks with it.
var cancelerKey = func() any {
	s := spy{Context: context.Background()}
	_ = context.Cause(&s)
	return s.key
}()

// A spy notes the key that it is asked for.
type spy struct {
	context.Context //nolint:containedctx // it is one

	key any
}

func (*spy) Err() error { return context.Canceled }

func (s *spy) Value(key any) any {
	s.key = key
	return nil
}

// watch has c end when the lock is not to be relied on any more: now, if that is so already.
func (h *Hold) watch(c *lockContext) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if over := h.whyEnded(); over != nil {
		c.end(h.locks.errors.Of(over))
		return
	}
	if h.contexts == nil {
		h.contexts = make(map[*lockContext]struct{})
	}
	h.contexts[c] = struct{}{}
}

func (h *Hold) unwatch(c *lockContext) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.contexts, c)
}

// endContexts ends the contexts of a lock that is over, or at its limit. It is called with
// mu held, and runs no code of the program's: so whoever finds that a lock is over finds that
// its contexts have ended, and can send the release.
func (h *Hold) endContexts() {
	if len(h.contexts) == 0 {
		return
	}
	why := h.locks.errors.Of(h.whyEnded())
	for c := range h.contexts {
		c.end(why)
	}
	h.contexts = nil
}

// endAtLimit does so when the limit of renewal was reached.
func (h *Hold) endAtLimit() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.endContexts()
}

// forget takes off the lock the contexts that have ended. The others keep it from being
// dropped: the program may wait for the end of one and have nothing else of the lock.
func (h *Hold) forget() {
	maps.DeleteFunc(h.contexts, func(c *lockContext, _ struct{}) bool { return c.Context.Err() != nil })
}
