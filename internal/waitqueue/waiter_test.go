package waitqueue

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

var start = time.Unix(1_000_000, 0)

// A caller plays one that waits: at is its clock.
type caller struct {
	Waiter
	at time.Time
	in Facts
}

// newCaller returns one that waits in line by the default schedule, 10 × 400 ms, and draws the
// middle of each pause.
func newCaller() *caller {
	c := &caller{at: start, in: Facts{Random: middle, Gate: true, Well: true, Listens: true, Pace: 400 * ms}}
	c.Schedule = Schedule{Retries: 10, Delay: 400 * ms, Jitter: 400 * ms, Began: start}
	c.Queues = true
	return c
}

func middle() float64 { return 0.5 }

// tries makes an attempt that took a millisecond, and returns how long it is until the next
// one, or a negative number if there is none.
func (c *caller) tries(g Gate, res round.Result) time.Duration {
	c.Count(c.at)
	if c.UsesLine(&g) {
		c.Plan(c.at, &g, true, "")
	}
	c.at = c.at.Add(ms)
	c.Learn(c.at, middle, &res)
	c.in.Now = c.at
	in := c.in
	in.Unknown = in.Unknown || res.TimedOut
	if !c.Next(ms, &res, &in) {
		return -1
	}
	return c.Ask().Sub(c.at)
}

// waits is tries, again and again until d has passed, each time when it is due.
func (c *caller) waits(d time.Duration, g Gate, res round.Result) (pauses []time.Duration) {
	for end := c.at.Add(d); c.at.Before(end); {
		pause := c.tries(g, res)
		if pause < 0 {
			return pauses
		}
		c.at = c.at.Add(pause)
		pauses = append(pauses, pause)
	}
	return pauses
}

// What attempts may find.
var (
	heldBySomeone = round.Result{Outcome: quorum.Held, Refused: 2, RetryAfter: sec, Holder: round.Rival{Mark: "aaaaaaaa"}}
	unanswered    = round.Result{Outcome: quorum.Unavailable, TimedOut: true}
	inLineAt      = func(rank int) round.Result {
		return round.Result{
			Outcome: quorum.Held, GateOnly: true, Refused: 1, RetryAfter: 10 * sec,
			Gate: round.Answer{Refused: true, Left: 10 * sec, Rank: rank, Holder: "aaaaaaaa", Came: "1"},
		}
	}
	reserved = round.Result{
		Outcome: quorum.Held, GateOnly: true, Refused: 1,
		Gate: round.Answer{Refused: true, Left: 30 * ms, Reserved: true, Came: "1"},
	}
	gateAlone = round.Result{Outcome: quorum.Split, Agreed: 1, Refused: 1, Gate: round.Answer{Granted: true}}
)

func TestWhoIsRefusedAsksAgainAtOnceToJoinTheLine(t *testing.T) {
	c := newCaller()
	assert.False(t, c.UsesLine(&Gate{}), "the first try on a quiet resource is one round")
	assert.Zero(t, c.tries(Gate{}, heldBySomeone))
	assert.True(t, c.UsesLine(&Gate{}))
	ticket := c.Plan(c.at, &Gate{}, true, "")
	assert.Equal(t, round.Now, ticket.Came)
	assert.True(t, ticket.InTurn, "the gate is asked first")
	assert.True(t, c.Joined())
	assert.Equal(t, "1", func() string {
		c.Learn(c.at, middle, new(inLineAt(3)))
		return c.Plan(c.at, &Gate{}, true, "").Came
	}(), "it keeps its place")
}

func TestWithoutAGateOrALineACallPollsByItsSchedule(t *testing.T) {
	for name, change := range map[string]func(c *caller){
		"no gate": func(c *caller) { c.in.Gate, c.in.Well, c.in.Listens = false, false, false },
		"no line": func(c *caller) { c.Queues, c.in.Listens, c.in.Well = false, false, false },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCaller()
			change(c)
			pauses := c.waits(time.Minute, Gate{Silent: true}, heldBySomeone)
			assert.Len(t, pauses, 10)
			assert.Equal(t, 11, c.Attempts())
			assert.InDelta(t, 4*sec, c.at.Sub(start), float64(20*ms))
		})
	}
}

func TestWhoIsBehindInTheLineAsksSeldomAndWhoIsFirstAsItsDelaySays(t *testing.T) {
	for _, tt := range []struct {
		name        string
		res         round.Result
		least, most time.Duration
	}{
		{"first, at once", inLineAt(0), 50 * ms, 50 * ms},
		{"tenth", inLineAt(10), 200 * ms, 200 * ms},
		{"hundredth", inLineAt(100), 2 * sec, 2 * sec},
		{"reserved for another one", reserved, 30 * ms, 32 * ms},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCaller()
			c.tries(Gate{}, heldBySomeone)
			pause := c.tries(Gate{}, tt.res)
			assert.GreaterOrEqual(t, pause, tt.least)
			assert.LessOrEqual(t, pause, tt.most)
		})
	}
}

func TestTheFirstInLineFindsAnEndThatNobodyTellsOfSoonForTheAgeOfTheLock(t *testing.T) {
	c := newCaller()
	c.Retries, c.Delay, c.Jitter = Forever, 0, 0
	c.in.Pace = 0
	c.tries(Gate{}, heldBySomeone)
	held := c.at
	asked := 0
	for c.at.Sub(held) < 10*sec {
		age := c.at.Sub(held)
		pause := c.tries(Gate{}, inLineAt(0))
		assert.LessOrEqual(t, pause, max(age/agePerPoll, 2*ms), "after %v", age)
		assert.LessOrEqual(t, pause, maxAgePoll)
		c.at = c.at.Add(pause)
		asked++
	}
	t.Logf("%d looks in ten seconds", asked)
	last := c.tries(Gate{}, inLineAt(0))
	assert.Equal(t, maxAgePoll, last)
}

func TestTheFirstInTheLineOfAGateThatIsFarAwayRenewsItsReservationInTime(t *testing.T) {
	c := newCaller()
	c.in.Renewal = 30 * ms
	c.tries(Gate{}, heldBySomeone)
	assert.Equal(t, 30*ms, c.tries(Gate{}, inLineAt(0)))
	assert.Greater(t, c.tries(Gate{}, inLineAt(1)), 30*ms, "nothing is reserved for others")
}

func TestWhoHasTheGateAloneAsksAgainSoonButNotForEver(t *testing.T) {
	c := newCaller()
	c.tries(Gate{}, heldBySomeone)
	c.tries(Gate{}, inLineAt(0))
	res := gateAlone
	res.Outcome = quorum.Held
	var pauses []time.Duration
	for range maxAlone + 1 {
		pauses = append(pauses, c.tries(Gate{Entered: true}, res))
	}
	assert.Equal(t, []time.Duration{4 * ms, 8 * ms, 16 * ms, 32 * ms}, pauses[:maxAlone])
	assert.Greater(t, pauses[maxAlone], 32*ms)
}

func TestTiesAreTriedAgainSoonAndSixTimesInARow(t *testing.T) {
	c := newCaller()
	c.tries(Gate{}, gateAlone)
	split := round.Result{Outcome: quorum.Split, Agreed: 1, Refused: 1}
	for n := range maxSplits {
		assert.Equal(t, quorum.SplitPause(ms, n, 0.5), c.tries(Gate{Silent: true}, split), n)
	}
	c.in.Well = false
	assert.Greater(t, c.tries(Gate{Silent: true}, split), 50*ms, "the next one counts as a refusal")
}

func TestWhoIsInLineAsksAgainSoonThoughItsDelayIsLongAndTheGateDoesNotAnswer(t *testing.T) {
	c := newCaller()
	c.Retries, c.Delay, c.Jitter, c.in.Pace = Forever, time.Hour, 0, time.Hour
	c.tries(Gate{}, heldBySomeone)
	c.tries(Gate{}, inLineAt(0))
	require.True(t, c.Heed(Called))
	c.in.Well = false // it was called, and its attempt was not answered in time
	assert.LessOrEqual(t, c.tries(Gate{Slow: true}, unanswered), 400*ms)
	assert.LessOrEqual(t, c.tries(Gate{Silent: true}, unanswered), 400*ms)
}

func TestTheLastAttemptAsksAllNodesAndOneThatIsWokenBeforeDoesNot(t *testing.T) {
	c := newCaller()
	c.tries(Gate{}, heldBySomeone)
	c.at = start.Add(4*sec - 10*ms)
	pause := c.tries(Gate{}, inLineAt(3))
	assert.Equal(t, 9*ms, pause, "the wait ends with one more attempt")
	assert.False(t, c.Plan(c.at, &Gate{}, true, "").InTurn)
	c.Early()
	assert.True(t, c.Plan(c.at, &Gate{}, true, "").InTurn)
	c.at = start.Add(4 * sec)
	assert.Zero(t, c.tries(Gate{}, inLineAt(3)), "the gate alone was asked")
	assert.Negative(t, c.tries(Gate{}, heldBySomeone))
}

// What is left of the wait is less than that attempt has taken, and enough for one as usual.
func TestAnAttemptInWhichNodesHaveHungEndsNoWait(t *testing.T) {
	for _, hung := range []bool{false, true} {
		c := newCaller()
		c.MaxWait = sec
		c.Count(c.at)
		c.at = c.at.Add(900 * ms)
		c.Learn(c.at, middle, &heldBySomeone)
		c.in.Now, c.in.Unknown = c.at, hung
		assert.Equal(t, hung, c.Next(900*ms, &heldBySomeone, &c.in))
	}
}

func TestWithMaxWaitTheLastAttemptHasTimeToEnd(t *testing.T) {
	c := newCaller()
	c.MaxWait = sec
	c.tries(Gate{Silent: true}, heldBySomeone)
	c.in.Well, c.in.Listens = false, false
	c.at = start.Add(900 * ms)
	assert.LessOrEqual(t, c.tries(Gate{Silent: true}, heldBySomeone), 97*ms, "two round trips before the end")
	c.at = start.Add(sec - ms)
	assert.Negative(t, c.tries(Gate{Silent: true}, heldBySomeone), "it would be cut off")
}

func TestAGateIsAskedFirstUnlessThereIsAReasonToAskAll(t *testing.T) {
	for name, change := range map[string]func(c *caller, g *Gate){
		"silent":  func(_ *caller, g *Gate) { g.Silent = true },
		"slow":    func(_ *caller, g *Gate) { g.Slow = true },
		"doubted": func(_ *caller, g *Gate) { g.Doubted = true },
		"stale":   func(_ *caller, g *Gate) { g.Stale = "bbbbbbbb" },
		"called":  func(c *caller, _ *Gate) { c.Heed(Called) },
		"doubted by this one": func(c *caller, _ *Gate) {
			c.at = c.at.Add(minTrust * 3)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, g := newCaller(), Gate{Entered: true}
			c.tries(Gate{}, heldBySomeone)
			c.tries(Gate{}, inLineAt(0))
			assert.True(t, c.Plan(c.at, &g, true, "").InTurn)
			change(c, &g)
			assert.False(t, c.Plan(c.at, &g, true, "").InTurn)
		})
	}
}

func TestWhatTheOthersConfirmIsBelievedAnew(t *testing.T) {
	c := newCaller()
	c.tries(Gate{}, heldBySomeone)
	c.tries(Gate{}, inLineAt(0))
	c.at = c.at.Add(10 * sec)
	require.True(t, c.view.Doubts(c.at))
	res := inLineAt(0)
	res.GateOnly, res.Holder.Mark = false, "aaaaaaaa"
	c.tries(Gate{}, res)
	assert.False(t, c.view.Doubts(c.at))
	assert.Greater(t, c.view.Age(c.at), 10*sec)
	res = heldBySomeone // the others were quicker than the gate
	c.at = c.at.Add(10 * sec)
	c.tries(Gate{}, res)
	assert.False(t, c.view.Doubts(c.at))
	res.Holder.Mark = "bbbbbbbb"
	c.at = c.at.Add(10 * sec)
	c.tries(Gate{}, res)
	assert.True(t, c.view.Doubts(c.at))
}

func TestWhoLooksAtAGateThatHasLostTheLockGoesByTheAgeOfItsHolder(t *testing.T) {
	c := newCaller()
	c.Retries, c.Delay, c.Jitter, c.in.Pace = Forever, 0, 0, 0
	c.tries(Gate{}, heldBySomeone)
	c.tries(Gate{}, inLineAt(0))
	lost := heldBySomeone
	lost.RetryAfter = time.Hour
	lost.Gate = round.Answer{Refused: true, Empty: true, Left: -1, Came: "1"}
	c.at = c.at.Add(10 * sec)
	assert.Equal(t, 400*ms, c.tries(Gate{}, lost), "each look is one at other nodes, too")
	assert.Greater(t, c.view.Age(c.at), 10*sec)
	assert.False(t, c.view.Doubts(c.at))
	lost.RetryAfter = 18 * ms
	assert.Equal(t, 19*ms, c.tries(Gate{}, lost), "it has run out at the gate first")
	lost.RetryAfter, lost.Holder.Mark = time.Hour, "bbbbbbbb"
	assert.Equal(t, 50*ms, c.tries(Gate{}, lost), "there is a new one")
}

func TestOnlyTheFirstInLineIsHurriedByThoseBehindItHere(t *testing.T) {
	c := newCaller()
	c.tries(Gate{}, heldBySomeone)
	c.tries(Gate{}, inLineAt(0))
	assert.True(t, c.Heed(Hurry))
	c.tries(Gate{}, inLineAt(2))
	assert.False(t, c.Heed(Hurry))
	assert.True(t, c.Heed(Called))
	assert.True(t, c.Heed(Turn))
}

func TestSeveralResourcesAreLeftToThoseWhoAreCalledThreeTimesInARow(t *testing.T) {
	c := newCaller()
	c.Queues = false
	res := round.Result{Outcome: quorum.Held, Refused: 1, Gate: round.Answer{Reserved: true}}
	assert.False(t, c.Yields(false))
	assert.True(t, c.Yields(true))
	for range maxYields {
		c.LearnSeveral(&round.Plan{Yields: true}, &res)
	}
	assert.False(t, c.Yields(true))
	c.LearnSeveral(&round.Plan{}, &heldBySomeone)
	assert.True(t, c.Yields(false))
}

// FuzzNext has a call go through any results. It is never told to wait for longer than it
// has, nor to ask before now, and it makes no more attempts than its schedule has.
func FuzzNext(f *testing.F) {
	f.Add(10, int64(400*ms), int64(0), []byte{0, 1, 2, 3, 4, 5})
	f.Add(-1, int64(0), int64(sec), []byte{5, 4, 3, 3, 3, 3, 3})
	f.Add(3, int64(math.MaxInt64), int64(math.MaxInt64), []byte{1, 1, 1})
	f.Fuzz(func(t *testing.T, retries int, delay, maxWait int64, finds []byte) {
		c := newCaller()
		c.Retries, c.MaxWait = max(retries, Forever), time.Duration(max(maxWait, 0))
		c.Delay = time.Duration(max(delay, 0))
		c.Jitter, c.in.Pace = c.Delay, c.Delay
		results := []round.Result{heldBySomeone, unanswered, inLineAt(0), inLineAt(7), reserved, gateAlone}
		for _, b := range finds {
			left := c.Left(c.at)
			pause := c.tries(Gate{Entered: b&64 != 0, Slow: b&32 != 0, Silent: b&16 != 0}, results[int(b&15)%len(results)])
			if pause < 0 {
				break
			}
			require.LessOrEqual(t, pause, left)
			if c.Retries != Forever && c.MaxWait == 0 {
				require.LessOrEqual(t, c.Attempts()-1, c.Retries)
			}
			if c.at = c.at.Add(pause); c.at.Sub(start) > 1000*time.Hour {
				break
			}
		}
	})
}
