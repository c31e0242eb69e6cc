package round

import (
	"context"
	"time"

	"github.com/b0401464/redlock/internal/quorum"
)

// awaits reports whether a node that keeps some of the lines has yet to answer, and is
// worth waiting for.
func (a *attempt) awaits(node int) bool {
	s := a.voteOf(node)
	return len(a.grant.commands.Kept(node)) > 0 && s.asked && !s.voted && s.silentFor == 0 && !a.nodes.Slow(node)
}

// yield waits a little for the gates that have not answered when a majority has
// granted: the one of them that has called somebody says so.
func (a *attempt) yield(ctx context.Context, left time.Duration) quorum.Outcome {
	patience := time.Duration(0)
	waits := func() bool {
		late := false
		for node := range a.nodes.Size() {
			if a.awaits(node) {
				late = true
				patience = max(patience, a.nodes.each[node].Patience(a.limits.Timeout))
			}
		}
		return late
	}
	if !waits() {
		return quorum.Acquired
	}
	over := false
	_, inTime := a.collect(ctx, min(patience, left), a.count, func(int, int) quorum.Outcome {
		if waits() {
			return quorum.Undecided
		}
		over = true
		return quorum.Acquired
	})
	switch {
	case inTime && !over:
		return quorum.Undecided // ctx or Stop has ended it
	case !inTime && patience <= left:
		for node := range a.nodes.Size() {
			if a.awaits(node) {
				a.nodes.each[node].Lag()
			}
		}
	}
	return quorum.Acquired
}
