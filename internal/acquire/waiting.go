package acquire

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/b0401464/redlock/internal/fault"
	"github.com/b0401464/redlock/internal/lease"
	"github.com/b0401464/redlock/internal/notify"
	"github.com/b0401464/redlock/internal/round"
	"github.com/b0401464/redlock/internal/value"
	"github.com/b0401464/redlock/internal/waitqueue"
)

// A wait is what a request does while it waits: what its Waiter decides, and what that takes.
type wait struct {
	waitqueue.Waiter

	gate    int           // the node that keeps the line; set with listens
	listens bool          // Unlisten is owed
	ready   chan struct{} // closed when the node has confirmed that it listens
	before  *round.Grant  // of the last attempt
	counted bool          // it counts as waiting
}

// queues reports whether the request waits in line with others. One that has a
// single attempt does not wait for anybody, and one for several resources asks
// again now and then.
func (r *Request) queues() bool { return !r.several() && !r.Single() }

// stand waits for the request's turn in its Locker. The wait is bounded as if it were
// spent with pauses between attempts.
func (r *Request) stand(ctx context.Context, mayGo func() bool) *fault.Fault {
	r.countWaiting(ctx)
	for !mayGo() {
		left := r.left()
		if left <= 0 {
			return r.giveUp()
		}
		r.recheck(ctx, false)
		if _, f := r.sleep(ctx, min(left, lease.RecheckAfter)); f != nil {
			return f
		}
	}
	return nil
}

// plan says how the next attempt deals with the line that the gate keeps, and
// whether it asks the gate before the other nodes.
func (r *Request) plan(ctx context.Context) round.Plan {
	l, w := r.calls, &r.wait
	contended := l.Memory.Contended(!r.Single(), r.Hold.Resources...)
	if r.several() {
		yields := w.Yields(contended)
		return round.Plan{Gate: round.NoGate, Yields: yields, Holder: r.knownHolder(false)}
	}
	gate := l.Nodes.Gate(r.resource)
	if gate == round.NoGate {
		return round.Plan{Gate: round.NoGate, Holder: r.knownHolder(false), Contended: contended || r.tries > 0}
	}
	timeout := r.timeout()
	g := waitqueue.Gate{
		Node: gate, Silent: l.Nodes.Silent(gate, timeout), Entered: r.Hold.Place.Entered(), Contended: contended,
	}
	if !w.UsesLine(&g) {
		return round.Plan{Gate: gate, Contended: contended || r.tries > 0}
	}
	w.Heed(r.Hold.Place.Why())
	heard := w.Queues && !g.Silent && r.hears(ctx, gate, timeout)
	g.Slow, g.Doubted = l.Nodes.Slow(gate), l.Memory.Doubts(r.resource)
	g.Stale = l.Memory.Stale(r.resource, max(timeout, longestAttempt))
	t := w.Plan(time.Now(), &g, heard, w.before.Came())
	if t.Came != "" {
		r.Hold.Place.Enter(gate)
	}
	t.Holder, t.Contended = r.knownHolder(t.Called), true
	return t
}

// longestAttempt is how long at least a value is at the gate that is taken for left
// over, and not for that of an attempt: as long as the default of the node timeout.
const longestAttempt = time.Second

// hears reports whether the request will be told when it is its turn. The
// first time it waits for the confirmation of that.
func (r *Request) hears(ctx context.Context, gate int, timeout time.Duration) bool {
	l, w := r.calls, &r.wait
	if w.listens {
		return notify.Confirmed(w.ready)
	}
	w.listens, w.gate = true, gate
	w.ready = l.Listeners.Listen(gate) //nolint:contextcheck // it listens for others, too
	if notify.Confirmed(w.ready) {
		return true
	}
	patience := l.Listeners.Patience(gate, timeout)
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
			l.Listeners.InVain(gate)
		}
	case <-ctx.Done():
	case <-l.Count.Closing():
	}
	return false
}

// leaveLines gives up what the request has of the lines.
func (r *Request) leaveLines(ctx context.Context) {
	l, w := r.calls, &r.wait
	if gate, owed := r.leaveLine(); owed {
		l.Nodes.LeaveLine(ctx, r.resource, value.New(), gate, r.timeout())
	}
	if w.listens {
		l.Listeners.Unlisten(w.gate)
	}
	if w.counted {
		l.Telemetry.CountWaiting(ctx, -1, r.Hold.Attrs)
	}
}

// countWaiting counts the caller as waiting, until leaveLines.
func (r *Request) countWaiting(ctx context.Context) {
	if !r.wait.counted {
		r.wait.counted = true
		r.calls.Telemetry.CountWaiting(ctx, 1, r.Hold.Attrs)
	}
}

// rest waits until the next attempt is due, or there is a reason for one.
func (r *Request) rest(ctx context.Context) *fault.Fault {
	for {
		woken, f := r.sleep(ctx, time.Until(r.wait.Ask()))
		if f != nil || !woken {
			return f
		}
		if r.heed() {
			r.wait.Early()
			return nil
		}
	}
}

// heed reports whether what the request was woken for is a reason to try.
func (r *Request) heed() bool {
	if r.several() {
		return r.Hold.Group.May()
	}
	return r.wait.Heed(r.Hold.Place.Why())
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
func (r *Request) sleep(ctx context.Context, d time.Duration) (woken bool, f *fault.Fault) {
	due := past
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
		return false, nil
	case <-r.woken():
		return true, nil
	case <-ctx.Done():
		return false, r.interrupted(ctx)
	case <-r.calls.Count.Closing():
		return false, r.fail(nil, fault.Shutdown)
	}
}

// next decides when to try again after an attempt. It reports false if there is to be no
// other one.
func (r *Request) next(took time.Duration, res *round.Result) bool {
	f, gate := r.calls.Nodes, r.calls.Nodes.Gate(r.resource)
	s := waitqueue.Facts{
		Now: time.Now(), Random: rand.Float64, Gate: gate != round.NoGate, Listens: r.wait.listens, Pace: r.Hold.Place.Pace(),
		Unknown: res.TimedOut || f.Late(took, r.timeout()),
	}
	if s.Gate {
		s.Well = !f.Slow(gate) && !f.Silent(gate, r.timeout())
		if d, far := f.Renewal(gate); far {
			s.Renewal = d
		}
		s.Looks = f.Looks(gate)
	}
	return r.wait.Next(took, res, &s)
}

// left returns how much is left of the time that the call may wait.
func (r *Request) left() time.Duration { return r.wait.Left(time.Now()) }

// cutAfter returns after how long WithMaxWait cuts an attempt off.
func (r *Request) cutAfter() time.Duration {
	if r.wait.MaxWait == 0 {
		return math.MaxInt64
	}
	return r.left()
}
