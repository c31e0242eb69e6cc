package ledger

import (
	"cmp"
	"slices"
	"time"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/quorum"
)

// A Round is one extension. What its votes say is noted whenever they come, so that rounds
// add up what they learn: a node that has agreed lasts at least as long as that round asked,
// and one where the value is gone does not get it back before an extension has succeeded.
type Round struct {
	Start   clock.Time    // when it began
	TTL     time.Duration // how long the value is to last from then on
	Timeout time.Duration // the node timeout, also of what is sent because of its success

	number    int    // among the rounds of its ledger, from 1
	after     int    // successes before it
	fresh     []bool // by node: it was known to have the value, and did not count
	live      bool   // somebody waits for its votes
	gone      int    // nodes that it knows the value to be away from
	committed bool   // it was a success
}

// End returns until when the nodes that agree keep the value.
func (x *Round) End() clock.Moment { return x.Start.After(x.TTL) }

// Begin notes that a round begins that somebody waits for. The nodes that the value is away
// from are not asked. It returns the tally of the votes that the round starts with.
func (l *Ledger) Begin(x *Round) quorum.Extend {
	l.rounds++
	x.number, x.after, x.live, x.gone = l.rounds, l.successes, true, l.Gone()
	x.fresh = make([]bool, len(l.nodes))
	for i := range x.fresh {
		x.fresh[i] = l.nodes[i].claim == fresh
	}
	return quorum.Extend{Nodes: len(l.nodes), Gone: x.gone}
}

// GiveUp notes that nobody waits for the votes of a round any more. It reports whether they
// have decided something by now, as [Notice.News] does.
func (l *Ledger) GiveUp(x *Round) (news bool) {
	x.live = false
	return l.news(x)
}

// A Notice is what follows from a vote.
type Notice struct {
	// Agreed says that the node has the value, and no loss is known since it was asked.
	Agreed bool
	// Fresh says that nobody knows since when, and another round has to tell.
	Fresh bool
	// Again is the success after which the node is to be given the value, which it has
	// lost; nil if it is not.
	Again *Round
	// News says that the votes of several rounds together, or of one that nobody waits
	// for, have decided something.
	News bool
}

// Note takes note of what a node has said to a round.
func (l *Ledger) Note(x *Round, i int, said node.Kind) (out Notice) {
	n := &l.nodes[i]
	if x.number < n.lost {
		said = node.None
	}
	switch said {
	case node.Extended:
		out.Agreed, out.Fresh = true, l.agree(x, i)
	case node.Gone, node.Taken:
		x.gone++
		l.Lose(i, said)
	default: // tells nothing
	}
	// A round after the last success has to succeed first.
	if l.Empty(i) && x.after < l.successes {
		out.Again = l.arming
	}
	out.News = l.news(x)
	return out
}

// agree takes note that a node has the value and keeps it until the end of the
// round. It reports whether nobody knows since when.
func (l *Ledger) agree(x *Round, i int) (since bool) {
	n := &l.nodes[i]
	switch {
	case x.after == l.successes:
		if n.since == 0 || x.number < n.since {
			n.since = x.number
		}
		if n.agreed == nil || n.agreed.End() < x.End() {
			n.agreed = x
		}
	case !x.committed || n.claim == held:
	case x.fresh[i]:
		// It had the value before the round and has it after its success.
		n.claim = held
	default:
		return true
	}
	return false
}

// agreed returns the round for ttl to whose end a majority keeps the value by
// what the nodes have said since the last success, or nil. They may have said so
// to different rounds.
func (l *Ledger) agreed(ttl time.Duration) *Round {
	var rounds []*Round
	for i := range l.nodes {
		if n := &l.nodes[i]; n.claim == held && n.agreed != nil && n.agreed.TTL == ttl {
			rounds = append(rounds, n.agreed)
		}
	}
	majority := quorum.Size(len(l.nodes))
	if len(rounds) < majority {
		return nil
	}
	slices.SortFunc(rounds, func(a, b *Round) int { return cmp.Compare(b.End(), a.End()) })
	return rounds[majority-1]
}

// lost reports whether the value is gone from so many nodes that no majority can hold it.
func (l *Ledger) lost() bool { return l.Gone() > quorum.Spare(len(l.nodes)) }

// news reports whether the votes of several rounds together, or of x that nobody
// waits for, have decided something.
func (l *Ledger) news(x *Round) bool {
	if x.after != l.successes {
		return false
	}
	if l.lost() && (!x.live || l.Gone() != x.gone) {
		return true
	}
	agreed := l.agreed(x.TTL)
	return agreed != nil && (!x.live || agreed != x)
}

// Verdict returns what the votes of all rounds since the last success say, late
// ones too: Extended and the round for ttl to whose end a majority keeps the
// value, or Lost, or Unknown.
func (l *Ledger) Verdict(ttl time.Duration) (quorum.Outcome, *Round) {
	if l.lost() {
		return quorum.Lost, nil
	}
	if x := l.agreed(ttl); x != nil {
		return quorum.Extended, x
	}
	return quorum.Unknown, nil
}

// Commit takes note that a round was a success: nodes that have the value by what
// they said count from now on. That is not so for what they said to a later round
// only, which may have begun before late votes made this one a success: a node may
// have been given the value when one that had voted for it had lost it already.
func (l *Ledger) Commit(x *Round) {
	x.committed = true
	l.successes++
	for i := range l.nodes {
		n := &l.nodes[i]
		switch {
		case n.since == 0:
		case n.claim == held, n.since <= x.number:
			n.claim = held
		default:
			n.claim = fresh
		}
		n.since, n.agreed = 0, nil
		n.loss = n.loss.forgiven()
	}
}

// forgiven returns what a success makes of a loss: the node is asked again, as it may be
// given the value.
func (s loss) forgiven() loss { return [...]loss{none: none, taken: none, empty: due, due: due}[s] }

// Arm notes that the nodes that have said that nothing is there, or are going to say so, are
// to be given the value after the success of a round. It reports whether there are any now.
func (l *Ledger) Arm(x *Round) (some bool) {
	l.arming = x
	for i := range l.nodes {
		some = some || l.Empty(i)
	}
	return some
}

// Empty reports whether a node is to be given the value again after a success.
func (l *Ledger) Empty(i int) bool { return l.nodes[i].loss == empty || l.nodes[i].loss == due }

// Armed notes that a node is sent the value again. What it says makes it fresh. What it says
// to rounds that were sent before tells no more.
func (l *Ledger) Armed(i int) { l.nodes[i].loss, l.nodes[i].lost = none, l.rounds+1 }
