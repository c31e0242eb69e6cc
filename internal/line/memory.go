package line

import (
	"hash/maphash"
	"sync"
	"time"
)

// remembered is how long a resource counts as contended after a refusal.
const remembered = time.Second

// A Memory remembers which resources were contended a moment ago: a bounded
// number of them, where a newer one may take the place of another. It is safe
// for concurrent use; its zero value remembers nothing yet.
type Memory struct {
	mu    sync.Mutex
	seed  maphash.Seed
	slots []slot
}

type slot struct {
	hash  uint64
	until time.Time
}

const slots = 256

// Note notes that a resource is contended.
func (m *Memory) Note(resource string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.slots == nil {
		m.seed, m.slots = maphash.MakeSeed(), make([]slot, slots)
	}
	h := maphash.String(m.seed, resource)
	m.slots[h%slots] = slot{h, time.Now().Add(remembered)}
}

// Contended reports whether a resource was contended a moment ago.
func (m *Memory) Contended(resource string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.slots == nil {
		return false
	}
	h := maphash.String(m.seed, resource)
	s := &m.slots[h%slots]
	return s.hash == h && time.Now().Before(s.until)
}
