package quorum_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/quorum"
)

// mostNodes is the largest fleet that the exhaustive tests go through.
const mostNodes = 7

// A ballot is a sequence of votes. A vote from 0 on is a refusal by the mark
// of that number.
type ballot []int

// Votes that are no refusals. What they mean depends on the command.
const (
	yes  = -1 - iota // granted, held or removed
	no               // of extensions and releases: gone, not ours
	back             // of extensions: extended, but after a break
	fail             // no answer
)

func (b ballot) count(vote int) int {
	n := 0
	for _, v := range b {
		if v == vote {
			n++
		}
	}
	return n
}

// marks returns how many refusals each mark has.
func (b ballot) marks() map[int]int {
	m := make(map[int]int)
	for _, v := range b {
		if v >= 0 {
			m[v]++
		}
	}
	return m
}

// outcomes is a set of outcomes.
type outcomes map[quorum.Outcome]bool

// everyBallot calls check for each sequence of up to votes votes, with the set
// of outcomes in which its continuations end. next returns what a further vote
// can be, final the outcome of a complete sequence.
func everyBallot(votes int, next func(ballot) []int, final func(ballot) quorum.Outcome, check func(b ballot, ends outcomes)) {
	var visit func(b ballot) outcomes
	visit = func(b ballot) outcomes {
		ends := make(outcomes)
		if len(b) == votes {
			ends[final(b)] = true
		} else {
			for _, v := range next(b) {
				maps.Copy(ends, visit(append(slices.Clone(b), v)))
			}
		}
		check(b, ends)
		return ends
	}
	visit(nil)
}

// requireEarliest demands that got is decided as soon as, and not before, all
// continuations end in it. context says what got is about if it is not.
func requireEarliest(t *testing.T, ends outcomes, got quorum.Outcome, context func() string) {
	t.Helper()
	want := quorum.Undecided
	if len(ends) == 1 {
		for o := range ends {
			want = o
		}
	}
	if got != want {
		require.Failf(t, "wrong outcome", "%s: got %d, want %d: continuations end in %v", context(), got, want, ends)
	}
}

func TestAcquireIsDecidedExactlyWhenNoVoteCanChangeIt(t *testing.T) {
	t.Parallel()
	seen := make(outcomes)
	for nodes := 1; nodes <= mostNodes; nodes++ {
		for silent := range nodes + 1 {
			everyBallot(nodes-silent, acquireVotes,
				func(b ballot) quorum.Outcome { return acquireEnd(nodes, silent, b) },
				func(b ballot, ends outcomes) {
					a := acquireTally(nodes, b)
					got := a.Outcome(nodes-silent-len(b), silent)
					seen[got] = true
					requireEarliest(t, ends, got, func() string {
						return fmt.Sprintf("%d nodes, %d silent, votes %v", nodes, silent, b)
					})
				})
		}
	}
	for _, o := range []quorum.Outcome{quorum.Undecided, quorum.Acquired, quorum.Unavailable, quorum.Held, quorum.Split} {
		assert.Truef(t, seen[o], "outcome %d never came", o)
	}
}

// acquireVotes returns what can follow b: a grant, a failure, a refusal by a
// mark seen before or by a fresh one.
func acquireVotes(b ballot) []int {
	votes := []int{yes, fail}
	for m := range len(b.marks()) + 1 {
		votes = append(votes, m)
	}
	return votes
}

// acquireEnd is what a complete attempt means, in the words of the outcomes'
// documentation.
func acquireEnd(nodes, silent int, b ballot) quorum.Outcome {
	most := func(n int) bool { return 2*n > nodes }
	switch {
	case most(b.count(yes)):
		return quorum.Acquired
	case !most(len(b) - b.count(fail)):
		return quorum.Unavailable
	}
	for _, n := range b.marks() {
		if most(n + silent) {
			return quorum.Held
		}
	}
	// A holder that nobody has met yet may have all of the silent nodes.
	if most(silent) {
		return quorum.Held
	}
	return quorum.Split
}

func acquireTally(nodes int, b ballot) *quorum.Acquire {
	a := &quorum.Acquire{Nodes: nodes}
	for _, v := range b {
		switch v {
		case yes:
			a.Granted++
		case fail:
			a.Failed++
		default:
			a.Refuse(fmt.Sprint("mark", v))
		}
	}
	return a
}

func TestExtensionIsDecidedExactlyWhenNoVoteCanChangeIt(t *testing.T) {
	t.Parallel()
	seen := make(outcomes)
	for nodes := 1; nodes <= mostNodes; nodes++ {
		// Nodes that are not waited for vote like those that fail: not at all.
		everyBallot(nodes, anyOf(yes, back, no, fail),
			func(b ballot) quorum.Outcome { return extendEnd(nodes, b) },
			func(b ballot, ends outcomes) {
				e := quorum.Extend{Nodes: nodes, Held: b.count(yes), Gone: b.count(no)}
				got := e.Outcome(nodes - len(b))
				seen[got] = true
				requireEarliest(t, ends, got, func() string { return fmt.Sprintf("%d nodes, %+v", nodes, e) })
			})
	}
	for _, o := range []quorum.Outcome{quorum.Undecided, quorum.Extended, quorum.Lost, quorum.Unknown} {
		assert.Truef(t, seen[o], "outcome %d never came", o)
	}
}

func anyOf(votes ...int) func(ballot) []int { return func(ballot) []int { return votes } }

func extendEnd(nodes int, b ballot) quorum.Outcome {
	switch {
	case 2*b.count(yes) > nodes:
		return quorum.Extended
	case 2*(nodes-b.count(no)) <= nodes: // those left can't be a majority
		return quorum.Lost
	}
	return quorum.Unknown
}

func TestReleaseIsDecidedExactlyWhenNoVoteCanChangeIt(t *testing.T) {
	t.Parallel()
	seen := make(outcomes)
	for nodes := 1; nodes <= mostNodes; nodes++ {
		everyBallot(nodes, anyOf(yes, no, fail),
			func(b ballot) quorum.Outcome { return releaseEnd(nodes, b) },
			func(b ballot, ends outcomes) {
				r := quorum.Release{Nodes: nodes, Removed: b.count(yes), NotOurs: b.count(no)}
				got := r.Outcome(nodes - len(b))
				seen[got] = true
				requireEarliest(t, ends, got, func() string { return fmt.Sprintf("%d nodes, %+v", nodes, r) })
			})
	}
	for _, o := range []quorum.Outcome{quorum.Undecided, quorum.Released, quorum.Lost, quorum.Unanswered} {
		assert.Truef(t, seen[o], "outcome %d never came", o)
	}
}

func releaseEnd(nodes int, b ballot) quorum.Outcome {
	switch removed, notOurs := b.count(yes), b.count(no); {
	case 2*(nodes-notOurs) <= nodes:
		return quorum.Lost
	case 2*(removed+notOurs) > nodes:
		return quorum.Released
	}
	return quorum.Unanswered
}

func TestTheSameVotesInAnotherOrderDecideTheSame(t *testing.T) {
	t.Parallel()
	for _, b := range []ballot{{0, 1, 0, 2, 0}, {0, 0, 0, 1, 2}, {2, 1, 0, 0, 0}, {1, 0, 0, 0, 2}} {
		assert.Equal(t, quorum.Held, acquireTally(5, b).Outcome(0, 0), "%v", b)
	}
	for _, b := range []ballot{{0, 1, 0, 1, yes}, {yes, 0, 0, 1, 1}, {1, 1, yes, 0, 0}} {
		assert.Equal(t, quorum.Split, acquireTally(5, b).Outcome(0, 0), "%v", b)
	}
}

func TestAttemptOutcomesByExample(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name            string
		nodes           int
		votes           ballot
		waiting, silent int
		want            quorum.Outcome
	}{
		{"the only node grants", 1, ballot{yes}, 0, 0, quorum.Acquired},
		{"the only node refuses", 1, ballot{0}, 0, 0, quorum.Held},
		{"the only node fails", 1, ballot{fail}, 0, 0, quorum.Unavailable},
		{"two of three grant, nobody waits for the third", 3, ballot{yes, yes}, 1, 0, quorum.Acquired},
		{"two of three name one holder", 3, ballot{0, 0}, 1, 0, quorum.Held},
		{"two of three name two holders, the third can settle it", 3, ballot{0, 1}, 1, 0, quorum.Undecided},
		{"three of three name three holders", 3, ballot{0, 1, 2}, 0, 0, quorum.Split},
		{"one grants, one refuses, one is silent", 3, ballot{yes, 0}, 0, 1, quorum.Held},
		{"one grants, one refuses, one fails", 3, ballot{yes, 0, fail}, 0, 0, quorum.Split},
		{"two of three fail, nobody waits for the third", 3, ballot{fail, fail}, 1, 0, quorum.Unavailable},
		{"half of four is no majority", 4, ballot{yes, yes, 0, 0}, 0, 0, quorum.Split},
		{"half of four refusing leaves no majority", 4, ballot{yes, 0, 0}, 1, 0, quorum.Undecided},
		{"half of four failing leaves no majority", 4, ballot{fail, fail}, 2, 0, quorum.Unavailable},
		{"two of five can still be a majority", 5, ballot{yes, yes, 0, fail}, 1, 0, quorum.Undecided},
		{"all silent", 3, nil, 0, 3, quorum.Unavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, acquireTally(tt.nodes, tt.votes).Outcome(tt.waiting, tt.silent))
		})
	}
}
