// Package command writes out what the nodes are sent for one value: which script, with which
// keys and arguments, and what is another one at a node that keeps a line. It promises that
// what is made once is shared by all nodes and not changed while it may be sent. It knows
// nothing of what a node has answered, and decides nothing. The grants of rounds call it.
package command

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/script"
)

// A Set is the commands for one value, of one resource or several. It is part of a grant,
// and may not be copied.
type Set struct {
	value   any   // converted once
	keys    []any // the resources
	ttl     any   // of the acquire, in ms
	acquire node.Command
	release node.Command
	gate    *Gate    // nil without a line
	fence   *fence   // nil without a fencing token
	several *several // nil for one resource
	least   any      // for how many ms a server that acquires is up; nil if that does not matter
	// Room for the keys and the arguments of both, with one resource.
	oneKey      [1]any
	acquireArgs [3 + 1 + 2]any
	releaseArgs [3 + 1 + 1]any
}

// Init prepares the release of a value. It keeps the list of resources.
func (s *Set) Init(resources []string, value string) {
	s.value = value
	s.keys = appendKeys(s.oneKey[:0], resources)
	if len(resources) > 1 {
		s.several = &several{resources: resources}
	}
	s.release = node.Command{
		Op: node.OpRelease, Script: script.Release, Once: true, Native: len(resources) == 1,
		Args: script.Release.Append(s.releaseArgs[:0], s.keys, s.value),
	}
}

func appendKeys(keys []any, resources []string) []any {
	keys = slices.Grow(keys, len(resources))
	for _, resource := range resources {
		keys = append(keys, resource)
	}
	return keys
}

// Acquires prepares the acquire, after Fence if there is to be a token. free says that most
// likely nobody has the resource.
func (s *Set) Acquires(ttl time.Duration, free bool) {
	s.ttl = milliseconds(ttl)
	defer s.quarantine(&s.acquire)
	if s.fence != nil {
		s.acquire = s.fence.acquire(s, ttl)
		return
	}
	s.acquire = node.Command{
		Op: node.OpAcquire, Script: script.Acquire, TTL: ttl,
		Args: script.Acquire.Append(s.acquireArgs[:0], s.keys, s.value, s.ttl),
	}
	s.acquire.Native = free && s.several == nil
}

// Quarantine has servers acquire only once they have been up for so many ms, before Acquires.
func (s *Set) Quarantine(ms any) { s.least = ms }

// quarantine makes c, which acquires, a command that such a server alone carries out.
func (s *Set) quarantine(c *node.Command) {
	if s.least != nil {
		c.Script, c.Args = c.Script.Quarantine(c.Args, s.least)
		c.Native = false
	}
}

// A converted is a TTL as a command takes it.
type converted struct {
	ttl time.Duration
	ms  any
}

// latest is that of the latest acquire: most locks of a program have the same TTL, and to
// convert it costs an allocation.
var latest atomic.Pointer[converted]

func milliseconds(ttl time.Duration) any {
	if c := latest.Load(); c != nil && c.ttl == ttl {
		return c.ms
	}
	c := &converted{ttl, ttl.Milliseconds()}
	latest.Store(c)
	return c.ms
}

// Acquire returns the acquire for a node.
func (s *Set) Acquire(i int) *node.Command {
	switch gt := s.gate; {
	case s.several != nil:
		return pick(s.several.acquire, i, &s.acquire)
	case gt == nil || i != gt.node:
		return &s.acquire
	case gt.takes != nil:
		return gt.takes
	default:
		return &gt.acquire
	}
}

// Release returns the release for a node.
func (s *Set) Release(i int) *node.Command {
	switch gt := s.gate; {
	case s.several != nil:
		return pick(s.several.release, i, &s.release)
	case gt == nil || i != gt.node:
		return &s.release
	default:
		return &gt.release
	}
}

// pick returns the command of a node, or plain if it has none of its own.
func pick(own []node.Command, i int, plain *node.Command) *node.Command {
	if own == nil || own[i].Args == nil {
		return plain
	}
	return &own[i]
}

// Extend returns the command that lets the value last for ttl.
func (s *Set) Extend(ttl time.Duration) *node.Command {
	if s.fence != nil {
		return s.fence.extend(s, ttl)
	}
	return s.lasting(node.OpExtend, script.Extend, ttl)
}

// Arm returns the command that puts the value into place again, for ttl.
func (s *Set) Arm(ttl time.Duration) *node.Command {
	if s.fence != nil {
		return s.fence.arm(s, ttl)
	}
	return s.lasting(node.OpAcquire, script.Acquire, ttl)
}

func (s *Set) lasting(op node.Op, sc *script.Script, ttl time.Duration) *node.Command {
	return &node.Command{Op: op, Script: sc, TTL: ttl, Args: sc.Args(s.keys, s.value, ttl.Milliseconds())}
}
