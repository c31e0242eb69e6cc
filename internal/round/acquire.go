package round

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/b0401464/redlock/internal/lane"
	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/script"
)

// Acquire makes one attempt to put value on a majority of the nodes for ttl.
// What came of it must be released, by [Grant.Release], unless the outcome is
// Acquired and the lock is still wanted.
func (f *Fleet) Acquire(ctx context.Context, resource, value string, ttl time.Duration, l Limits) (*Grant, Result) {
	g := newGrant(f, resource, value)
	g.first = g.call(OpAcquire, script.Acquire, ttl)
	start := time.Now()
	places := g.train.Take(lane.Acquire, l.Timeout, nil)
	r := f.newRound(OpAcquire, places, l)
	g.send(ctx, &g.first, places, func(node int, v vote) {
		if v.kind == granted {
			g.granted(ctx, node)
		}
		r.file(node, v)
	})

	tally := quorum.Acquire{Nodes: f.Size()}
	var left []time.Duration
	outcome := r.await(ctx, func(_ int, v vote) {
		switch v.kind {
		case granted:
			tally.Granted++
		case refused:
			tally.Refuse(v.mark)
			left = append(left, v.left)
		default:
			tally.Failed++
		}
	}, tally.Outcome)
	g.decide(start)
	res := r.result(outcome, tally.Granted, tally.Refused)
	if outcome != quorum.Acquired {
		res.RetryAfter = retryAfter(left, f.Quorum()-tally.Granted)
	}
	return g, res
}

// retryAfter returns when missing of the refusing nodes may be free again,
// given how long the holders' keys last there.
func retryAfter(left []time.Duration, missing int) time.Duration {
	if missing < 1 || missing > len(left) {
		return 0
	}
	slices.SortFunc(left, func(a, b time.Duration) int {
		if (a < 0) != (b < 0) {
			return cmp.Compare(b, a) // no expiry, which is negative, comes last
		}
		return cmp.Compare(a, b)
	})
	return max(left[missing-1], 0)
}
