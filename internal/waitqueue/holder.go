package waitqueue

import (
	"time"

	"github.com/b0401464/redlock/internal/value"
)

// A Holder has a lock that this process holds.
type Holder interface {
	// Keeps returns how long the lock keeps its resources if it is not extended, or 0
	// if it is over.
	Keeps() time.Duration
	// Recheck has the nodes asked whether they still have it, if that was not known for
	// long. The channel is closed when they have answered; nil if they are not asked.
	Recheck() <-chan struct{}
	// Name returns the name of the lock's value.
	Name() value.Name
}

// A hold is a lock of a queue's resource. There are several where one is as good as
// over, or its keys were removed by hand.
type hold struct {
	of any // the *Place or *Group
	by Holder
}

// begin notes one more lock of the queue's resource.
func (l *queue) begin(of any, by Holder) {
	l.holds = append(l.holds, hold{of, by})
	l.seen = heldHere
}

// Holders appends to all who holds one of the resources here, once for each of them.
func (t *Table) Holders(all []Holder, resources []string) []Holder {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, resource := range resources {
		if l := t.queues[resource]; l != nil {
			for _, h := range l.holds {
				all = append(all, h.by)
			}
		}
	}
	return all
}
