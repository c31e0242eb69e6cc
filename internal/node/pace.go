package node

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/b0401464/redlock/internal/quorum"
)

// A pace is how fast a node answers.
type pace struct {
	trip atomic.Int64 // how long it takes, in ns; 0 if that is not known
	slow atomic.Bool  // it is not waited for
}

// timed notes how long a node has taken to answer: the shortest time of late, so
// that one that has hung is soon known to be well again.
func (n *Node) timed(took time.Duration) {
	p := &n.pace
	trip := took
	if old := time.Duration(p.trip.Load()); old != 0 && took > old {
		trip = (7*old + took) / 8
	}
	p.trip.Store(int64(max(trip, 1)))
	if !p.slow.Load() {
		return
	}
	if other := n.otherTrip(); other == 0 || took <= max(4*other, minPatience) {
		p.slow.Store(false)
	}
}

// distance returns how long the node takes to answer, without what a command waits for its
// batch: many callers make that long though the node is near.
func (n *Node) distance(resource string) time.Duration {
	if q := n.queues.Of(resource); q != nil {
		return q.Trip()
	}
	return time.Duration(n.pace.trip.Load())
}

// Lag notes that a node has failed, or has not answered for as long as a gate is
// waited for.
func (n *Node) Lag() { n.pace.slow.Store(true) }

// Slow reports whether a node is not to be waited for alone: it was slow beside the
// other nodes, or has failed, and has not answered in good time since. Attempts ask it
// together with the others meanwhile, so that it can.
func (n *Node) Slow() bool { return n.pace.slow.Load() }

// otherTrip returns how long a majority of the other nodes takes to answer, as far as
// that is known.
func (n *Node) otherTrip() time.Duration {
	var trips []time.Duration
	for _, other := range n.peers {
		if trip := time.Duration(other.pace.trip.Load()); other != n && trip != 0 {
			trips = append(trips, trip)
		}
	}
	if len(trips) == 0 {
		return 0
	}
	slices.Sort(trips)
	return trips[min(quorum.Size(len(n.peers)), len(trips))-1]
}

// minPatience is how long a gate is waited for at least before it is done without.
const minPatience = 25 * time.Millisecond

// Patience returns how long to wait for a gate alone: one that is slower than the
// others must cost little, and a busy one has its time.
func (n *Node) Patience(timeout time.Duration) time.Duration {
	trip := n.usualTrip()
	if trip == 0 {
		return timeout / 2
	}
	return min(max(4*trip, minPatience), timeout/2)
}

// Share returns how much of the time that is left the node may be waited for alone: half of
// it if the others can answer in the other half, else all of it.
func (n *Node) Share(left time.Duration) time.Duration {
	if left/2 < 5*n.usualTrip()/4 {
		return left
	}
	return left / 2
}

// usualTrip returns how long the others take to answer or, if that is not known, the node.
func (n *Node) usualTrip() time.Duration {
	if trip := n.otherTrip(); trip != 0 {
		return trip
	}
	return time.Duration(n.pace.trip.Load())
}

// Lateness returns after how long the node takes much longer than usual to answer, by what it
// and the others have taken.
func (n *Node) Lateness(timeout time.Duration) time.Duration {
	return max(n.Patience(timeout), min(4*time.Duration(n.pace.trip.Load()), timeout/2))
}

// Bounds of a reservation, for which a resource is kept for the next one in the
// line: three round trips to the gate.
const (
	minReservation = 30 * time.Millisecond
	MaxReservation = time.Second
)

// Reservation returns how long the node reserves a resource.
func (n *Node) Reservation() time.Duration {
	trip := time.Duration(n.pace.trip.Load())
	return min(max(minReservation, 3*trip), MaxReservation)
}

// Renewal returns how often the first one in line is to ask a gate that is so far away
// that nobody else reserves for long enough, and true; it reserves for itself each time.
func (n *Node) Renewal() (d time.Duration, far bool) {
	trip := time.Duration(n.pace.trip.Load())
	return max(MaxReservation-3*trip, minReservation), 2*trip > minReservation
}
