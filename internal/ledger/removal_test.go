package ledger

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/quorum"
)

// A cleanup is a world in which the value is removed: by releases that answer late, or never,
// and are sent again; and it may be put there late by acquires that were given up.
type cleanup struct {
	t       *testing.T
	ledger  Ledger
	has     []bool
	removed []bool // by a release, once
	sent    []release
	owed    []release // without a call
	late    []int     // nodes where an acquire may come yet
	wave    *Wave
}

type release struct {
	node    int
	call    *node.Call
	givenUp bool
	said    node.Kind // once it has been carried out
}

var errTest = errors.New("no answer")

func newCleanup(t *testing.T, nodes int, late byte) *cleanup {
	t.Helper()
	w := &cleanup{t: t, ledger: New(nodes), has: make([]bool, nodes), removed: make([]bool, nodes)}
	for i := range nodes {
		if late>>i&1 == 1 {
			w.ledger.GivenUp(i, node.OpAcquire, time.Minute, time.Time{})
			w.late = append(w.late, i)
		} else {
			w.has[i] = true
		}
	}
	return w
}

func (w *cleanup) step(what, which byte) {
	i := int(which)
	switch {
	case what < 8:
		w.has[i%len(w.has)] = false
	case what < 50:
		w.release()
	case what < 110:
		w.carryOut(w.sent, i)
	case what < 140:
		w.carryOut(w.owed, i)
	case what < 190:
		w.answer(i, which >= 200)
	case what < 210:
		w.giveUp(i)
	case what < 235:
		w.retried(i, which >= 200)
	case what < 245:
		w.acquired(i)
	case w.wave != nil:
		w.ledger.TimeOut(w.wave)
	}
	for i := range w.has {
		require.False(w.t, w.removed[i] && w.ledger.nodes[i].removal.kind == node.NotOurs, "node %d: a release has removed it", i)
	}
}

func (w *cleanup) release() {
	if !w.ledger.Release() {
		return
	}
	require.True(w.t, w.wave == nil || w.wave.Outcome() == quorum.Unanswered)
	w.wave = new(Wave)
	w.ledger.Enlist(w.wave, func(i int) (*node.Call, time.Duration) {
		if !w.ledger.Unreleased(i) {
			return nil, 0
		}
		r := release{node: i, call: new(node.Call)}
		w.sent = append(w.sent, r)
		return r.call, 0
	})
	w.settle()
}

func (w *cleanup) carryOut(all []release, which int) {
	if len(all) == 0 {
		return
	}
	r := &all[which%len(all)]
	switch {
	case r.said != node.None:
	case w.has[r.node]:
		w.has[r.node], w.removed[r.node], r.said = false, true, node.Removed
	default:
		r.said = node.NotOurs
	}
}

// effect returns what is known of what a release has done.
func (r *release) effect(answered bool) node.Effect {
	switch {
	case !answered:
		return node.Maybe
	case r.said == node.Removed:
		return node.Done
	}
	return node.Undone
}

// answer files the vote of a release that was carried out, or has failed.
func (w *cleanup) answer(which int, fails bool) {
	if len(w.sent) == 0 {
		return
	}
	which %= len(w.sent)
	r := w.sent[which]
	fails = fails || r.said == node.None
	w.sent = append(w.sent[:which:which], w.sent[which+1:]...)
	v := node.Vote{By: r.call, Kind: r.said, Effect: r.effect(!fails)}
	if fails {
		v.Kind, v.Err = node.Failed, errTest
		if !r.givenUp {
			w.owe(r.node)
		}
	}
	if w.ledger.Answered(r.node, v) {
		w.owe(r.node)
	}
	w.settle()
}

func (w *cleanup) owe(i int) {
	w.ledger.Retrying(i)
	w.owed = append(w.owed, release{node: i})
}

func (w *cleanup) giveUp(which int) {
	if len(w.sent) == 0 {
		return
	}
	r := &w.sent[which%len(w.sent)]
	if r.givenUp {
		return
	}
	r.givenUp = true
	w.ledger.GivenUp(r.node, node.OpRelease, 0, time.Time{})
	if w.ledger.Call(r.node) == r.call { // else the node has answered an earlier one meanwhile
		w.ledger.Resend(r.node, errTest)
		w.owe(r.node)
	}
	w.settle()
}

func (w *cleanup) retried(which int, fails bool) {
	if len(w.owed) == 0 {
		return
	}
	which %= len(w.owed)
	r := w.owed[which]
	w.owed = append(w.owed[:which:which], w.owed[which+1:]...)
	fails = fails || r.said == node.None
	said := r.said
	if fails {
		said = node.Failed
	}
	w.ledger.Retried(r.node, said, r.effect(!fails))
	if fails {
		w.owe(r.node)
	}
	if w.wave != nil {
		w.settle()
	}
}

// acquired carries out an acquire that was given up.
func (w *cleanup) acquired(which int) {
	if len(w.late) == 0 {
		return
	}
	which %= len(w.late)
	i := w.late[which]
	w.late = append(w.late[:which:which], w.late[which+1:]...)
	w.has[i] = true
	again := w.ledger.Concluded(i, node.OpAcquire, time.Minute, node.Vote{Kind: node.Granted, Effect: node.Done}, true, time.Time{})
	require.Equal(w.t, w.ledger.Releasing() && w.ledger.Call(i) == nil, again)
	if again {
		w.owe(i)
	}
}

func (w *cleanup) settle() {
	w.ledger.Settle()
	if w.wave.Outcome() == quorum.Undecided {
		return
	}
	tally := w.ledger.Tally(w.wave)
	require.Equal(w.t, tally.NotOurs > quorum.Spare(len(w.has)), w.wave.Outcome() == quorum.Lost)
}

func clean(t *testing.T, data []byte) *cleanup {
	t.Helper()
	w := newCleanup(t, int(data[0]%5)+1, data[0]>>3)
	for data = data[1:]; len(data) >= 2; data = data[2:] {
		before := make([]node.Kind, len(w.has))
		for i := range w.has {
			before[i] = w.ledger.nodes[i].removal.kind
		}
		w.step(data[0], data[1])
		for i := range w.has {
			kind := w.ledger.nodes[i].removal.kind
			if before[i] == node.Removed || before[i] == node.NotOurs {
				require.Equal(t, before[i], kind, "node %d has answered", i)
				require.Nil(t, w.ledger.Call(i), "nothing is waited for")
			}
			if kind == before[i] || kind != node.Removed && kind != node.NotOurs {
				continue
			}
			require.NotContains(t, w.late, i, "an acquire may come yet")
			if w.ledger.nodes[i].removal.trying == 0 {
				require.False(t, w.has[i], "node %d has it", i)
			}
		}
	}
	return w
}

func FuzzRelease(f *testing.F) {
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 0 {
			clean(t, data)
		}
	})
}

func TestAReleaseThatHasNotFoundTheValueCountsOnlyWhereNoneHasRemovedIt(t *testing.T) {
	random, data := rand.NewChaCha8([32]byte{}), make([]byte, 1+2*60)
	ends := make(map[quorum.Outcome]int)
	for range 5_000 {
		_, _ = random.Read(data) // the same each time
		if w := clean(t, data); w.wave != nil {
			ends[w.wave.Outcome()]++
		}
	}
	for _, o := range []quorum.Outcome{quorum.Released, quorum.Unanswered, quorum.Lost} {
		assert.Greater(t, ends[o], 50, "%d", o)
	}
}
