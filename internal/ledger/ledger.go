// Package ledger keeps what each node is known to hold of one value, from the attempt to
// acquire to the release. Votes go in, and what follows comes out: which nodes count for an
// extension, what the votes of several rounds have decided, where the value is to be put
// again, what a release has come to. It is a pure record: it sends nothing, reads no clock
// and locks nothing, as its owner calls it with a mutex held. It knows nothing of how nodes
// are asked, of who waits for them, and of leases; of a node's call it knows only which one
// it is. Package round calls it.
package ledger

import (
	"math"
	"time"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/node"
)

// A Ledger is what is known of one value. It is not safe for concurrent use.
type Ledger struct {
	nodes     []entry
	rounds    int    // of extensions
	successes int    // of those
	arming    *Round // the last one after which empty nodes get the value again
	late      bool
	overdue   bool
	// countUntil is until when grants count: for ever before the attempt is decided.
	countUntil clock.Moment

	releasing bool
	wave      *Wave // the latest
	final     bool  // it has come to an end that no other one can change
}

// An entry is what is known of the value on one node.
type entry struct {
	claim claim
	loss  loss
	// since is the first round since the last success in which the node has had
	// the value, or 0, and agreed the one of them that it keeps it longest for.
	since  int
	agreed *Round
	// lost is the first round that tells something after the last loss was known.
	lost int
	// until is how long the value may be there at most, by all that was sent, and by
	// slow clocks; zero if it never was there.
	until time.Time

	removal removal
}

// A claim says what a node's yes to an extension is worth. Every loss ends it.
//
//	claim    the node                                its yes
//	unknown  has not granted, or not said so yet     says that it has the value from then on
//	fresh    has the value since nobody knows when   counts from a success on that saw it before and after
//	held     has had it without a break since the    counts
//	         last success, or the grant
type claim uint8

const (
	unknown claim = iota
	fresh
	held
)

// A loss is what a node has said last of the value that it does not hold. It is apart from
// the claim: a node that is to be given the value may turn out to have it.
//
//	loss     a success  asked to extend  counts as gone  is given the value again
//	none     none       yes              no              no
//	taken    none       no               yes             no
//	empty    due        no               yes             yes: none then
//	due      due        yes              no              yes: none then
//
// The second column is what a success makes of it.
type loss uint8

const (
	none  loss = iota // or it was forgiven: after a success it is asked as any other
	taken             // another value is there
	empty             // nothing is there
	due               // nothing was there at the last success
)

// New returns the ledger of a value that so many nodes know nothing of.
func New(nodes int) Ledger {
	return Ledger{nodes: make([]entry, nodes), countUntil: math.MaxInt64}
}

// maxGrace bounds the grace, and how much later than its command was meant to
// a node may have acted without keeping the value markedly beyond the lock.
const maxGrace = 50 * time.Millisecond

// grace is how long after the decision a grant counts as if it had come with
// the others: as long as those took, between 5 and 50 ms. Replies that differ by
// the jitter of a network count; and for a node that granted in time to lose
// its data, come back, and be locked and unlocked by somebody else together
// with the late one, that is too short.
func grace(deciding time.Duration) time.Duration {
	return min(max(deciding, 5*time.Millisecond), maxGrace)
}

// Decide notes that the attempt is decided now, which took so long. Grants that
// come after the grace do not count until an extension has succeeded beside
// them: a node that held the value may have lost it before they came, and
// somebody else may have had the lock.
func (l *Ledger) Decide(now clock.Time, took time.Duration) { l.countUntil = now.After(grace(took)) }

// Granted notes that a node has granted the value, and reports whether it counts. One that
// does not is late, or is known to have lost the value meanwhile.
func (l *Ledger) Granted(i int, now clock.Moment) (counts bool) {
	if now < l.countUntil && l.nodes[i].loss == none {
		l.nodes[i].claim = held
		return true
	}
	l.late = true
	return false
}

// Freshen notes that a node has the value, and nobody knows since when.
func (l *Ledger) Freshen(i int) {
	if n := &l.nodes[i]; n.claim != held {
		n.claim = fresh
	}
}

// Counts reports whether a node is known to have had the value without a break since the
// last success, so that its yes to an extension counts.
func (l *Ledger) Counts(i int) bool { return l.nodes[i].claim == held }

// Lose notes that a node has not got the value: nothing is there, or what is taken. Rounds
// that were sent before that is known tell no more: their answers may come in another order
// than the node has given them in.
func (l *Ledger) Lose(i int, said node.Kind) {
	n := &l.nodes[i]
	*n = entry{loss: taken, until: n.until, removal: n.removal, lost: l.rounds + 1}
	if said == node.Gone {
		n.loss = empty
	}
}

// Gone returns on how many nodes the value is known to be away. They are not asked to
// extend it, see Away.
func (l *Ledger) Gone() int {
	gone := 0
	for i := range l.nodes {
		if l.Away(i) {
			gone++
		}
	}
	return gone
}

// Away reports whether the value is known to be away from a node.
func (l *Ledger) Away(i int) bool { return l.nodes[i].loss == taken || l.nodes[i].loss == empty }

// Lasts notes that a node may have been given the value for ttl, just now at the latest.
// Its clock may be slower than the others, by as much as is usually set aside for that.
func (l *Ledger) Lasts(i int, ttl time.Duration, now time.Time) {
	if n, until := &l.nodes[i], now.Add(ttl).Add(ttl/100); until.After(n.until) {
		n.until = until
	}
}

// Until returns how long the value may be on a node at most; zero if it never was there.
func (l *Ledger) Until(i int) time.Time { return l.nodes[i].until }

// Overdue reports whether a node that acts so long after it was meant to keeps the value
// markedly beyond the end of the lock.
func Overdue(by time.Duration) bool { return by > maxGrace }

// Delay notes that a node has acted too late, or may have.
func (l *Ledger) Delay() { l.overdue = true }

// Late reports whether a node acted so late, as far as is known, that it keeps the
// value beyond the end of the lock.
func (l *Ledger) Late() bool { return l.late || l.overdue }

// Resting reports whether the value was neither extended nor released, and every node has
// granted it, so that all there is to know is until when it may be on the nodes, and whether
// one was overdue.
func (l *Ledger) Resting() (until time.Time, ok bool) {
	if l.releasing || l.rounds > 0 || l.late {
		return time.Time{}, false
	}
	for i := range l.nodes {
		n := &l.nodes[i]
		if n.claim != held { // what it says may be on its way
			return time.Time{}, false
		}
		if n.until.After(until) {
			until = n.until
		}
	}
	return until, true
}

// Resume notes, in a ledger that is new, what one knew that was Resting. late is what Late
// said there.
func (l *Ledger) Resume(until time.Time, late bool, now clock.Moment) {
	l.overdue = late
	for i := range l.nodes {
		l.nodes[i].claim, l.nodes[i].until = held, until
	}
	l.countUntil = now
}
