package inspect

import (
	"slices"
	"time"

	"github.com/b0401464/redlock/internal/notify"
	"github.com/b0401464/redlock/internal/value"
)

// Forever is what is left of a key without an expiry.
const Forever time.Duration = -1

// A State is what the nodes had of a resource, for people to read. Nodes count from 1.
type State struct {
	Resource  string
	At        time.Time // when the nodes were asked
	Verdict   Verdict
	Holder    value.Holder  // who has the lock, or, of Unknown, the only one who may have it
	Remaining time.Duration // for how long at most
	Token     int64         // the largest of the fencing counters
	Gate      int           // the node that keeps the line; 0 if none does
	Waiting   []Waiter      // who stands in it
	Nodes     []NodeState
}

// A NodeState is what one node had.
type NodeState struct {
	Node      int
	Addr      string
	Holder    value.Holder
	Remaining time.Duration
	Kept      bool // for the next one in line
	Token     int64
	Waiting   int   // how many stand in a line there
	Err       error // why it has not told
	PartErr   error // why it has not told all
}

// A Waiter is who waits in line.
type Waiter struct {
	Mark   string
	Owner  string
	Since  time.Time // by the clock of the gate; zero once it has been called
	Called bool
}

// StateOf returns what follows from what all nodes have told, whose addresses are addrs. gate is
// the node that keeps the line of the resource, as far as this Locker knows.
func StateOf(resource string, at time.Time, sights []Sight, gate int, addrs []string) State {
	v, by, lasts := Judge(sights)
	s := State{Resource: resource, At: at, Verdict: v, Holder: by.Holder(), Remaining: remaining(lasts)}
	for i := range sights {
		s.Nodes = append(s.Nodes, nodeState(&sights[i], addrs[i]))
		s.Token = max(s.Token, sights[i].Token)
	}
	if gate == notify.NoGate { // this Locker knows of none, but others may
		gate = slices.IndexFunc(sights, func(s Sight) bool { return len(s.Line) > 0 })
	}
	if gate >= 0 {
		s.Gate = gate + 1
		for _, w := range sights[gate].Line {
			mark, owner := value.ReadID(w.ID)
			s.Waiting = append(s.Waiting, Waiter{mark, owner, w.Since, w.Called})
		}
	}
	return s
}

func nodeState(s *Sight, addr string) NodeState {
	n := NodeState{
		Node: s.Node + 1, Addr: addr, Kept: s.Kept, Token: s.Token, Waiting: len(s.Line), Err: s.Err, PartErr: s.Part,
	}
	if s.There {
		n.Holder, n.Remaining = value.NameOf(s.Value).Holder(), remaining(s.Left)
	}
	return n
}

// remaining returns what is left of a key, of which a negative number says that it has no expiry.
func remaining(left time.Duration) time.Duration {
	if left < 0 {
		return Forever
	}
	return left
}
