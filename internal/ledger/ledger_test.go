package ledger

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/node"
)

const ms = time.Millisecond

// begin is when everything begins.
var begin = new(clock.Clock).Now()

// granted returns a ledger of which these nodes have granted in time.
func granted(nodes int, by ...int) *Ledger {
	l := New(nodes)
	for _, i := range by {
		l.Granted(i, begin.Moment())
	}
	l.Decide(begin, 0)
	return &l
}

func TestGrantsCountUntilTheGraceIsOver(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		took, after time.Duration
		counts      bool
	}{
		{"at once", 0, 0, true},
		{"within 5 ms, however quick the others were", ms, 5*ms - 1, true},
		{"after 5 ms", ms, 5 * ms, false},
		{"as long as the others have taken", 20 * ms, 20*ms - 1, true},
		{"longer than the others have taken", 20 * ms, 20 * ms, false},
		{"within 50 ms", time.Second, 50*ms - 1, true},
		{"after 50 ms, however slow the others were", time.Second, 50 * ms, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := New(1)
			l.Decide(begin, tt.took)
			assert.Equal(t, tt.counts, l.Granted(0, begin.After(tt.after)))
			assert.Equal(t, tt.counts, l.Counts(0))
			assert.Equal(t, !tt.counts, l.Late())
		})
	}
}

func TestAnythingCountsBeforeTheAttemptIsDecided(t *testing.T) {
	t.Parallel()
	l := New(1)
	assert.True(t, l.Granted(0, begin.After(time.Hour)))
	assert.False(t, l.Late())
}

func TestANodeIsOverdueAfterTheLongestGrace(t *testing.T) {
	t.Parallel()
	assert.False(t, Overdue(50*ms))
	assert.True(t, Overdue(50*ms+1))
}

func TestWhatFreshensANodeThatCountsTakesNothingFromIt(t *testing.T) {
	t.Parallel()
	l := granted(1, 0)
	l.Freshen(0)
	assert.True(t, l.Counts(0))
}

func TestWhatBecomesOfALoss(t *testing.T) {
	t.Parallel()
	type then = func(l *Ledger)
	commits, arms := func(l *Ledger) { l.Commit(new(Round)) }, func(l *Ledger) { l.Armed(0) }
	for _, tt := range []struct {
		name        string
		said        node.Kind
		then        []then
		away, empty bool
	}{
		{"another value is there", node.Taken, nil, true, false},
		{"nothing is there", node.Gone, nil, true, true},
		{"another value was there before a success", node.Taken, []then{commits}, false, false},
		{"nothing was there before a success", node.Gone, []then{commits}, false, true},
		{"nothing was there before two of them", node.Gone, []then{commits, commits}, false, true},
		{"it was sent again at once", node.Gone, []then{arms}, false, false},
		{"it was sent again after a success", node.Gone, []then{commits, arms}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := granted(1, 0)
			l.Lose(0, tt.said)
			for _, then := range tt.then {
				then(l)
			}
			assert.Equal(t, tt.away, l.Away(0))
			assert.Equal(t, tt.away, l.Gone() == 1)
			assert.Equal(t, tt.empty, l.Empty(0))
			assert.Equal(t, tt.empty, l.Arm(new(Round)))
			assert.False(t, l.Counts(0))
		})
	}
}

func TestTheValueMayBeThereAsLongAsTheLastOfAllThatWasSent(t *testing.T) {
	t.Parallel()
	l, now := New(2), time.Unix(1000, 0)
	assert.Zero(t, l.Until(0))
	l.Lasts(0, 100*time.Second, now)
	l.Lasts(0, 10*time.Second, now.Add(time.Second))
	l.Lose(0, node.Gone)
	assert.Equal(t, now.Add(101*time.Second), l.Until(0))
	l.GivenUp(0, node.OpExtend, 200*time.Second, now)
	assert.Equal(t, now.Add(202*time.Second), l.Until(0))
	assert.False(t, l.Concluded(0, node.OpExtend, 300*time.Second, node.Vote{Kind: node.Gone}, false, now))
	assert.Equal(t, now.Add(202*time.Second), l.Until(0), "it was not extended")
	assert.False(t, l.Concluded(0, node.OpExtend, 300*time.Second, node.Vote{Kind: node.Failed, Effect: node.Maybe}, false, now))
	assert.Equal(t, now.Add(303*time.Second), l.Until(0))
	assert.Zero(t, l.Until(1))
}

func TestWhatIsLate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		does        func(l *Ledger)
		late, rests bool
	}{
		{"nothing", func(*Ledger) {}, false, true},
		{"a node that was overdue", func(l *Ledger) { l.Delay() }, true, true},
		{"a release that was given up", func(l *Ledger) { l.GivenUp(0, node.OpRelease, 0, time.Time{}) }, false, true},
		{"an extension that was given up", func(l *Ledger) { l.GivenUp(0, node.OpExtend, time.Minute, time.Time{}) }, true, false},
		{"an extension that was done", func(l *Ledger) {
			l.Concluded(0, node.OpExtend, time.Minute, node.Vote{Kind: node.Extended, Effect: node.Done}, false, time.Time{})
		}, false, true},
		{"one that may have been", func(l *Ledger) {
			l.Concluded(0, node.OpExtend, time.Minute, node.Vote{Kind: node.Failed, Effect: node.Maybe}, false, time.Time{})
		}, true, false},
		{"one that was not", func(l *Ledger) {
			l.Concluded(0, node.OpExtend, time.Minute, node.Vote{Kind: node.Failed}, false, time.Time{})
		}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := granted(1, 0)
			tt.does(l)
			assert.Equal(t, tt.late, l.Late())
			_, rests := l.Resting()
			assert.Equal(t, tt.rests, rests)
		})
	}
}

func TestAValueRestsThatAllHaveGrantedAndNobodyHasTouchedSince(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		by    []int
		then  func(l *Ledger)
		rests bool
	}{
		{"all have granted", []int{0, 1, 2}, func(*Ledger) {}, true},
		{"a majority has", []int{0, 1}, func(*Ledger) {}, false},
		{"one has late", []int{0, 1}, func(l *Ledger) { l.Freshen(2) }, false},
		{"one has lost it", []int{0, 1, 2}, func(l *Ledger) { l.Lose(0, node.Gone) }, false},
		{"one was overdue", []int{0, 1, 2}, func(l *Ledger) { l.Delay() }, true},
		{"it was extended", []int{0, 1, 2}, func(l *Ledger) { l.Begin(new(Round)) }, false},
		{"it is released", []int{0, 1, 2}, func(l *Ledger) { l.Release() }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l, now := granted(3, tt.by...), time.Unix(1000, 0)
			l.Lasts(1, 200*time.Second, now)
			l.Lasts(2, 100*time.Second, now)
			tt.then(l)
			until, rests := l.Resting()
			assert.Equal(t, tt.rests, rests)
			if !rests {
				return
			}
			again := New(3)
			again.Resume(until, l.Late(), begin.Moment())
			assert.Equal(t, l.Late(), again.Late())
			for i := range 3 {
				assert.True(t, again.Counts(i))
				assert.Equal(t, now.Add(202*time.Second), again.Until(i))
			}
			assert.False(t, again.Granted(0, begin.Moment()), "it is decided")
		})
	}
}

// Votes are filed on goroutines of their own.
func TestAGrantThatIsFiledAfterTheLossOfItDoesNotCount(t *testing.T) {
	t.Parallel()
	l := New(1)
	l.Lose(0, node.Gone)
	assert.False(t, l.Granted(0, 0))
	assert.False(t, l.Counts(0))
	assert.Equal(t, 1, l.Gone())
}
