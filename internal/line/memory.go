package line

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	// remembered is how long a resource counts as contended after a refusal.
	remembered = time.Second
	// awaited is how long it does after a release that somebody was waiting for: the
	// next one tells again.
	awaited = 10 * time.Second
)

// A Memory remembers which resources were contended a moment ago: a bounded
// number of them, where a newer one may take the place of another. It is safe
// for concurrent use; its zero value remembers nothing yet.
type Memory struct {
	mu    sync.Mutex
	seed  maphash.Seed
	slots []slot
}

type slot struct {
	hash   uint64
	until  time.Time // contended until then
	others time.Time // others wait until then, as a release has told
	belief Belief
}

const slots = 256

// Note notes that a resource is contended.
func (m *Memory) Note(resource string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slot(resource).until = time.Now().Add(remembered)
}

// Others notes whether others wait for a resource, as a gate has said to its release.
func (m *Memory) Others(resource string, wait bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if wait {
		m.slot(resource).others = time.Now().Add(awaited)
	} else if s := m.known(resource); s != nil {
		s.others = time.Time{}
	}
}

// Contended reports whether one of some resources was contended a moment ago.
func (m *Memory) Contended(resources ...string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.slots == nil {
		return false
	}
	now := time.Now()
	for _, resource := range resources {
		if s := m.known(resource); s != nil && (now.Before(s.until) || now.Before(s.others)) {
			return true
		}
	}
	return false
}

// Saw is [Belief.Saw] for all that ask for a resource.
func (m *Memory) Saw(resource, holder string, faith time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slot(resource).belief.Saw(holder, faith)
}

// Confirm is [Belief.Confirm] for all that ask for a resource.
func (m *Memory) Confirm(resource string, faith time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slot(resource).belief.Confirm(faith)
}

// Disbelieve forgets what the gate of a resource has said of its holder.
func (m *Memory) Disbelieve(resource string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.known(resource); s != nil {
		s.belief = Belief{}
	}
}

// Doubts is [Belief.Doubts] for all that ask for a resource.
func (m *Memory) Doubts(resource string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.known(resource)
	return s != nil && s.belief.Doubts()
}

// known returns the slot of a resource, or nil if nothing is known of it.
func (m *Memory) known(resource string) *slot {
	if m.slots == nil {
		return nil
	}
	h := maphash.String(m.seed, resource)
	if s := &m.slots[h%slots]; s.hash == h {
		return s
	}
	return nil
}

// slot returns the slot of a resource, which may have been that of another one.
func (m *Memory) slot(resource string) *slot {
	if s := m.known(resource); s != nil {
		return s
	}
	if m.slots == nil {
		m.seed, m.slots = maphash.MakeSeed(), make([]slot, slots)
	}
	h := maphash.String(m.seed, resource)
	s := &m.slots[h%slots]
	*s = slot{hash: h}
	return s
}

// A Belief is what the gate of a resource has said of its holder, and how long that
// is to be believed without asking the other nodes.
type Belief struct {
	holder string    // has the resource at its gate; empty if that is not known
	since  time.Time // when that was seen first
	doubt  time.Time // when it is to be looked into
}

// Saw notes whom the gate names as the holder, if anybody. That is believed for faith
// from when it was seen first.
func (b *Belief) Saw(holder string, faith time.Duration) {
	if now := time.Now(); b.holder != holder || b.since.IsZero() {
		b.holder, b.since, b.doubt = holder, now, now.Add(faith)
	}
}

// Confirm notes that a majority of the nodes has said the same as the gate.
func (b *Belief) Confirm(faith time.Duration) { b.doubt = time.Now().Add(faith) }

// Doubts reports whether the gate has named the same holder for so long that the other
// nodes may know better.
func (b *Belief) Doubts() bool { return b.holder != "" && time.Now().After(b.doubt) }

// Age returns since when the gate has named the same holder.
func (b *Belief) Age() time.Duration {
	if b.since.IsZero() {
		return 0
	}
	return time.Since(b.since)
}
