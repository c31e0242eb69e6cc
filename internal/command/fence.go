package command

import (
	"slices"
	"time"

	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/script"
)

// A fence is what a set has beside, with a fencing token.
type fence struct {
	keys     []any // the resources, the counter of each
	proposal any
	keep     any   // in ms, 0 for ever
	token    int64 // 0 until the grant is decided
	// Room for the keys and the arguments of the acquire, with one resource.
	oneKeys     [2]any
	acquireArgs [3 + 2 + 5]any
}

// Fence has the value get a token, of proposal at least, whose counters last for so many ms
// after the last use, or for ever if that is 0. keep is an int64, converted once.
func (s *Set) Fence(resources []string, proposal int64, keep any) {
	t := &fence{proposal: proposal, keep: keep}
	t.keys = append(slices.Grow(t.oneKeys[:0], 2*len(s.keys)), s.keys...)
	for _, resource := range resources {
		t.keys = append(t.keys, script.Counter(resource))
	}
	s.fence = t
}

// Fenced reports whether the value is to have a token.
func (s *Set) Fenced() bool { return s.fence != nil }

// Keep returns what Fence was given, or nil.
func (s *Set) Keep() any {
	if s.fence == nil {
		return nil
	}
	return s.fence.keep
}

// Token returns the token; 0 if there is to be none, or none yet.
func (s *Set) Token() int64 {
	if s.fence == nil {
		return 0
	}
	return s.fence.token
}

// Agree sets the token. That is when the grant is decided, before anybody extends it.
func (s *Set) Agree(token int64) { s.fence.token = token }

// Raise returns an extension that leaves the time alone, and has the counter be token at
// least. It is part of the acquire.
func (s *Set) Raise(token int64) *node.Command {
	t := s.fence
	return &node.Command{
		Op: node.OpAcquire, Reply: node.Raises, Script: script.ExtendFenced,
		Args: script.ExtendFenced.Args(t.keys, s.value, 0, token, t.keep),
	}
}

func (t *fence) acquire(s *Set, ttl time.Duration) node.Command {
	return node.Command{
		Op: node.OpAcquire, Reply: node.Counts, Script: script.AcquireFenced, TTL: ttl,
		Args: script.AcquireFenced.Append(t.acquireArgs[:0], t.keys, s.value, s.ttl, 1, t.proposal, t.keep),
	}
}

func (t *fence) extend(s *Set, ttl time.Duration) *node.Command {
	return &node.Command{
		Op: node.OpExtend, Reply: node.Counts, Script: script.ExtendFenced, TTL: ttl,
		Args: script.ExtendFenced.Args(t.keys, s.value, ttl.Milliseconds(), t.token, t.keep),
	}
}

func (t *fence) arm(s *Set, ttl time.Duration) *node.Command {
	return &node.Command{
		Op: node.OpAcquire, Reply: node.Counts, Script: script.AcquireFenced, TTL: ttl,
		Args: script.AcquireFenced.Args(t.keys, s.value, ttl.Milliseconds(), 0, t.token, t.keep),
	}
}
