package ledger

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/quorum"
)

const yes, gone = node.Extended, node.Gone

// newRound begins a round, which ends after all that began before it for the same ttl.
func (l *Ledger) newRound(ttl time.Duration) *Round {
	x := &Round{Start: new(clock.Clock).Now(), TTL: ttl}
	l.Begin(x)
	return x
}

func (l *Ledger) clone() Ledger {
	c := *l
	c.nodes = slices.Clone(l.nodes)
	return c
}

func TestVotesOfSeveralRoundsAddUp(t *testing.T) {
	t.Parallel()
	type vote struct {
		round, node int
		said        node.Kind
	}
	for _, tt := range []struct {
		name  string
		votes []vote // of 5 nodes, the last of which does not count
		want  quorum.Outcome
		round int // of the verdict
	}{
		{"none", nil, quorum.Unknown, 0},
		{"a minority, twice", []vote{{0, 0, yes}, {0, 1, yes}, {1, 0, yes}, {1, 1, yes}}, quorum.Unknown, 0},
		{"a majority of one round", []vote{{1, 0, yes}, {1, 1, yes}, {1, 2, yes}}, quorum.Extended, 1},
		{"a majority of two rounds, to the earlier end", []vote{{0, 0, yes}, {1, 1, yes}, {1, 2, yes}}, quorum.Extended, 0},
		{"a majority that lasts longer than that", []vote{{0, 0, yes}, {1, 1, yes}, {1, 2, yes}, {1, 3, yes}}, quorum.Extended, 1},
		{"earlier votes that come later", []vote{{1, 0, yes}, {1, 1, yes}, {1, 2, yes}, {0, 0, yes}}, quorum.Extended, 1},
		{"one of a round for another ttl", []vote{{0, 0, yes}, {0, 1, yes}, {2, 2, yes}}, quorum.Unknown, 0},
		{"one of a node that does not count", []vote{{0, 0, yes}, {0, 1, yes}, {0, 4, yes}}, quorum.Unknown, 0},
		{"losses of as many as can be spared", []vote{{0, 0, gone}, {1, 1, node.Taken}}, quorum.Unknown, 0},
		{"losses of two rounds", []vote{{0, 0, gone}, {1, 1, node.Taken}, {0, 4, gone}}, quorum.Lost, 0},
		{"losses that are told twice", []vote{{0, 0, gone}, {1, 0, gone}, {0, 1, gone}, {1, 1, gone}}, quorum.Unknown, 0},
		{"a loss after a yes", []vote{{0, 0, yes}, {0, 1, yes}, {1, 0, gone}, {0, 2, yes}}, quorum.Unknown, 0},
		{"a yes that comes after a loss", []vote{{1, 0, gone}, {0, 0, yes}, {0, 1, yes}, {0, 2, yes}}, quorum.Unknown, 0},
		{"no answer", []vote{{0, 0, node.Failed}, {0, 1, node.None}, {0, 2, node.Skipped}}, quorum.Unknown, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := granted(5, 0, 1, 2, 3)
			all := []*Round{l.newRound(time.Minute), l.newRound(time.Minute), l.newRound(time.Hour)}
			for _, v := range tt.votes {
				l.Note(all[v.round], v.node, v.said)
			}
			got, x := l.Verdict(time.Minute)
			assert.Equal(t, tt.want, got)
			if got == quorum.Extended {
				assert.Same(t, all[tt.round], x)
			} else {
				assert.Nil(t, x)
			}
		})
	}
}

func TestARoundBeginsWithTheLossesThatAreKnown(t *testing.T) {
	t.Parallel()
	l := granted(3, 0, 1, 2)
	l.Lose(1, gone)
	assert.Equal(t, quorum.Extend{Nodes: 3, Gone: 1}, l.Begin(new(Round)))
}

func TestWhatIsNews(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		play func(l *Ledger, earlier, x *Round) []bool
		want []bool
	}{
		"not what the votes of a round decide that somebody waits for": {func(l *Ledger, _, x *Round) []bool {
			return []bool{l.Note(x, 0, yes).News, l.Note(x, 1, yes).News, l.GiveUp(x)}
		}, []bool{false, false, true}},
		"what those of an earlier one add to it": {func(l *Ledger, earlier, x *Round) []bool {
			return []bool{l.GiveUp(earlier), l.Note(x, 0, yes).News, l.Note(earlier, 1, yes).News}
		}, []bool{false, false, true}},
		"what it adds to those of an earlier one": {func(l *Ledger, earlier, x *Round) []bool {
			return []bool{l.Note(earlier, 1, yes).News, l.Note(x, 0, yes).News}
		}, []bool{false, true}},
		"losses that it does not know of": {func(l *Ledger, earlier, x *Round) []bool {
			return []bool{l.GiveUp(earlier), l.Note(x, 0, gone).News, l.Note(earlier, 1, gone).News}
		}, []bool{false, false, true}},
		"losses that somebody waits for and does not know of": {func(l *Ledger, earlier, x *Round) []bool {
			return []bool{l.Note(earlier, 1, gone).News, l.Note(x, 0, gone).News}
		}, []bool{false, true}},
		"not losses that it knows of": {func(l *Ledger, _, x *Round) []bool {
			return []bool{l.Note(x, 0, gone).News, l.Note(x, 1, gone).News}
		}, []bool{false, false}},
		"nothing of a round before the last success": {func(l *Ledger, _, x *Round) []bool {
			told := []bool{l.Note(x, 0, gone).News, l.GiveUp(x)}
			l.Commit(l.newRound(time.Minute))
			return append(told, l.Note(x, 1, gone).News, l.Note(x, 2, gone).News)
		}, []bool{false, false, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := granted(3, 0, 1, 2)
			earlier, x := l.newRound(time.Minute), l.newRound(time.Minute)
			assert.Equal(t, tt.want, tt.play(l, earlier, x))
		})
	}
}

// Node 0 agrees to the first round and then loses the value. Its yes comes after it has
// said so to the second round.
func TestAVoteThatWasOvertakenByTheNewsOfALossChangesNothing(t *testing.T) {
	t.Parallel()
	for _, said := range []node.Kind{yes, gone, node.Taken} {
		l := granted(3, 0, 1, 2)
		first, second := l.newRound(time.Minute), l.newRound(time.Minute)
		l.Note(second, 0, gone)
		third := l.newRound(time.Minute)
		before := l.clone()
		for _, x := range []*Round{first, second, third} {
			assert.False(t, l.Note(x, 0, said).Agreed && x != third)
			if x != third {
				require.Equal(t, before, *l)
			}
		}
		assert.NotEqual(t, before, *l, "the third round was sent after that")
	}
}

// Node 1 agrees to the first round, loses its data, and its answer comes late. Node 2
// is given the value back between. Nobody had it on two nodes for a while.
func TestANodeThatGotTheValueAfterAMajorityHadAgreedDoesNotCountWithIt(t *testing.T) {
	t.Parallel()
	l := granted(3, 0, 1, 2)
	first := l.newRound(time.Minute)
	l.Note(first, 0, yes)
	l.Note(first, 1, yes)
	l.Note(first, 2, gone)
	l.Commit(first)
	require.True(t, l.Arm(first))
	l.Armed(2)
	late := l.newRound(time.Minute) // node 2 is not asked
	l.Note(late, 0, yes)
	l.GiveUp(late)
	l.Freshen(2)
	other := l.newRound(time.Minute)
	l.Note(other, 2, yes)
	l.GiveUp(other)
	assert.True(t, l.Note(late, 1, yes).News)
	_, success := l.Verdict(time.Minute)
	require.Same(t, late, success)
	l.Commit(late)
	assert.True(t, l.Counts(0))
	assert.True(t, l.Counts(1))
	assert.False(t, l.Counts(2))
}

func TestWhenANodeCountsAgain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		known  bool // it has told that it has the value before the round begins
		before bool // it agrees before that is a success
		fresh  bool // another round has to tell
		counts bool
	}{
		{"it agrees to a round, which is a success", false, true, false, true},
		{"it agrees to what was a success", false, false, true, false},
		{"it was known to have it, and agrees to what was a success", true, false, false, true},
		{"it was known to have it, and agrees before", true, true, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := granted(3, 0, 1)
			if tt.known {
				l.Freshen(2)
			}
			x := l.newRound(time.Minute)
			if !tt.before {
				l.Commit(x)
			}
			follows := l.Note(x, 2, yes)
			assert.Equal(t, Notice{Agreed: true, Fresh: tt.fresh}, follows)
			assert.False(t, tt.before && l.Counts(2))
			if tt.before {
				l.Commit(x)
			}
			assert.Equal(t, tt.counts, l.Counts(2))
		})
	}
}

func TestANodeThatCountsGoesOnToWhenItAgreesLate(t *testing.T) {
	t.Parallel()
	l := granted(3, 0, 1, 2)
	x := l.newRound(time.Minute)
	l.Commit(x)
	assert.Equal(t, Notice{Agreed: true}, l.Note(x, 2, yes))
	assert.True(t, l.Counts(2))
}

func TestANodeCountsFromTheFirstRoundThatItHasAgreedTo(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		l := granted(3, 0, 1)
		first, second := l.newRound(time.Minute), l.newRound(time.Minute)
		l.Note(second, 2, yes)
		if early {
			l.Note(first, 2, yes)
		}
		l.Commit(first)
		assert.Equal(t, early, l.Counts(2))
	}
}

func TestWhatWasSaidToALaterRoundThanTheSuccess(t *testing.T) {
	t.Parallel()
	l := granted(3, 0, 1)
	first, second := l.newRound(time.Minute), l.newRound(time.Minute)
	l.Note(second, 0, yes)
	l.Note(second, 1, yes)
	l.Note(second, 2, yes)
	l.Commit(first)
	assert.True(t, l.Counts(0), "it has counted before")
	assert.False(t, l.Counts(2))
	o, _ := l.Verdict(time.Minute)
	assert.Equal(t, quorum.Unknown, o, "votes before the last success tell no more")
	third := l.newRound(time.Minute)
	l.Commit(third)
	assert.False(t, l.Counts(2), "it has not said that it still has it")
	l.Note(third, 2, yes)
	assert.True(t, l.Counts(2), "it was known to have it before, and has it after")
}

func TestWhatAgreesToARoundThatIsNoSuccessDoesNotCount(t *testing.T) {
	t.Parallel()
	l := granted(3, 0, 1)
	l.Freshen(2)
	x, success := l.newRound(time.Minute), l.newRound(time.Minute)
	l.Commit(success)
	assert.Equal(t, Notice{Agreed: true}, l.Note(x, 2, yes))
	assert.False(t, l.Counts(2))
}

func TestANodeIsGivenTheValueAgainWhenALossIsToldAfterASuccess(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		said        node.Kind
		arms, again bool
	}{
		{"nothing is there", gone, true, true},
		{"another value is there", node.Taken, true, false},
		{"nobody has the value put back", gone, false, false},
		{"it is there", yes, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := granted(3, 0, 1, 2)
			x := l.newRound(time.Minute)
			assert.Nil(t, l.Note(x, 1, gone).Again, "it has to succeed first")
			l.Commit(x)
			if tt.arms {
				l.Arm(x)
				l.Armed(1)
			}
			if follows := l.Note(x, 2, tt.said); tt.again {
				assert.Same(t, x, follows.Again)
			} else {
				assert.Nil(t, follows.Again)
			}
			assert.Nil(t, l.Note(l.newRound(time.Minute), 0, gone).Again)
		})
	}
}

// An extension was given up on a node that had lost the value. It says so when the node has
// got it again.
func TestALossThatIsToldAfterTheNodeWasGivenTheValueAgainChangesNothing(t *testing.T) {
	t.Parallel()
	l := granted(3, 0, 1, 2)
	hangs, x := l.newRound(time.Minute), l.newRound(time.Minute)
	for i, said := range []node.Kind{yes, yes, gone} {
		l.Note(x, i, said)
	}
	l.Commit(x)
	require.True(t, l.Arm(x))
	slow := l.newRound(time.Minute)
	l.Armed(2)
	for _, round := range []*Round{hangs, slow} {
		follows := l.Note(round, 2, gone)
		assert.Zero(t, l.Gone())
		assert.Nil(t, follows.Again)
	}
	l.Note(l.newRound(time.Minute), 2, gone)
	assert.Equal(t, 1, l.Gone())
}
