package round

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/ledger"
	"github.com/b0401464/redlock/internal/node"
)

// A Wave is one try to remove the value from all nodes.
type Wave struct {
	grant   *Grant
	record  ledger.Wave
	decided chan struct{} // closed when the outcome is
	timeout time.Duration
	begun   time.Time
	waited  atomic.Bool // somebody does, or did
}

// Release removes the value from every node that may have it, and drops what
// was not sent yet. It returns at once; the wave says what comes of it. A wave
// under way is joined. Nodes that have answered are not asked again. The mode of
// the first call says what becomes of the line.
func (g *Grant) Release(ctx context.Context, timeout time.Duration, m Mode) *Wave {
	g.mu.Lock()
	if !g.ledger.Release() {
		defer g.mu.Unlock()
		return g.wave
	}
	w := &Wave{grant: g, decided: make(chan struct{}), timeout: timeout, begun: time.Now()}
	g.wave = w
	g.leave(m)
	places := g.series.Take(lane.Release, timeout, g.ledger.Unreleased)
	calls := g.calls(ctx, g.commands.Release, places, (*releasing)(g))
	g.ledger.Enlist(&w.record, func(i int) (call *node.Call, silent time.Duration) {
		p := calls[i].Place
		if p.Taken() {
			call = &calls[i]
		}
		return call, p.SilentFor()
	})
	g.settle()
	g.mu.Unlock()
	begin(calls)
	return w
}

// releasing is the ballot of a release.
type releasing Grant

func (b *releasing) File(_ context.Context, i int, v node.Vote) {
	g := (*Grant)(b)
	g.parted(i, v)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ledger.Answered(i, v) {
		v.By.Owe(g.commands.Release(i), g.ledger.Until(i))
	}
	g.settle()
}

// settle decides the wave if the votes allow it.
func (g *Grant) settle() {
	if g.ledger.Settle() {
		g.endWave()
	}
}

// endWave ends the wave that is decided. Nobody waits for the others then: of those that have
// been silent for too long is told.
func (g *Grant) endWave() {
	w := g.wave
	for i := range g.nodes.Size() {
		if g.ledger.Lacks(&w.record, i) {
			g.ledger.Call(i).Tell(w.silence(i))
		}
	}
	close(w.decided)
}

// Wait waits until the outcome is decided, ctx is done or the node timeout is
// over. The outcome is Released, Lost, Unanswered, or Undecided if ctx ended
// the wait; the release goes on whatever it is.
func (w *Wave) Wait(ctx context.Context) Result {
	w.waited.Store(true)
	var spare lane.Spare
	for wait := w.timeout; wait > 0; {
		begun := time.Now()
		if !w.await(ctx, wait) {
			return w.result()
		}
		wait = max(w.more(), spare.Add(w.grant.nodes.lanes.Lag(time.Since(begun)-wait, w.timeout), w.timeout))
	}
	w.giveUp()
	return w.result()
}

// await waits until the outcome is decided or ctx is done. It reports whether it has waited in
// vain.
func (w *Wave) await(ctx context.Context, wait time.Duration) (over bool) {
	timer := w.grant.nodes.startTimer(wait)
	defer w.grant.nodes.stopTimer(timer)
	select {
	case <-w.decided:
	case <-timer.C:
		return true
	case <-ctx.Done():
	}
	return false
}

// more returns for how long to wait besides for what had to wait until it was sent.
func (w *Wave) more() (wait time.Duration) {
	g := w.grant
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.nodes.Size() {
		if call := g.ledger.Call(i); call != nil && g.ledger.Silent(i) == 0 {
			wait = max(wait, call.Place.Patience())
		}
	}
	return wait
}

// giveUp decides the wave by the votes that are in.
func (w *Wave) giveUp() {
	g := w.grant
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ledger.TimeOut(&w.record) {
		g.endWave()
	}
}

// silence returns the error of a node that the wave does not, or does not any more, wait for.
func (w *Wave) silence(node int) error {
	g := w.grant
	return g.nodes.each[node].Silence(g.ledger.Silent(node) + time.Since(w.begun))
}

func (w *Wave) result() Result {
	g := w.grant
	g.mu.Lock()
	defer g.mu.Unlock()
	tally := g.ledger.Tally(&w.record)
	res := Result{Outcome: w.record.Outcome(), Agreed: tally.Removed, Refused: tally.NotOurs}
	for i := range g.nodes.Size() {
		if g.ledger.Lacks(&w.record, i) {
			res.Failures = append(res.Failures, node.Failure{Node: i, Op: node.OpRelease, Err: w.silence(i)})
		} else if failed, err := g.ledger.Failure(i); failed {
			res.Failures = append(res.Failures, node.Failure{Node: i, Op: node.OpRelease, Err: err})
		}
	}
	return res
}
