package node

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/b0401464/redlock/internal/script"
)

// settling is how long a slot of a Cluster has no lines after its keys were found on
// their way to another server. It is short: a Locker that does without a line for longer
// than others passes those who stand in it.
const settling = 100 * time.Millisecond

// Moves are the slots of a Cluster whose keys were on their way to another server a
// moment ago, where no script could use a resource and its line.
type moves struct {
	latest atomic.Pointer[time.Time] // when they are over; nil if nothing has ever moved
	mu     sync.Mutex
	until  map[int]time.Time // by slot
}

func (m *moves) add(resource string) {
	now := time.Now()
	until := now.Add(settling)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.until == nil {
		m.until = make(map[int]time.Time)
	}
	maps.DeleteFunc(m.until, func(_ int, until time.Time) bool { return !now.Before(until) })
	m.until[script.Slot(resource)] = until
	m.latest.Store(&until)
}

func (m *moves) has(resource string) bool {
	if latest := m.latest.Load(); latest == nil || !time.Now().Before(*latest) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Before(m.until[script.Slot(resource)])
}
