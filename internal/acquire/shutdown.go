package acquire

import (
	"context"
	"fmt"
	"time"

	"github.com/b0401464/redlock/internal/text"
	"github.com/b0401464/redlock/internal/value"
)

// Called is told by a node that it is this Locker's turn. If nobody here wants the resource
// any more, the next one is to have it.
func (c *Calls) Called(node int, resource string) {
	if !c.Queues.Call(resource) && c.Nodes.Gate(resource) == node {
		c.Nodes.LeaveLine(context.Background(), resource, value.New(), node, time.Second)
	}
}

// Shutdown lets no call begin any more, and waits until no call, no lock and no command of a
// node is left. If ctx ends first, no lock is extended by itself any more, and the error says
// what is left.
func (c *Calls) Shutdown(ctx context.Context) error {
	c.Count.Close()
	for !c.finished() {
		select {
		case <-c.Count.Idle():
		case <-ctx.Done():
			return c.unfinished(ctx)
		}
		if c.Listeners != nil {
			select {
			case <-c.Listeners.Close():
			case <-ctx.Done():
				return c.unfinished(ctx)
			}
		}
		c.Nodes.LetGo()
		select {
		case <-c.Nodes.Idle():
		case <-ctx.Done():
			return c.unfinished(ctx)
		}
	}
	return nil
}

func (c *Calls) finished() bool {
	held, calls := c.Count.Left()
	return held+calls == 0 && c.Nodes.Open() == 0 && !c.Nodes.Owes() && (c.Listeners == nil || !c.Listeners.Open())
}

func (c *Calls) unfinished(ctx context.Context) error {
	c.Halted.Store(true)
	cause := c.CauseOf(ctx) // asks the program
	held, calls := c.Count.Left()
	return fmt.Errorf("%s held, %s waiting, %s under way: %w",
		text.Many(held, "lock"), text.Many(calls, "call"), text.Many(c.Nodes.Open(), "node call"), cause)
}
