package waitqueue

import (
	"hash/maphash"
	"maps"
	"sync"
	"time"

	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

const (
	// remembered is how long a resource counts as contended after a refusal.
	remembered = time.Second
	// awaited is how long it does after a release that somebody was waiting for: the
	// next one tells again.
	awaited = 10 * time.Second
	// yielded is for how long what a gate names is taken for the value of an attempt.
	yielded = 300 * time.Millisecond
)

// A Memory remembers which resources were contended a moment ago: a bounded
// number of them, where newer ones may take the place of others. It is safe
// for concurrent use; its zero value remembers nothing yet.
type Memory struct {
	mu    sync.Mutex
	seed  maphash.Seed
	slots map[uint64]*slot // by a hash of the resource
}

type slot struct {
	used   time.Time
	until  time.Time // contended until then
	others time.Time // others wait until then, as a release has told
	asked  time.Time // somebody seems to ask the nodes until then, as a gate has told
	view   View

	stray         string    // what the gate has named that is no holder
	strayed, seen time.Time // since when, and when last

	holder round.Rival // of a majority, when all nodes were asked last
	held   time.Time   // when that was
	vain   bool        // somebody was called while it had the majority
}

const slots = 4096

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

// Contended reports whether one of some resources was contended a moment ago. Who may wait
// heeds those, too, that seem to ask for it.
func (m *Memory) Contended(mayWait bool, resources ...string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.slots == nil {
		return false
	}
	now := time.Now()
	for _, resource := range resources {
		s := m.known(resource)
		if s != nil && (now.Before(s.until) || now.Before(s.others) || mayWait && now.Before(s.asked)) {
			return true
		}
	}
	return false
}

// Learn takes note of what an attempt has told, and of what its gate has said, which is to
// be believed for that long.
func (m *Memory) Learn(resource string, t *round.Plan, res *round.Result, trust time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	quiet := res.Refused == 0 && !res.Gate.Refused && res.Outcome != quorum.Held && t.Came == ""
	if quiet && m.known(resource) == nil {
		return // most locks
	}
	m.slot(resource).learn(time.Now(), t, res, trust)
}

func (s *slot) learn(now time.Time, t *round.Plan, res *round.Result, trust time.Duration) {
	acquired, held := res.Outcome == quorum.Acquired, res.Outcome == quorum.Held && !res.GateOnly
	if acquired && t.Came != "" {
		// The release will tell if that is not so; the next try may come before.
		s.others = now.Add(awaited)
	}
	if !acquired && res.Refused > 0 {
		s.until = now.Add(remembered)
	}
	if held || acquired && !res.GateOnly {
		s.vain = t.Called && held || s.vain && s.holder.Mark == res.Holder.Mark
		s.holder, s.held = res.Holder, now
	}
	s.view.learn(now, res, trust)
	named := res.Gate.Holder
	switch {
	case res.Gate.Granted, held && named != "" && res.Holder.Mark == named:
		s.stray = ""
	case held && named != "":
		// What the gate has is no lock: a copy of a command came late, a release was
		// lost, or somebody is about to undo an attempt.
		s.strays(now, named)
	case res.Gate.Refused && s.stray == named:
		s.seen = now
	case res.Gate.Refused:
		s.stray = ""
	}
}

// strays notes that the gate has named a holder which is none.
func (s *slot) strays(now time.Time, mark string) {
	if s.stray != mark {
		s.stray, s.strayed = mark, now
		if s.view.holder == mark {
			s.strayed = s.view.since
		}
	}
	s.seen = now
}

// Holder returns who had a majority not long ago, as far as that is known. Who is called
// takes it for over, unless somebody was called in vain while that one had it: a gate
// that has lost its data calls the next one whenever somebody leaves the line.
func (m *Memory) Holder(resource string, called bool) (h round.Rival) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.known(resource); s != nil && time.Since(s.held) < awaited && (!called || s.vain) {
		h = s.holder
	}
	return h
}

// Stray notes that the gate of a resource has named a holder which is none, by what the
// other nodes say. At first it is taken for one whose turn it is, and who asks the other
// nodes in vain as long as this Locker does not ask the gate before them.
func (m *Memory) Stray(resource, mark string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, s := time.Now(), m.slot(resource)
	if s.stray != mark {
		s.asked = now.Add(yielded)
	}
	s.strays(now, mark)
}

// strayLasts is how long it counts that the gate has named something else than the holder.
// Somebody in line looks into that every few seconds.
const strayLasts = 5 * time.Second

// Stale returns what the gate of a resource has named for so long though it is not the
// holder, or nothing. What it names for a moment only is the value of an attempt.
func (m *Memory) Stale(resource string, age time.Duration) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.known(resource); s != nil && s.seen.Sub(s.strayed) >= age && time.Since(s.seen) < strayLasts {
		return s.stray
	}
	return ""
}

// Doubts reports whether what the gate of a resource has said of its holder is to be
// looked into.
func (m *Memory) Doubts(resource string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.known(resource)
	return s != nil && s.view.Doubts(time.Now())
}

// known returns the slot of a resource, or nil if nothing is known of it.
func (m *Memory) known(resource string) *slot {
	if m.slots == nil {
		return nil
	}
	return m.slots[maphash.String(m.seed, resource)]
}

// slot returns the slot of a resource.
func (m *Memory) slot(resource string) *slot {
	now := time.Now()
	if s := m.known(resource); s != nil {
		s.used = now
		return s
	}
	switch {
	case m.slots == nil:
		m.seed, m.slots = maphash.MakeSeed(), make(map[uint64]*slot)
	case len(m.slots) >= slots:
		maps.DeleteFunc(m.slots, func(_ uint64, s *slot) bool { return now.Sub(s.used) > awaited })
		if len(m.slots) >= slots {
			clear(m.slots)
		}
	}
	s := &slot{used: now}
	m.slots[maphash.String(m.seed, resource)] = s
	return s
}
