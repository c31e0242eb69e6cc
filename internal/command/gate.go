package command

import (
	"slices"

	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/script"
)

// A Gate is what a set has beside, for the node that keeps the line of its resource.
type Gate struct {
	node        int
	self        any // the Locker
	acquire     node.Command
	takes       *node.Command // the acquire that takes what is empty, after one that only looks
	release     node.Command
	acquireArgs [3 + 3 + 4]any
	releaseArgs [3 + 3 + 4]any
}

// With a line, a command has ten arguments. It must not have more without a token: Redis
// answers a longer one with a protocol error, and not with NOAUTH, if a password is missing.

// An Entry is how a Locker asks at a gate.
type Entry struct {
	Node int // the gate
	Self any // the Locker
	Came any // as the script wants it
	// Once keeps go-redis from repeating the acquire, there or, with Looks, anywhere:
	// then a refusal leaves nothing to release.
	Once, Looks bool
	// Only says that there is no other node. A gate that has others beside it is asked by the
	// script at once, and not when SET has refused: they may have granted by then what it
	// keeps for somebody.
	Only bool
}

// Enter prepares the acquire at the gate, after Acquires. gt is the room for it.
func (s *Set) Enter(gt *Gate, resource string, e Entry) {
	gt.node, gt.self, s.gate = e.Node, e.Self, gt
	s.acquire.Once = s.acquire.Once || e.Looks
	line, reservation := script.Line(resource)
	keys := [...]any{s.keys[0], line, reservation}
	gt.acquire = node.Command{
		Op: node.OpAcquire, Script: script.AcquireGate, Plain: &s.acquire, Once: e.Once || e.Looks, TTL: s.acquire.TTL,
		Args: script.AcquireGate.Append(gt.acquireArgs[:0], keys[:], s.value, s.ttl, e.Self, e.Came),
	}
	gt.acquire.Native = e.Only && s.acquire.Native
	if t := s.fence; t != nil {
		c, keys := &gt.acquire, append(slices.Clip(gt.keys()), t.keys[1])
		c.Reply, c.Script = node.Counts, script.AcquireGateFenced
		c.Args = script.AcquireGateFenced.Args(keys, s.value, s.ttl, e.Self, e.Came, t.proposal, t.keep)
	}
	s.quarantine(&gt.acquire)
}

// keys returns the resource, its line, its reservation. The arguments they are in are
// there with a fencing token, too, though the acquire has others then.
func (gt *Gate) keys() []any { return script.Keys(gt.acquireArgs[:]) }

// cameArg is which argument of the acquire at the gate tells when the Locker came, and
// whether it only looks.
const cameArg = 3

// TakeEmpty has the gate asked from here on to grant the resource where nothing is.
func (s *Set) TakeEmpty(came string) {
	c := s.gate.acquire
	c.Args = slices.Clone(c.Args)
	c.Args[3+len(script.Keys(c.Args))+cameArg] = came
	s.gate.takes = &c
}

// Leave prepares the release at the gate. mode and last are as its script wants them. quiet
// says that most likely nobody waits, and the mode lets the next one go.
func (s *Set) Leave(mode, last any, quiet bool) {
	gt := s.gate
	gt.release = node.Command{
		Op: node.OpRelease, Script: script.ReleaseGate, Once: true, Plain: &s.release, Native: quiet,
		Args: script.ReleaseGate.Append(gt.releaseArgs[:0], gt.keys(), s.value, gt.self, mode, last),
	}
}

// Leaves reports whether the release at the gate is prepared.
func (gt *Gate) Leaves() bool { return gt.release.Args != nil }
