package ledger

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/quorum"
)

// enlist begins a wave that asks all nodes which are to be, and have been silent for so long.
func (l *Ledger) enlist(silent ...time.Duration) (w *Wave, calls []*node.Call) {
	w, calls = new(Wave), make([]*node.Call, len(silent))
	l.Enlist(w, func(i int) (*node.Call, time.Duration) {
		if l.Unreleased(i) {
			calls[i] = new(node.Call)
		}
		return calls[i], silent[i]
	})
	return w, calls
}

func TestAWaveDoesNotWaitForSilentNodesWhileTheOthersAreAMajority(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		silent []time.Duration
		waits  []bool
	}{
		{"none", []time.Duration{0, 0, 0}, []bool{true, true, true}},
		{"a minority", []time.Duration{0, 1, 0}, []bool{true, false, true}},
		{"a majority", []time.Duration{1, 1, 0}, []bool{true, true, true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := New(3)
			require.True(t, l.Release())
			w, _ := l.enlist(tt.silent...)
			for i, waits := range tt.waits {
				assert.Equal(t, !waits, l.Lacks(w, i))
				assert.Equal(t, !waits, l.Silent(i) > 0)
			}
		})
	}
}

func TestAWaveIsJoinedWhileItIsUnderWayOrFinal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		said  node.Kind // by both of two nodes; none if they do not answer
		want  quorum.Outcome
		sends bool
	}{
		{"removed", node.Removed, quorum.Released, false},
		{"not found", node.NotOurs, quorum.Lost, false},
		{"failed", node.Failed, quorum.Unanswered, true},
		{"not answered", node.None, quorum.Unanswered, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := New(2)
			assert.False(t, l.Releasing())
			require.True(t, l.Release())
			assert.True(t, l.Releasing())
			w, calls := l.enlist(0, 0)
			assert.False(t, l.Settle())
			assert.False(t, l.Release(), "it is under way")
			assert.Equal(t, quorum.Undecided, w.Outcome())
			decided := false
			for i, call := range calls {
				assert.Same(t, call, l.Call(i))
				assert.False(t, l.Unreleased(i))
				if tt.said != node.None && !decided {
					l.Answered(i, node.Vote{By: call, Kind: tt.said, Err: errTest})
					decided = l.Settle()
				}
			}
			assert.Equal(t, tt.said != node.None, decided)
			assert.Equal(t, !decided, l.TimeOut(w))
			assert.False(t, l.TimeOut(w), "it is decided")
			assert.False(t, l.Settle())
			assert.Equal(t, tt.want, w.Outcome())
			assert.Equal(t, tt.sends, l.Release())
			failed, err := l.Failure(0)
			assert.Equal(t, tt.said == node.Failed, failed)
			if failed {
				assert.Equal(t, errTest, err)
			}
			assert.Equal(t, tt.said == node.None, l.Lacks(w, 1), "nobody waits any more")
		})
	}
}

func TestTheTallyOfAWaveIsThatWhichHasDecidedIt(t *testing.T) {
	t.Parallel()
	l := New(3)
	l.Release()
	w, calls := l.enlist(0, 0, 0)
	assert.Equal(t, quorum.Release{Nodes: 3}, l.Tally(w))
	for i, want := range []quorum.Release{{Nodes: 3, Removed: 1}, {Nodes: 3, Removed: 2}, {Nodes: 3, Removed: 2}} {
		l.Answered(i, node.Vote{By: calls[i], Kind: node.Removed, Effect: node.Done})
		assert.Equal(t, i == 1, l.Settle())
		assert.Equal(t, want, l.Tally(w))
	}
}

func TestWhatAnAnswerToAReleaseCountsFor(t *testing.T) {
	t.Parallel()
	notOurs := node.Vote{Kind: node.NotOurs}
	for _, tt := range []struct {
		name   string
		before func(l *Ledger)
		vote   node.Vote
		want   node.Kind
	}{
		{"it has removed it", func(*Ledger) {}, node.Vote{Kind: node.Removed, Effect: node.Done}, node.Removed},
		{"it has not found it", func(*Ledger) {}, notOurs, node.NotOurs},
		{"an earlier copy may have removed it", func(*Ledger) {}, node.Vote{Kind: node.NotOurs, Effect: node.Maybe}, node.Removed},
		{"another try is under way", func(l *Ledger) { l.Retrying(0) }, notOurs, node.Removed},
		{"another try may have removed it", func(l *Ledger) { l.Retrying(0); l.Retried(0, node.Failed, node.Maybe) }, notOurs, node.Removed},
		{"another try has removed it", func(l *Ledger) { l.Retrying(0); l.Retried(0, node.Removed, node.Done) }, notOurs, node.Removed},
		{"another try has not", func(l *Ledger) { l.Retrying(0); l.Retried(0, node.Failed, node.Undone) }, notOurs, node.NotOurs},
		{"an acquire may come yet", func(l *Ledger) { l.GivenUp(0, node.OpAcquire, time.Minute, time.Time{}) }, notOurs, node.Failed},
		{"an acquire has come meanwhile", func(l *Ledger) {
			l.GivenUp(0, node.OpAcquire, time.Minute, time.Time{})
			assert.False(t, l.Concluded(0, node.OpAcquire, time.Minute, node.Vote{Kind: node.Granted, Effect: node.Done}, true, time.Time{}))
		}, notOurs, node.Failed},
		{"an extension has come meanwhile", func(l *Ledger) {
			l.GivenUp(0, node.OpExtend, time.Minute, time.Time{})
			assert.False(t, l.Concluded(0, node.OpExtend, time.Minute, node.Vote{Kind: node.Extended, Effect: node.Done}, true, time.Time{}))
		}, notOurs, node.NotOurs},
		{"an acquire has done nothing", func(l *Ledger) {
			l.GivenUp(0, node.OpAcquire, time.Minute, time.Time{})
			assert.False(t, l.Concluded(0, node.OpAcquire, time.Minute, node.Vote{Kind: node.Refused}, true, time.Time{}))
		}, notOurs, node.NotOurs},
		{"an acquire was concluded just before it was given up", func(l *Ledger) {
			l.Concluded(0, node.OpAcquire, time.Minute, node.Vote{Kind: node.Refused}, true, time.Time{})
			l.GivenUp(0, node.OpAcquire, time.Minute, time.Time{})
		}, notOurs, node.NotOurs},
		{"an acquire was answered in time", func(l *Ledger) {
			assert.False(t, l.Concluded(0, node.OpAcquire, time.Minute, node.Vote{Kind: node.Granted, Effect: node.Done}, false, time.Time{}))
		}, notOurs, node.NotOurs},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := New(1)
			l.Release()
			_, calls := l.enlist(0)
			tt.before(&l)
			tt.vote.By = calls[0]
			assert.Equal(t, tt.name == "an acquire has come meanwhile", l.Answered(0, tt.vote))
			assert.Equal(t, tt.want, l.nodes[0].removal.kind)
			assert.Nil(t, l.Call(0))
			failed, err := l.Failure(0)
			assert.Equal(t, tt.want == node.Failed, failed)
			if failed {
				assert.Equal(t, node.ErrBehind, err)
			}
		})
	}
}

func TestAReleaseThatWasGivenUpHasFailedUntilItsVoteComes(t *testing.T) {
	t.Parallel()
	for said, want := range map[node.Kind]node.Kind{
		node.Removed: node.Removed,
		node.NotOurs: node.NotOurs,
		node.Failed:  node.Failed,
	} {
		l := New(1)
		l.Release()
		_, calls := l.enlist(0)
		l.Resend(0, errTest)
		assert.Nil(t, l.Call(0))
		assert.True(t, l.Unreleased(0))
		failed, err := l.Failure(0)
		assert.True(t, failed)
		assert.Equal(t, errTest, err)
		l.Answered(0, node.Vote{By: calls[0], Kind: said})
		assert.Equal(t, want, l.nodes[0].removal.kind)
		assert.Zero(t, l.nodes[0].removal.trying)
	}
}

func TestALossSaysNothingOfTheRelease(t *testing.T) {
	t.Parallel()
	l := New(1)
	x := l.newRound(time.Minute)
	l.Release()
	w, calls := l.enlist(0)
	l.Note(x, 0, gone)
	assert.Same(t, calls[0], l.Call(0))
	l.TimeOut(w)
	assert.True(t, l.Lacks(w, 0))
}

func TestAWaveIsDecidedWithoutSilentNodes(t *testing.T) {
	t.Parallel()
	l := New(3)
	l.Release()
	first, calls := l.enlist(0, 1, 0)
	l.Answered(0, node.Vote{By: calls[0], Kind: node.Removed, Effect: node.Done})
	assert.False(t, l.Settle())
	l.Answered(2, node.Vote{By: calls[2], Kind: node.Failed, Err: errTest, Effect: node.Maybe})
	assert.True(t, l.Settle())
	assert.Equal(t, quorum.Unanswered, first.Outcome())

	require.True(t, l.Release())
	second, _ := l.enlist(1, 0, 0)
	assert.Zero(t, l.Silent(0), "it has answered")
	assert.False(t, l.TimeOut(first), "it is not the latest")
	assert.Equal(t, quorum.Undecided, second.Outcome())
}

// releasedTwice returns the ledger of one node whose first release was given up while the
// second one is under way.
func releasedTwice(t *testing.T) (l Ledger, w *Wave, first, second *node.Call) {
	t.Helper()
	l = New(1)
	l.Release()
	_, one := l.enlist(0)
	l.Resend(0, errTest)
	l.Settle()
	require.True(t, l.Release())
	w, two := l.enlist(0)
	return l, w, one[0], two[0]
}

func TestALateVoteChangesNothingOfWhatALaterReleaseHasDone(t *testing.T) {
	t.Parallel()
	l, _, first, second := releasedTwice(t)
	l.Answered(0, node.Vote{By: second, Kind: node.Removed, Effect: node.Done})
	l.Answered(0, node.Vote{By: first, Kind: node.Failed, Err: errTest, Effect: node.Maybe})
	failed, _ := l.Failure(0)
	assert.False(t, failed)
}

func TestANodeHasAnsweredOnceItHasAnsweredAnyReleaseWhateverBecomesOfALaterOne(t *testing.T) {
	t.Parallel()
	l, w, first, second := releasedTwice(t)
	l.Answered(0, node.Vote{By: first, Kind: node.Removed, Effect: node.Done})
	assert.True(t, l.Settle(), "the other one is waited for")
	assert.Equal(t, quorum.Released, w.Outcome())
	assert.Nil(t, l.Call(0), "it would be sent again when it is given up")
	l.Answered(0, node.Vote{By: second, Kind: node.Failed, Err: errTest, Effect: node.Maybe})
	failed, _ := l.Failure(0)
	assert.False(t, failed)
	assert.Zero(t, l.nodes[0].removal.trying)
}

// The first release hangs, and is sent again; an acquire that hung as well comes meanwhile.
func TestAReleaseFromBeforeALateAcquireSaysNothing(t *testing.T) {
	t.Parallel()
	for _, said := range []node.Kind{node.NotOurs, node.Removed} {
		l := New(1)
		l.GivenUp(0, node.OpAcquire, time.Minute, time.Time{})
		l.Release()
		_, calls := l.enlist(0)
		l.Resend(0, errTest)
		granted := node.Vote{Kind: node.Granted, Effect: node.Done}
		assert.True(t, l.Concluded(0, node.OpAcquire, time.Minute, granted, true, time.Time{}), "no release is under way")
		assert.False(t, l.Answered(0, node.Vote{By: calls[0], Kind: said}), "it is sent again already")
		assert.Equal(t, node.Failed, l.nodes[0].removal.kind)
		l.Settle()

		require.True(t, l.Release())
		w, calls := l.enlist(0)
		l.Answered(0, node.Vote{By: calls[0], Kind: node.Removed, Effect: node.Done})
		l.Settle()
		assert.Equal(t, quorum.Released, w.Outcome())
	}
}

// On one node Unlock would say that the lock was lost.
func TestALateReleaseThatHasNotFoundTheValueLeavesItToTheOneUnderWay(t *testing.T) {
	t.Parallel()
	l, w, first, _ := releasedTwice(t) // the second one may have removed it
	l.Answered(0, node.Vote{By: first, Kind: node.NotOurs})
	l.Settle()
	assert.NotEqual(t, quorum.Lost, w.Outcome())
}
