package line

import "time"

// A Holder has a lock that this process holds.
type Holder interface {
	// Keeps returns how long the lock keeps its resources if it is not extended, or 0
	// if it is over.
	Keeps() time.Duration
}

// A hold is a lock of a line's resource. There are several where one is as good as
// over, or its keys were removed by hand.
type hold struct {
	of any // the *Place or *Group
	by Holder
}

// begin notes one more lock of the line's resource.
func (l *line) begin(of any, by Holder) { l.holds = append(l.holds, hold{of, by}) }

// Holders appends to all who holds one of the resources here, once for each of them.
func (t *Table) Holders(all []Holder, resources []string) []Holder {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, resource := range resources {
		if l := t.lines[resource]; l != nil {
			for _, h := range l.holds {
				all = append(all, h.by)
			}
		}
	}
	return all
}
