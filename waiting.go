package redlock

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/b0401464/redlock/internal/line"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
)

// A wait is where a request stands in the lines for its resource: the one in its
// Locker, and the one of Lockers that the gate keeps.
type wait struct {
	until time.Time // the end of the present pause of the retry schedule
	ask   time.Time // when to try again although nobody says that there is a reason

	refused bool          // somebody else has been found to have the resource
	hurried bool          // it has tried again at once to join the line
	called  bool          // the gate has told this Locker that it is the next one
	gate    int           // the node that keeps the line; set with listens
	listens bool          // Unlisten is owed
	ready   chan struct{} // closed when the node has confirmed that it listens
	joined  bool          // it may be in that line
	came    string        // when the gate saw it first; empty if it has not said so
	belief  line.Belief   // in what the gate says
	deaf    int           // attempts while it waited for the confirmation that the node listens
	rank    int           // how many were before it when the gate said so last
	denied  int           // attempts in a row in which the gate alone has granted
	yielded int           // attempts in which several resources were left to one that was called

	counted bool // it counts as waiting
}

// queues reports whether the request waits in line with others. One that has a
// single attempt does not wait for anybody, and one for several resources asks
// again now and then.
func (r *request) queues() bool { return !r.several() && !r.single() }

// stand waits for the request's turn in its Locker. The wait is bounded as if it were
// spent with pauses between attempts.
func (r *request) stand(ctx context.Context, mayGo func() bool) error {
	r.countWaiting(ctx)
	for !mayGo() {
		left := r.left()
		if left == 0 || !r.advance(minRetry) {
			return r.fail(ErrNotAcquired, nil, r.kinds()...)
		}
		if _, err := r.sleep(ctx, min(r.untilRetry(), left)); err != nil {
			return err
		}
	}
	return nil
}

// ticket says how the next attempt deals with the line that the gate keeps, and
// whether it asks the gate before the other nodes.
func (r *request) ticket(ctx context.Context) round.Ticket {
	l, w := r.locker, &r.wait
	if r.several() {
		return round.Ticket{Gate: round.NoGate, Yields: r.yields()}
	}
	gate := l.fleet.Gate(r.resource)
	if gate == round.NoGate {
		return round.Ticket{Gate: round.NoGate}
	}
	t, timeout := round.Ticket{Gate: gate}, r.call.timeout(r.ttl)
	silent := l.fleet.Silent(gate, timeout)
	if r.hold.place.Entered() {
		w.joined, w.hurried = true, true // by the one before in this Locker, perhaps
	} else if silent || !w.refused && !l.memory.Contended(r.resource) {
		return t // the first try on a quiet resource is one round
	}
	r.heed()
	t.Called = w.called && w.joined && !silent
	w.called = false
	if r.queues() && (!silent && r.hears(ctx, gate, timeout) || w.joined) {
		w.joined = true
		r.hold.place.Enter(gate)
		t.Came = cmp.Or(w.came, round.Now)
	}
	t.InTurn = !t.Called && !silent && !l.fleet.Slow(gate) && !w.belief.Doubts() && !l.memory.Doubts(r.resource)
	return t
}

// Bounds of how long a Locker believes a gate that names the same holder. The
// first ones in the line look into that more often.
const (
	minFaith     = 500 * time.Millisecond
	faithPerRank = 100 * time.Millisecond
)

// hears reports whether the request will be told when it is its turn. The
// first time it waits for the confirmation of that.
func (r *request) hears(ctx context.Context, gate int, timeout time.Duration) bool {
	l, w := r.locker, &r.wait
	if w.listens {
		return isClosed(w.ready)
	}
	w.listens, w.gate = true, gate
	w.ready = l.ears.Listen(gate) //nolint:contextcheck // it listens for others, too
	if isClosed(w.ready) {
		return true
	}
	patience := l.ears.Patience(gate, timeout)
	d := min(patience, r.left()/4)
	if d <= 0 {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-w.ready:
		return true
	case <-timer.C:
		if d == patience {
			l.ears.InVain(gate)
		}
	case <-ctx.Done():
	case <-l.closing:
	}
	return false
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// learn takes note of what an attempt has told about the lines.
func (r *request) learn(t round.Ticket, res round.Result) {
	w := &r.wait
	if r.several() {
		w.learnAll(t, res)
		return
	}
	if !res.Gate.Refused && res.Outcome == quorum.Acquired {
		w.joined = false // it is not in the line any more, or leaves it with its release
		r.hold.place.Quit()
	}
	if res.Outcome == quorum.Acquired && t.Came != "" {
		// The release will tell if that is not so; the next try may come before.
		r.locker.memory.Others(r.resource, true)
	}
	if res.Gate.Granted || res.Outcome == quorum.Acquired {
		w.belief = line.Belief{}
		r.locker.memory.Disbelieve(r.resource)
	}
	if res.Refused > 0 && res.Outcome != quorum.Acquired {
		w.refused = true
		r.locker.memory.Note(r.resource)
	}
	if w.denied++; !res.Gate.Granted {
		w.denied = 0
	}
	if res.Gate.Refused {
		w.came = cmp.Or(res.Gate.Came, w.came)
		w.rank = max(res.Gate.Rank, 0)
		faith := r.faith()
		w.belief.Saw(res.Gate.Holder, faith)
		r.locker.memory.Saw(r.resource, res.Gate.Holder, faith)
	}
	if !t.InTurn && res.Outcome == quorum.Held {
		faith := r.faith()
		w.belief.Confirm(faith)
		r.locker.memory.Confirm(r.resource, faith)
	}
}

func (r *request) faith() time.Duration {
	faith := minFaith + time.Duration(r.wait.rank)*faithPerRank
	return time.Duration((0.75 + random()/2) * float64(faith))
}

// leaveLines gives up what the request has of the lines.
func (r *request) leaveLines(ctx context.Context) {
	l, w := r.locker, &r.wait
	if gate, owed := r.hold.leaveLine(); owed {
		l.fleet.LeaveLine(ctx, r.resource, newValue(), gate, r.call.timeout(r.ttl))
	}
	if w.listens {
		l.ears.Unlisten(w.gate)
	}
	if w.counted {
		t := l.telemetry
		t.add(ctx, t.waiting, -1, r.attrs)
	}
}

// countWaiting counts the caller as waiting, until leaveLines.
func (r *request) countWaiting(ctx context.Context) {
	if !r.wait.counted {
		r.wait.counted = true
		t := r.locker.telemetry
		t.add(ctx, t.waiting, 1, r.attrs)
	}
}

// minRetry is what a retry takes at least that is spent in line: without one it would
// take as long as its attempt.
const minRetry = time.Millisecond

// advance moves the retry schedule on, by at least so much. It reports false if that is
// over.
func (r *request) advance(least time.Duration) bool {
	now := time.Now()
	if now.Before(r.wait.until) {
		return true
	}
	if r.retriesLeft() == 0 {
		return false
	}
	r.retries++
	r.wait.until = now.Add(max(quorum.Delay(r.call.delay, r.call.jitter, random()), least))
	return true
}

// untilRetry returns when the retry schedule moves on.
func (r *request) untilRetry() time.Duration {
	if r.call.retries == Forever {
		return math.MaxInt64
	}
	return time.Until(r.wait.until)
}

// next decides when to try again after an attempt. It reports false if there is
// to be no other one.
func (r *request) next(attempt time.Duration, res round.Result) bool {
	w := &r.wait
	pause := time.Duration(0)
	switch {
	case r.retriesLeft() != 0 && r.joins():
		w.hurried = true
	case r.last.Outcome == quorum.Split && r.retriesLeft() != 0 && r.splits < maxSplits:
		r.splits++
		pause = quorum.SplitPause(attempt, r.splits-1, random())
		if w.joined && res.RetryAfter > 0 {
			pause = min(pause, res.RetryAfter+time.Millisecond) // Redis deletes a key in the millisecond after its last one
		}
	case !r.advance(0):
		return false
	default:
		r.splits = 0
		pause = r.linePause(res)
	}
	left := r.left()
	if left <= 0 {
		return false
	}
	// A pause that would outlast WithMaxWait is cut so that one more attempt, which
	// takes about as long as the last one, ends the wait.
	w.ask = time.Now().Add(max(min(pause, left-2*attempt), 0))
	return true
}

// joins reports whether the next attempt takes a place in the line.
func (r *request) joins() bool {
	w := &r.wait
	return w.refused && !w.joined && !w.hurried && r.queues() && r.locker.fleet.Gate(r.resource) != round.NoGate
}

// A Locker that the gate has granted the resource, and the others have not, asks
// again sooner at first: the release of the one before may be on its way to them.
const (
	deniedPause = 2 * time.Millisecond
	maxDenied   = 4
)

// maxDeaf is how often a Locker asks again soon while it waits for the confirmation
// that it will be told. A node may never give it.
const maxDeaf = 4

// linePause returns how long to wait before the next attempt if nobody says
// earlier that there is a reason for it.
func (r *request) linePause(res round.Result) time.Duration {
	w := &r.wait
	age := w.belief.Age()
	if res.Gate.Reserved {
		age = 0
	}
	switch {
	case w.joined && res.Gate.Refused:
		return r.inLine(quorum.LinePause(res.Gate.Left, res.Gate.Rank, age, random()), res.Gate.Reserved)
	case w.joined && res.Gate.Granted && w.denied <= maxDenied:
		return time.Duration((0.75 + random()/2) * float64(deniedPause<<w.denied))
	case w.joined && res.RetryAfter > 0 && r.gateIsWell():
		return r.inLine(quorum.LinePause(res.RetryAfter, w.rank, age, random()), false)
	case w.listens && w.deaf < maxDeaf && r.gateIsWell():
		if !w.joined {
			w.deaf++
		}
		return min(r.polls(), quorum.LinePause(-1, 0, 0, random()))
	}
	return r.polls()
}

// gateIsWell reports whether there is a gate that may still tell this Locker when it
// is its turn.
func (r *request) gateIsWell() bool {
	f := r.locker.fleet
	gate := f.Gate(r.resource)
	return gate != round.NoGate && !f.Slow(gate) && !f.Silent(gate, r.call.timeout(r.ttl))
}

// inLine returns the pause of one that is told when it is its turn. Nobody tells the
// first one of the release of another library's lock.
func (r *request) inLine(pause time.Duration, reserved bool) time.Duration {
	if r.wait.rank > 0 || reserved {
		return pause
	}
	return min(pause, r.polls())
}

// polls returns the pause of the retry schedule, or the one of somebody behind in
// this Locker who would try more often.
func (r *request) polls() time.Duration {
	pause := time.Until(r.wait.until)
	if pace := r.hold.place.Pace(); !r.several() && pace < r.call.delay {
		pause = min(pause, time.Duration((0.75+random()/2)*float64(pace)))
	}
	return pause
}

// retriesLeft returns how many retries are left, or Forever.
func (r *request) retriesLeft() int {
	switch {
	case r.once:
		return 0
	case r.call.retries == Forever:
		return Forever
	}
	return r.call.retries - r.retries
}

// random returns a number in [0, 1).
func random() float64 {
	return rand.Float64() //nolint:gosec // spreads pauses; nothing secret depends on it
}

// left returns how much of WithMaxWait is left.
func (r *request) left() time.Duration {
	if r.call.maxWait == 0 {
		return math.MaxInt64
	}
	return max(r.call.maxWait-time.Since(r.began), 0)
}

// rest waits until the next attempt is due, or the last one if the retry schedule
// ends before.
func (r *request) rest(ctx context.Context) error {
	for {
		woken, err := r.sleep(ctx, min(time.Until(r.wait.ask), r.untilRetry()))
		if err != nil || woken && r.heed() {
			return err
		}
		if !woken && (!time.Now().Before(r.wait.ask) || !r.advance(minRetry)) {
			return nil
		}
	}
}

// heed reports whether what the request was woken for is a reason to try. Who has
// others before it in the line that the gate keeps is told when it is its turn.
func (r *request) heed() bool {
	if r.several() {
		return r.hold.group.May()
	}
	w, why := &r.wait, r.hold.place.Why()
	w.called = w.called || why&line.Called != 0
	return why&(line.Turn|line.Called) != 0 || why&line.Hurry != 0 && (!w.joined || w.rank == 0)
}

// past is the channel of a timer that has fired.
var past = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

// sleep waits for d, or until there is a reason to look again: a lock of this
// Locker has ended, the gate says that it is this one's turn, or somebody behind
// it is in a hurry.
func (r *request) sleep(ctx context.Context, d time.Duration) (woken bool, err error) {
	due := past
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
		return false, nil
	case <-r.hold.woken():
		return true, nil
	case <-ctx.Done():
		return false, r.interrupted(ctx)
	case <-r.locker.closing:
		return false, r.fail(ErrShutdown, nil)
	}
}
