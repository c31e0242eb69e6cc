// Package model checks the protocol that grants fencing tokens: it goes through
// every state that a few clients and three nodes can get into, whatever the order
// of messages, and says by which steps a promise is broken if one is.
//
// A client asks all nodes, once. A node that is free, or whose key has run out,
// gives the client its key, sets its counter to the larger of counter + 1 and the
// client's proposal, and answers with it. The client's token is the largest of the
// answers. Once a majority is known to stand at it while the key there is the
// client's, the lock is granted. Until then the client has the counter raised to
// the token on the other nodes that it has: those do so only while their key is
// its own, and answer with the counter again.
//
// Messages take as long as they like, in any order, or are lost; an acquire can be
// processed twice. Clients give up, crash, or let go at any time. Holders extend,
// and put their value on nodes that have lost it. Nodes are alike, and so are
// clients: states that differ by names alone are one.
package model

// Nodes is how many nodes there are, and majority how many make a majority.
const (
	Nodes    = 3
	majority = Nodes/2 + 1
)

// MaxClients is how many clients there may be.
const MaxClients = 3

// A Config says what is checked.
type Config struct {
	Clients  int
	Attempts int // to get the lock, of all clients together
	Copies   int // acquires that are processed a second time

	// Level has all counters begin at the same number.
	Level bool

	// Proposals are what a client may propose; 0 is none.
	Proposals []uint8
	// Clock has each client propose more than any counter there was when it began.
	// Of one that began before the last grant nothing is promised then.
	Clock bool
	// Wrong has keys run out at any moment. If it is false they stay until the
	// lock is over for its owner, who knows that first.
	Wrong bool
	// Losses is how often a node loses its counter, and its key or not. Spared
	// has that happen only where the other nodes make up for it.
	Losses int
	Spared bool

	// Mistakes in the protocol.
	NoOwnerCheck    bool // the counter is raised whoever has the key
	NoWriteBack     bool // the counter is not raised at all
	NoValidityCheck bool // a lock may be granted after its validity is over
}

// Owners of a node's key besides clients, which are 1 and up.
const (
	nobody   = 0
	orphaned = MaxClients + 1 // the key of a client that has begun anew
)

// A node is what one node keeps, and where each client stands with it.
type node struct {
	owner, counter uint8
	links          [MaxClients]link
}

// A link is the exchange of one client with one node.
type link struct {
	step    step
	counter uint8 // what the answer says, or what the node is to be raised to
	// Of a holder: whether an extension has been there, and whether it knows.
	extended extension
}

type step uint8

const (
	unsent   step = iota
	sent          // the acquire is on its way
	granted       // its answer is
	known         // it has arrived
	raising       // the raise is on its way
	raised        // its answer is
	finished      // nothing that comes from here counts
)

type extension uint8

const (
	plain extension = iota
	extended
	confirmed
)

type client struct {
	phase    phase
	token    uint8 // of the lock that it has or had in this attempt
	floor    uint8 // the largest token when the attempt began
	proposal uint8
	extended bool // on a majority
}

type phase uint8

const (
	idle phase = iota
	trying
	holding
	over
)

// A state is all there is. Nothing in it is a pointer.
type state struct {
	nodes   [Nodes]node
	clients [MaxClients]client
	tokens  uint16 // those that were granted; by the bit

	attempts, copies, losses uint8 // that are left
}

// last returns the largest token that was granted.
func (s *state) last() uint8 {
	var n uint8
	for t := s.tokens; t > 1; t >>= 1 {
		n++
	}
	return n
}

// standing returns how many nodes stand at a token or above.
func (s *state) standing(token uint8) int {
	n := 0
	for i := range s.nodes {
		if s.nodes[i].counter >= token {
			n++
		}
	}
	return n
}

// initial returns the states to begin with: counters in any disorder that earlier
// attempts can have left. Only how far they are apart matters.
func initial(cfg *Config) []state {
	var all []state
	for a := range uint8(3) {
		for b := range a + 1 {
			s := state{attempts: uint8(cfg.Attempts), copies: uint8(cfg.Copies), losses: uint8(cfg.Losses)} //nolint:gosec // small
			s.nodes[0].counter, s.nodes[1].counter = a, b
			if all = append(all, s); cfg.Level {
				return all
			}
		}
	}
	return all
}
