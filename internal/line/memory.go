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

	holder string    // has the resource at its gate; empty if that is not known
	since  time.Time // when that was seen first
	doubt  time.Time // when it is to be looked into
}

const slots = 256

// Note notes that a resource is contended.
func (m *Memory) Note(resource string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slot(resource).until = time.Now().Add(remembered)
}

// slot returns the slot of a resource, which may have been that of another one.
func (m *Memory) slot(resource string) *slot {
	if m.slots == nil {
		m.seed, m.slots = maphash.MakeSeed(), make([]slot, slots)
	}
	h := maphash.String(m.seed, resource)
	s := &m.slots[h%slots]
	if s.hash != h {
		*s = slot{hash: h}
	}
	return s
}

// Saw notes whom the gate of a resource names as its holder, if anybody, and since
// when, which it returns. That is believed for faith from when it was seen first.
func (m *Memory) Saw(resource, holder string, faith time.Duration) (since time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, now := m.slot(resource), time.Now()
	if s.holder != holder || s.since.IsZero() {
		s.holder, s.since, s.doubt = holder, now, now.Add(faith)
	}
	return s.since
}

// Confirm notes that a majority of the nodes has said the same as the gate.
func (m *Memory) Confirm(resource string, faith time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slot(resource).doubt = time.Now().Add(faith)
}

// Doubts reports whether a gate has named the same holder for so long that the other
// nodes may know better.
func (m *Memory) Doubts(resource string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.slot(resource)
	return s.holder != "" && time.Now().After(s.doubt)
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
