package quorum_test

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/quorum"
)

func FuzzValidity(f *testing.F) {
	for _, factor := range []float64{0, 0.01, 0.999, 1, -1, 1e300, 5e-324, math.NaN(), math.Inf(1), math.Inf(-1)} {
		f.Add(int64(10*time.Second), int64(100*ms), int64(102*ms), factor)
		f.Add(int64(1), int64(0), int64(0), factor)
		f.Add(int64(math.MaxInt64), int64(math.MinInt64), int64(math.MinInt64), factor)
		f.Add(int64(math.MaxInt64-1), int64(math.MaxInt64), int64(math.MaxInt64), factor)
	}
	f.Fuzz(func(t *testing.T, ttl, elapsed, drift int64, factor float64) {
		if ttl < 1 {
			ttl = 1 + (ttl & math.MaxInt64 >> 1) // from 1 on, without an overflow
		}
		d := quorum.Drift(time.Duration(ttl), factor)
		require.GreaterOrEqual(t, d, 2*ms)
		if factor >= 0 && factor < 1 {
			// The share of the ttl, give or take what a float can't hold.
			share := factor * float64(ttl)
			require.InDelta(t, share, float64(d-2*ms), float64(ms)/2+share*0x1p-50+1)
		}
		checkValidity(t, time.Duration(ttl), time.Duration(elapsed), d)
		checkValidity(t, time.Duration(ttl), time.Duration(elapsed), time.Duration(drift))
	})
}

func checkValidity(t *testing.T, ttl, elapsed, drift time.Duration) {
	t.Helper()
	v := quorum.Validity(ttl, elapsed, drift)
	require.GreaterOrEqual(t, v, time.Duration(0))
	require.LessOrEqual(t, v, ttl)
	elapsed, drift = max(elapsed, 0), max(drift, 0)
	if v > 0 {
		require.Equal(t, ttl, v+elapsed+drift)
	} else {
		require.True(t, drift >= ttl || elapsed >= ttl-drift, "nothing left of %v after %v, drift %v", ttl, elapsed, drift)
	}
}

func FuzzDelay(f *testing.F) {
	for _, u := range []float64{0, 0.25, 0.5, almostOne, math.NaN(), math.Inf(1), math.Inf(-1)} {
		f.Add(int64(400*ms), int64(400*ms), u)
		f.Add(int64(0), int64(time.Hour), u)
		f.Add(int64(time.Hour), int64(1), u)
		f.Add(int64(math.MaxInt64), int64(math.MaxInt64), u)
		f.Add(int64(math.MinInt64), int64(math.MinInt64), u)
	}
	f.Fuzz(func(t *testing.T, delay, jitter int64, u float64) {
		d := quorum.Delay(time.Duration(delay), time.Duration(jitter), u)
		require.GreaterOrEqual(t, d, time.Duration(0))
		if delay < 0 || jitter < 0 || !(u >= 0 && u < 1) {
			return
		}
		// Within the bounds, give or take what a float can't hold.
		low, high := float64(delay)-float64(jitter), float64(delay)+float64(jitter)
		rounding := 1 + high*0x1p-50
		require.GreaterOrEqual(t, float64(d), low-rounding)
		require.LessOrEqual(t, float64(d), min(high, math.MaxInt64)+rounding)
		require.InDelta(t, max(low+u*(high-low), 0), float64(d), max(rounding, high-math.MaxInt64+rounding))
	})
}

// FuzzTally reads the number of nodes and of silent ones from the first two
// bytes and a vote from each further one.
func FuzzTally(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte{2, 0, 0, 0, 0})
	f.Add([]byte{2, 1, 0, 2, 3})
	f.Add([]byte{4, 0, 2, 2, 3, 3, 0})
	f.Add([]byte{4, 2, 1, 1, 2})
	f.Add([]byte{3, 0, 0, 2, 2, 1})
	f.Add([]byte{1, 0, 2, 1})
	f.Add([]byte("a longer fleet, with many marks"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		nodes, votes := int(data[0]%16)+1, data[1:]
		silent := 0
		if len(votes) > 0 {
			silent, votes = int(votes[0])%(nodes+1), votes[1:]
		}
		if asked := nodes - silent; len(votes) > asked {
			votes = votes[:asked]
		}
		checkAcquire(t, nodes, silent, votes)
		checkExtend(t, nodes, silent, votes)
		checkRelease(t, nodes, silent, votes)
	})
}

func checkAcquire(t *testing.T, nodes, silent int, votes []byte) {
	t.Helper()
	a := quorum.Acquire{Nodes: nodes}
	marks := make(map[byte]int)
	top, before := 0, quorum.Undecided
	for i := range len(votes) + 1 {
		waiting := nodes - silent - i
		answered := a.Granted + a.Refused
		o := a.Outcome(waiting, silent)
		require.Equal(t, 2*a.Granted > nodes, o == quorum.Acquired)
		require.Equal(t, 2*(answered+waiting) <= nodes, o == quorum.Unavailable)
		switch o {
		case quorum.Undecided:
			require.Positive(t, waiting)
		case quorum.Acquired, quorum.Unavailable:
		case quorum.Held:
			require.Greater(t, 2*answered, nodes)
			require.Greater(t, 2*(top+silent), nodes)
			require.LessOrEqual(t, 2*(a.Granted+waiting), nodes)
		case quorum.Split:
			require.Greater(t, 2*answered, nodes)
			require.LessOrEqual(t, 2*(top+waiting+silent), nodes)
			require.LessOrEqual(t, 2*(a.Granted+waiting), nodes)
		default:
			require.Failf(t, "not an outcome of an attempt", "%d", o)
		}
		before = requireKept(t, before, o)
		if i == len(votes) {
			return
		}
		switch v := votes[i]; v % 8 {
		case 0:
			a.Granted++
		case 1:
			a.Failed++
		default:
			a.Refuse(strconv.Itoa(int(v)))
			marks[v]++
			top = max(top, marks[v])
		}
	}
}

func checkExtend(t *testing.T, nodes, silent int, votes []byte) {
	t.Helper()
	e := quorum.Extend{Nodes: nodes}
	before := quorum.Undecided
	for i := range len(votes) + 1 {
		waiting := nodes - silent - i
		o := e.Outcome(waiting)
		require.Equal(t, 2*e.Held > nodes, o == quorum.Extended)
		require.Equal(t, 2*(nodes-e.Gone) <= nodes, o == quorum.Lost)
		switch o {
		case quorum.Undecided:
			require.Positive(t, waiting)
		case quorum.Extended, quorum.Lost:
		case quorum.Unknown:
			require.LessOrEqual(t, 2*(e.Held+waiting), nodes)
			require.Greater(t, 2*(nodes-e.Gone-waiting), nodes)
		default:
			require.Failf(t, "not an outcome of an extension", "%d", o)
		}
		before = requireKept(t, before, o)
		if i == len(votes) {
			return
		}
		switch votes[i] % 4 {
		case 0:
			e.Held++
		case 1:
			e.Gone++
		default: // failed, or extended where there may have been a gap
		}
	}
}

func checkRelease(t *testing.T, nodes, silent int, votes []byte) {
	t.Helper()
	r := quorum.Release{Nodes: nodes}
	before := quorum.Undecided
	for i := range len(votes) + 1 {
		waiting := nodes - silent - i
		answered := r.Removed + r.NotOurs
		o := r.Outcome(waiting)
		require.Equal(t, 2*(nodes-r.NotOurs) <= nodes, o == quorum.Lost)
		switch o {
		case quorum.Undecided:
			require.Positive(t, waiting)
			require.LessOrEqual(t, 2*r.Removed, nodes)
		case quorum.Lost:
		case quorum.Released:
			require.Greater(t, 2*answered, nodes)
			require.Greater(t, 2*(nodes-r.NotOurs-min(waiting, nodes-r.Removed-r.NotOurs)), nodes)
		case quorum.Unanswered:
			require.LessOrEqual(t, 2*(answered+waiting), nodes)
		default:
			require.Failf(t, "not an outcome of a release", "%d", o)
		}
		before = requireKept(t, before, o)
		if i == len(votes) {
			return
		}
		switch votes[i] % 3 {
		case 0:
			r.Removed++
		case 1:
			r.NotOurs++
		}
	}
}

// requireKept demands that an outcome, once decided, does not change.
func requireKept(t *testing.T, before, now quorum.Outcome) quorum.Outcome {
	t.Helper()
	if before != quorum.Undecided {
		require.Equal(t, before, now)
	}
	return now
}
