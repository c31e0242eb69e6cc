package ledger

import (
	"time"

	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/quorum"
)

// A removal is where the release stands on one node.
type removal struct {
	err      error         // of a failure
	silent   time.Duration // for so long; the wave does not wait for it if it is not 0
	kind     node.Kind     // none until it is sent; failed, removed, notOurs or skipped once it is over or given up
	call     *node.Call    // that is under way
	underway bool
	effect   node.Effect // of all that was sent and has been answered, or given up
	trying   int         // under way beside call: tries of what is owed, and what was given up
	acquires int         // that were given up and may come yet
	passed   *node.Call  // a release that may have run before an acquire that was given up
	back     bool        // such an acquire has come since the release began
}

// A Wave is one try to remove the value from all nodes.
type Wave struct {
	outcome quorum.Outcome
	late    bool           // the node timeout decided it
	tally   quorum.Release // when it was decided
}

// Outcome returns Released, Lost or Unanswered once that is decided, else Undecided.
func (w *Wave) Outcome() quorum.Outcome { return w.outcome }

// Release notes that the value is to be removed. It reports whether that takes a wave: else
// the latest one is under way, or has come to an end that is final.
func (l *Ledger) Release() (sends bool) {
	l.releasing = true
	return l.wave == nil || !l.final && l.wave.outcome != quorum.Undecided
}

// Releasing reports whether the value is to be removed, so that nothing puts it anywhere.
func (l *Ledger) Releasing() bool { return l.releasing }

// Unreleased reports whether a node is to be sent a release: it has not answered one, and
// none is under way.
func (l *Ledger) Unreleased(i int) bool {
	n := &l.nodes[i].removal
	return !n.underway && (n.kind == node.None || n.kind == node.Failed)
}

// Enlist notes that a wave begins: which call asks each node, if any, and for how long the
// node has been silent. Silent ones are not waited for while the others are a majority.
func (l *Ledger) Enlist(w *Wave, asked func(i int) (call *node.Call, silent time.Duration)) {
	l.wave = w
	silent := 0
	for i := range l.nodes {
		n := &l.nodes[i].removal
		call, since := asked(i)
		if call != nil {
			n.underway, n.call = true, call
		}
		if n.silent = 0; n.underway {
			n.silent = since
		}
		if n.silent > 0 {
			silent++
		}
	}
	if silent > quorum.Spare(len(l.nodes)) {
		for i := range l.nodes {
			l.nodes[i].removal.silent = 0
		}
	}
}

// Answered notes what a node has said to a release. That it has not found the value counts
// only where nothing else can have removed it, and nothing at all where an acquire may come
// yet, or has come after it. It reports whether the node is to be sent another release for
// that.
func (l *Ledger) Answered(i int, v node.Vote) (again bool) {
	n := &l.nodes[i].removal
	late := n.call != v.By // it was given up, and another one may be under way
	passed := n.passed != nil && n.passed == v.By
	again = passed && v.Kind != node.Failed // else it is tried again anyway
	if late {
		n.trying--
	}
	n.effect = n.effect.Then(v.Effect)
	if v.Kind == node.NotOurs && (n.effect != node.Undone || n.trying > 0 || late && n.underway) {
		v.Kind = node.Removed // by another one, as far as anybody knows
	}
	if v.Kind != node.Failed && (n.acquires > 0 || passed || n.back && late) {
		v.Kind, v.Err = node.Failed, node.ErrBehind // the value may be there in a moment
	}
	switch {
	case !late:
		n.kind, n.err, n.underway, n.call = v.Kind, v.Err, false, nil
	case v.Kind != node.Failed && n.kind == node.Failed:
		n.answers(v.Kind)
	}
	return again
}

// answers notes that a node has answered one release, while another one may be under way:
// nobody waits for that any more, and that it fails is no news.
func (n *removal) answers(kind node.Kind) {
	n.kind, n.err = kind, nil
	if n.underway {
		n.underway, n.call = false, nil
		n.trying++ // until its vote is filed
	}
}

// Settle decides the latest wave if the votes allow it. It reports whether that is news.
func (l *Ledger) Settle() (decided bool) {
	waiting := 0
	for i := range l.nodes {
		if n := &l.nodes[i].removal; n.underway && n.silent == 0 {
			waiting++
		}
	}
	return l.decide(waiting)
}

// TimeOut decides a wave by the votes that are in. It reports whether that is news.
func (l *Ledger) TimeOut(w *Wave) (decided bool) {
	if l.wave != w || w.outcome != quorum.Undecided {
		return false
	}
	w.late = true
	return l.decide(0)
}

func (l *Ledger) decide(waiting int) (decided bool) {
	w, tally := l.wave, l.tally()
	o := tally.Outcome(waiting)
	if w.outcome != quorum.Undecided || o == quorum.Undecided {
		return false
	}
	w.outcome, w.tally = o, tally
	l.final = l.final || o != quorum.Unanswered
	return true
}

func (l *Ledger) tally() quorum.Release {
	t := quorum.Release{Nodes: len(l.nodes)}
	for i := range l.nodes {
		switch l.nodes[i].removal.kind {
		case node.Removed:
			t.Removed++
		case node.NotOurs:
			t.NotOurs++
		default: // has not answered
		}
	}
	return t
}

// Tally returns the votes that have decided a wave, or those that are in.
func (l *Ledger) Tally(w *Wave) quorum.Release {
	if w.outcome == quorum.Undecided {
		return l.tally()
	}
	return w.tally
}

// Lacks reports whether a node owes its answer for so long that the wave did not, or
// does not any more, wait for it.
func (l *Ledger) Lacks(w *Wave, i int) bool {
	n := &l.nodes[i].removal
	return n.underway && (n.silent > 0 || w.late)
}

// Call returns the release of the node that is under way, or nil.
func (l *Ledger) Call(i int) *node.Call { return l.nodes[i].removal.call }

// Silent returns for how long a node had been silent when the latest wave began, if the
// wave does not wait for it.
func (l *Ledger) Silent(i int) time.Duration { return l.nodes[i].removal.silent }

// Failure reports whether the release of a node has failed, and why.
func (l *Ledger) Failure(i int) (failed bool, err error) {
	n := &l.nodes[i].removal
	return n.kind == node.Failed, n.err
}

// GivenUp notes that a node has not answered a command, which may be carried out yet. ttl
// is how long the command lets the value last; 0 if it puts nothing there.
func (l *Ledger) GivenUp(i int, op node.Op, ttl time.Duration, now time.Time) {
	if ttl > 0 {
		l.Lasts(i, ttl, now)
		l.late = true
	}
	if op == node.OpAcquire && ttl > 0 { // else it raises a counter
		l.nodes[i].removal.acquires++
	}
}

// Resend notes that the release of a node is given up, and sent again until its vote comes.
func (l *Ledger) Resend(i int, err error) {
	n := &l.nodes[i].removal
	n.kind, n.err, n.underway, n.call = node.Failed, err, false, nil
	n.trying++ // until its vote is filed
}

// Concluded notes what a command has done, as [Ledger.GivenUp] has it. It reports whether
// the node is to be sent another release: an acquire that was given up comes after it. Where
// one is under way, that is so once it has been answered: it may be to go back into a line.
func (l *Ledger) Concluded(i int, op node.Op, ttl time.Duration, in node.Vote, givenUp bool, now time.Time) (again bool) {
	n := &l.nodes[i].removal
	if givenUp && op == node.OpAcquire && ttl > 0 {
		n.acquires-- // perhaps before GivenUp has counted it
	}
	if ttl == 0 || in.Effect == node.Undone {
		return false
	}
	l.Lasts(i, ttl, now)
	l.late = l.late || in.Kind == node.Failed // nobody knows when it was done
	// Extensions put nothing there.
	if givenUp && l.releasing && op == node.OpAcquire {
		n.passed, n.back = n.call, true
		return n.call == nil
	}
	return false
}

// Retrying notes that a release is sent again.
func (l *Ledger) Retrying(i int) { l.nodes[i].removal.trying++ }

// Retried notes what that has done, and what the node has said: Removed, NotOurs, or Failed. It
// counts as the answer of a node that has given none.
func (l *Ledger) Retried(i int, said node.Kind, e node.Effect) {
	n := &l.nodes[i].removal
	n.trying--
	n.effect = n.effect.Then(e)
	switch {
	case said == node.Failed, n.kind != node.Failed, n.acquires > 0, n.back:
	case said == node.NotOurs && n.effect == node.Undone && n.trying == 0 && !n.underway:
		n.answers(node.NotOurs)
	default:
		n.answers(node.Removed)
	}
}
