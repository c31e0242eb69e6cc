package round

import (
	"context"
	"time"

	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/quorum"
)

// release is how far the removal of a grant's value has come. It is under
// Grant.mu, as is what the waves and the nodes know of it.
type release struct {
	begun bool
	wave  *Wave          // the latest
	final quorum.Outcome // Released or Lost, once that is so
}

// A releaseNode is where the release stands on one node.
type releaseNode struct {
	err      error         // of a failure
	silent   time.Duration // for so long; the wave does not wait for it if it is not 0
	kind     kind          // none until it is sent; failed, removed, notOurs or skipped once it is over
	underway bool
	sent     bool // it was sent at least once, so that another one may find nothing
}

// A Wave is one try to remove the value from all nodes.
type Wave struct {
	grant   *Grant
	decided chan struct{} // closed when outcome is set
	outcome quorum.Outcome
	late    bool           // the node timeout decided it
	tally   quorum.Release // when it was decided
	timeout time.Duration
	begun   time.Time
}

// Release removes the value from every node that may have it, and drops what
// was not sent yet. It returns at once; the wave says what comes of it. A wave
// under way is joined. Nodes that have answered are not asked again. The mode of
// the first call says what becomes of the line.
func (g *Grant) Release(ctx context.Context, timeout time.Duration, m Mode) *Wave {
	g.mu.Lock()
	rel := &g.release
	rel.begun = true
	if rel.wave != nil && (rel.final != 0 || rel.wave.outcome == quorum.Undecided) {
		defer g.mu.Unlock()
		return rel.wave
	}
	w := &Wave{grant: g, decided: make(chan struct{}), timeout: timeout, begun: time.Now()}
	rel.wave = w
	g.leave(m)
	places := g.train.Take(lane.Release, timeout, func(node int) bool { return g.nodes[node].release.wanted() })
	g.enlist(places)
	g.settle()
	g.mu.Unlock()
	g.send(ctx, &g.last, places, (*releasing)(g))
	return w
}

// wanted reports whether the node is to be sent a release.
func (n *releaseNode) wanted() bool {
	return !n.underway && (n.kind == none || n.kind == failed)
}

// enlist notes which nodes a wave has asked, and which of them it waits for.
func (g *Grant) enlist(places []lane.Place) {
	silent := 0
	for i := range places {
		n := &g.nodes[i].release
		if places[i].Taken() {
			n.underway = true
		}
		if n.silent = 0; n.underway {
			n.silent = places[i].SilentFor()
		}
		if n.silent > 0 {
			silent++
		}
	}
	if silent > quorum.Spare(len(places)) {
		for i := range g.nodes {
			g.nodes[i].release.silent = 0
		}
	}
}

// releasing is the ballot of a release.
type releasing Grant

func (b *releasing) file(_ context.Context, node int, v vote) {
	g := (*Grant)(b)
	g.parted(node, v)
	g.mu.Lock()
	defer g.mu.Unlock()
	n := &g.nodes[node].release
	if v.kind == notOurs && (v.late || n.sent) {
		// An earlier copy may have removed it.
		v.kind = removed
	}
	n.kind, n.err, n.underway = v.kind, v.err, false
	n.sent = n.sent || v.kind != skipped
	g.settle()
}

// settle decides the wave if the votes allow it.
func (g *Grant) settle() {
	waiting := 0
	for i := range g.nodes {
		if n := &g.nodes[i].release; n.underway && n.silent == 0 {
			waiting++
		}
	}
	g.release.decide(g.tally(), waiting)
}

// decide ends the wave if the votes decide its outcome.
func (r *release) decide(tally quorum.Release, waiting int) {
	o := tally.Outcome(waiting)
	if r.wave.outcome != quorum.Undecided || o == quorum.Undecided {
		return
	}
	r.wave.outcome, r.wave.tally = o, tally
	if o != quorum.Unanswered {
		r.final = o
	}
	close(r.wave.decided)
}

func (g *Grant) tally() quorum.Release {
	t := quorum.Release{Nodes: len(g.nodes)}
	for i := range g.nodes {
		switch g.nodes[i].release.kind {
		case removed:
			t.Removed++
		case notOurs:
			t.NotOurs++
		default: // has not answered
		}
	}
	return t
}

// Wait waits until the outcome is decided, ctx is done or the node timeout is
// over. The outcome is Released, Lost, Unanswered, or Undecided if ctx ended
// the wait; the release goes on whatever it is.
func (w *Wave) Wait(ctx context.Context) Result {
	timer := w.grant.fleet.startTimer(w.timeout)
	defer w.grant.fleet.stopTimer(timer)
	select {
	case <-w.decided:
	case <-timer.C:
		w.giveUp()
	case <-ctx.Done():
	}
	return w.result()
}

// giveUp decides the wave by the votes that are in.
func (w *Wave) giveUp() {
	g := w.grant
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.release.wave == w && w.outcome == quorum.Undecided {
		w.late = true
		g.release.decide(g.tally(), 0)
	}
}

func (w *Wave) result() Result {
	g := w.grant
	g.mu.Lock()
	defer g.mu.Unlock()
	tally := w.tally
	if w.outcome == quorum.Undecided {
		tally = g.tally()
	}
	res := Result{Outcome: w.outcome, Agreed: tally.Removed, Refused: tally.NotOurs}
	for i := range g.nodes {
		switch n := &g.nodes[i].release; {
		case n.underway && (n.silent > 0 || w.late): // else it was not waited for
			silent := n.silent + time.Since(w.begun)
			res.Failures = append(res.Failures, Failure{i, OpRelease, g.fleet.silence(i, silent)})
		case n.kind == failed:
			res.Failures = append(res.Failures, Failure{i, OpRelease, n.err})
		}
	}
	return res
}
