package line

import "time"

// A Holder has a lock that this process holds.
type Holder interface {
	// Keeps returns how long the lock keeps its resources if it is not extended, or 0
	// if it is over.
	Keeps() time.Duration
}

// Holders appends to all who holds one of the resources here, once for each of them.
// Of several locks of one resource, which there are where the first is as good as
// over or its keys were removed by hand, only the last one is known.
func (t *Table) Holders(all []Holder, resources []string) []Holder {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, resource := range resources {
		if l := t.lines[resource]; l != nil && l.holder != nil {
			all = append(all, l.holder)
		}
	}
	return all
}

// hold notes one more lock of the line's resource.
func (l *line) hold(by Holder) {
	l.held++
	l.holder = by
}
