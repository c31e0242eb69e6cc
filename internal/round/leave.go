package round

import (
	"context"
	"time"

	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/node"
)

// A leaving names a line that this Locker is about to leave.
type leaving struct {
	resource string
	node     int
}

// LeaveLine takes this Locker, in the background, out of the line of a resource
// that it does not want any more, and passes on what was reserved for it. It takes
// the place of an earlier one that was not sent yet: so however slow the gate is,
// one is under way and one waits.
func (f *Nodes) LeaveLine(ctx context.Context, resource, value string, node int, timeout time.Duration) {
	g := newGrant(f, []string{resource}, value)
	g.enter(Plan{Gate: node})
	g.leave(Leave)
	key, l := leaving{resource, node}, f.lines
	l.mu.Lock()
	if old := l.leaving[key]; old != nil {
		old.series.Drop(node)
	}
	// In the lane of the resource, so that it comes after the command that joined.
	places := g.series.Take(lane.Acquire, timeout, func(n int) bool { return n == node })
	l.leaving[key] = g
	l.mu.Unlock()
	g.send(ctx, g.commands.Release, places, &leaver{l, key, g})
}

// A leaver is the ballot of who leaves a line.
type leaver struct {
	lines *lines
	key   leaving
	grant *Grant
}

func (b *leaver) File(context.Context, int, node.Vote) {
	l := b.lines
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leaving[b.key] == b.grant {
		delete(l.leaving, b.key)
	}
}
