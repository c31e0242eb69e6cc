package ledger

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/clock"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/quorum"
)

// A world has nodes that have the value or not, lose it, and answer late, and one owner who
// does what a ledger says. What the ledger knows is checked against what is so.
type world struct {
	t      *testing.T
	ledger Ledger
	clock  clock.Clock
	now    int // one more with each step
	has    []bool
	missed []bool // was without it once
	taken  []bool // by another value
	sent   []command
	begun  map[*Round]int
	// broken is since when no majority has had the value all the time; 0 if it always has.
	broken int

	live    *Round // somebody waits for its votes
	tally   quorum.Extend
	success *Round // it is to be committed
	over    bool
}

// A command is one that a node has not answered yet. It puts the value there unless it is
// that of a round.
type command struct {
	node    int
	round   *Round
	acquire bool
	givenUp bool
	said    node.Kind // once it has been carried out
}

func newWorld(t *testing.T, nodes int, late byte) *world {
	t.Helper()
	w := &world{
		t: t, ledger: New(nodes), now: 1, has: make([]bool, nodes), missed: make([]bool, nodes), taken: make([]bool, nodes), begun: make(map[*Round]int),
	}
	w.clock.Jump = func() time.Duration { return time.Duration(w.now) * time.Hour }
	for i := range nodes {
		if i < quorum.Size(nodes) {
			w.has[i] = true
			require.True(t, w.ledger.Granted(i, w.clock.Now().Moment()))
		} else if late>>i&1 == 1 {
			w.sent = append(w.sent, command{node: i, acquire: true})
		}
	}
	w.ledger.Decide(w.clock.Now(), 0)
	return w
}

// mayFollow reports whether a lane would let a command go to a node now.
func (w *world) mayFollow(i int) bool {
	for _, c := range w.sent {
		if c.node == i && !c.givenUp {
			return false
		}
	}
	return true
}

// step lets one thing happen, by two bytes.
func (w *world) step(what, which byte) {
	w.now++
	i := int(which) % len(w.has)
	switch {
	case what < 8:
		w.has[i] = false
	case what < 12:
		w.taken[i] = !w.has[i] && !w.taken[i]
	case what < 50:
		w.begin(time.Hour * time.Duration(1000+int(which)/250))
	case what < 110:
		w.carryOut(int(which))
	case what < 185:
		w.answer(int(which))
	case what < 200:
		if len(w.sent) > 0 {
			c := &w.sent[int(which)%len(w.sent)]
			c.givenUp = c.givenUp || c.round != nil
		}
	case what < 220:
		w.giveUp()
	default:
		w.commit(which%4 > 0)
	}
	had := 0
	for i, has := range w.has {
		if has {
			had++
		}
		w.missed[i] = w.missed[i] || !has
	}
	if w.broken == 0 && had < quorum.Size(len(w.has)) {
		w.broken = w.now
	}
}

func (w *world) begin(ttl time.Duration) {
	if w.live != nil || w.success != nil {
		return
	}
	x := &Round{Start: w.clock.Now(), TTL: ttl}
	w.live, w.tally = x, w.ledger.Begin(x)
	w.begun[x] = w.now
	for i := range w.has {
		if !w.ledger.Away(i) && w.mayFollow(i) {
			w.sent = append(w.sent, command{node: i, round: x})
		}
	}
}

func (w *world) carryOut(which int) {
	if len(w.sent) == 0 {
		return
	}
	c := &w.sent[which%len(w.sent)]
	switch i := c.node; {
	case c.said != node.None:
	case c.round == nil && w.taken[i]:
		c.said = node.Refused
	case c.round == nil:
		w.has[i], c.said = true, node.Granted
	case w.has[i]:
		c.said = node.Extended
	case w.taken[i]:
		c.said = node.Taken
	default:
		c.said = node.Gone
	}
}

func (w *world) answer(which int) {
	if len(w.sent) == 0 {
		return
	}
	which %= len(w.sent)
	c := w.sent[which]
	if c.said == node.None {
		return
	}
	w.sent = append(w.sent[:which:which], w.sent[which+1:]...)
	switch {
	case c.round != nil:
		w.note(c)
	case c.said != node.Granted:
	case c.acquire:
		require.False(w.t, w.ledger.Granted(c.node, w.clock.Now().Moment()))
		w.ledger.Freshen(c.node)
	default:
		w.ledger.Freshen(c.node)
	}
}

func (w *world) note(c command) {
	follows := w.ledger.Note(c.round, c.node, c.said)
	switch {
	case follows.Again != nil:
		w.arm(func(i int) bool { return i == c.node })
	case follows.Fresh:
		w.ledger.Freshen(c.node)
	}
	if c.round != w.live {
		return
	}
	switch c.said {
	case node.Extended:
		if w.ledger.Counts(c.node) {
			w.tally.Held++
		}
	default:
		w.tally.Gone++
	}
	switch w.tally.Outcome(len(w.has)) {
	case quorum.Extended:
		w.live, w.success = nil, c.round
	case quorum.Lost:
		w.lost()
	default:
	}
}

func (w *world) giveUp() {
	if w.live != nil {
		w.ledger.GiveUp(w.live)
		w.live = nil
	}
}

// commit commits what was a success, or is one by the votes of several rounds.
func (w *world) commit(arms bool) {
	if w.live != nil {
		return
	}
	if w.success == nil {
		o, x := w.ledger.Verdict(1000 * time.Hour)
		if o == quorum.Lost {
			w.lost()
		}
		if o != quorum.Extended {
			return
		}
		w.success = x
	}
	x := w.success
	w.success = nil
	require.True(w.t, w.broken == 0 || w.broken > w.begun[x], "no majority has had the value all the time until round %d began", x.number)
	w.ledger.Commit(x)
	if arms && w.ledger.Arm(x) {
		w.arm(func(int) bool { return true })
	}
}

func (w *world) arm(wanted func(int) bool) {
	for i := range w.has {
		if w.ledger.Empty(i) && wanted(i) && w.mayFollow(i) {
			w.sent = append(w.sent, command{node: i})
			w.ledger.Armed(i)
		}
	}
}

// lost ends the lock. More nodes than a majority can spare have been without the value. It may
// be back on some: what they said before that may come after it.
func (w *world) lost() {
	w.over = true
	missed := 0
	for i := range w.has {
		if w.missed[i] {
			missed++
		}
		require.True(w.t, w.missed[i] || !w.ledger.Away(i), "node %d has had the value all the time", i)
	}
	require.Greater(w.t, missed, quorum.Spare(len(w.has)))
}

// play lets things happen as data says: the first byte is how many nodes there are, and on
// which of them an acquire is late, every two more are a step.
func play(t *testing.T, data []byte) (w *world) {
	t.Helper()
	w = newWorld(t, int(data[0]%4)+2, data[0]>>2)
	for data = data[1:]; len(data) >= 2 && !w.over; data = data[2:] {
		w.step(data[0], data[1])
	}
	return w
}

func FuzzRounds(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte{1, 2, 0, 3, 0, 3, 1, 6, 0, 6, 0, 11, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 0 {
			play(t, data)
		}
	})
}

func TestNoRoundSucceedsAfterNoMajorityHadTheValue(t *testing.T) {
	random, data := rand.NewChaCha8([32]byte{}), make([]byte, 1+2*200)
	commits, lost, broken := 0, 0, 0
	for range 5_000 {
		_, _ = random.Read(data) // the same each time
		w := play(t, data)
		commits += w.ledger.successes
		if w.over {
			lost++
		}
		if w.broken > 0 {
			broken++
		}
	}
	assert.Greater(t, commits, 2000)
	assert.Greater(t, lost, 500)
	assert.Greater(t, broken, 500)
}
