package round

import (
	"context"
	"time"

	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/value"
)

// A Rival is who has a resource that this Locker wants: which nodes have refused in favour of
// one and the same value. The zero value knows of none.
type Rival struct {
	Mark  string // names the value
	nodes uint64 // a bit for each of the first 64
}

func (h *Rival) has(i int) bool { return i < 64 && h.nodes>>i&1 != 0 }

// holder returns who has a majority of the nodes by what the attempt was told.
func (a *attempt) holder() (h Rival) {
	mark, count := a.tally.Top()
	switch known := &a.plan.Holder; {
	case mark == node.ReservedMark:
		return h
	case count >= a.nodes.Quorum():
	case mark != "" && mark == known.Mark && count+a.tally.Failed >= a.nodes.Quorum():
		return *known // as far as the nodes have answered
	default:
		return h
	}
	h.Mark = mark
	for _, r := range a.refusals {
		if r.Mark == mark && r.node < 64 {
			h.nodes |= 1 << r.node
		}
	}
	return h
}

// by returns who has the resource by what most of the nodes have said that refused, if it is a
// lock's value.
func (a *attempt) by() (n value.Name) {
	mark, count := a.tally.Top()
	if 2*count <= a.tally.Refused || !value.IsMark(mark) {
		return n
	}
	for i := range a.refusals {
		if a.refusals[i].Mark == mark {
			n = a.refusals[i].Name
		}
	}
	return n
}

// awaitsGate reports whether the gate has yet to answer. If it was only looked at, it
// grants nothing until it is asked again.
func (a *attempt) awaitsGate() bool {
	if a.grant.gate == nil {
		return false
	}
	s := a.voteOf(a.plan.Gate)
	return s.asked && !s.voted
}

// pickHolders returns a majority of the nodes: those that are known to be the holder's
// first, then others that may be. It returns none if too few answer, or may have it.
func (a *attempt) pickHolders() (picked uint64) {
	h, f := &a.plan.Holder, a.nodes
	missing := f.Quorum()
	for _, want := range []struct{ known, slow bool }{{true, false}, {true, true}, {false, false}} {
		for node := range min(f.Size(), 64) {
			passed := node == a.plan.Gate && (a.answer.Empty || a.passedGate())
			if missing > 0 && h.has(node) == want.known && f.Slow(node) == want.slow && !passed && !f.Silent(node, a.limits.Timeout) {
				picked |= 1 << node
				missing--
			}
		}
	}
	if missing > 0 {
		return 0
	}
	return picked
}

// passedGate reports whether the gate was asked before the others, and has failed or is not
// waited for any longer.
func (a *attempt) passedGate() bool {
	if !a.plan.InTurn {
		return false
	}
	s := a.voteOf(a.plan.Gate)
	return !s.voted || s.kind == node.Failed
}

// askHolders asks a majority of the nodes, of those that were the holder's when they were
// asked last if they are so many, and no other. Where they still are, a node that has come
// back empty is left to the holder, which is going to put its value there again: who asks all
// would take it, if only until the others have refused, and those who wait do so again and
// again.
// The outcome is Held, Undecided if ctx or Stop ended the wait, or Acquired if the
// others are to be asked.
func (a *attempt) askHolders(ctx context.Context, deadline time.Time) quorum.Outcome {
	picked := a.pickHolders()
	if picked == 0 {
		return quorum.Acquired
	}
	still := func(node int) bool { return picked>>node&1 != 0 }
	// The gate tells how the line goes on. It does not grant where nothing is, and is not
	// waited for where it takes long.
	gate := a.plan.Gate
	slow := gate != NoGate && (a.nodes.Slow(gate) || a.nodes.Silent(gate, a.limits.Timeout)) || a.passedGate()
	// Once it has said that nothing is there it is not asked again: it has told when this
	// Locker came, and a second look that did not say so would be given a later place.
	looks := func(node int) bool { return node == gate && !a.answer.Empty }
	a.send(ctx, func(node int) bool { return !a.voteOf(node).asked && (still(node) || looks(node)) })
	patience, left := time.Duration(0), time.Until(deadline)
	share := left
	for node := range a.nodes.Size() {
		if !still(node) {
			continue
		}
		n := a.nodes.each[node]
		share = min(share, n.Share(left))
		if n.Slow() { // it may be far away
			patience = a.limits.Timeout / 2
		} else {
			patience = max(patience, n.Patience(a.limits.Timeout))
		}
	}
	patience, held := min(patience, share), false
	o, inTime := a.collect(ctx, patience, a.count, func(int, int) quorum.Outcome {
		open, others := picked, false
		for _, r := range a.refusals {
			if still(r.node) && r.Mark == a.plan.Holder.Mark {
				open &^= 1 << r.node
			}
		}
		for node := range a.nodes.Size() {
			others = others || open>>node&1 != 0 && (a.voteOf(node).voted || a.answer.Empty && node == a.plan.Gate)
		}
		held = open == 0
		switch {
		case !slow && a.awaitsGate() && (!held || a.plan.Came != ""): // who is in line has time to hear the gate
			return quorum.Undecided
		case held:
			return quorum.Held
		case others:
			return quorum.Acquired
		default:
			return quorum.Undecided
		}
	})
	switch {
	case inTime:
		return o
	case held:
		return quorum.Held
	case patience < left:
		return quorum.Acquired
	}
	return a.timeOut(a.tally.Outcome) // nothing is left on nodes that will not be heard
}
