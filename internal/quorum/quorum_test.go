package quorum_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/quorum"
)

const (
	ms      = time.Millisecond
	longest = time.Duration(math.MaxInt64)

	// almostOne is the largest number that a random source in [0, 1) returns.
	almostOne = 1 - 0x1p-53
)

func TestMajorityIsMoreThanHalfOfAllNodes(t *testing.T) {
	t.Parallel()
	for nodes, want := range []int{1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 6: 4, 7: 4} {
		if nodes > 0 {
			assert.Equalf(t, want, quorum.Size(nodes), "%d nodes", nodes)
		}
	}
	for nodes := 1; nodes <= 100; nodes++ {
		size, spare := quorum.Size(nodes), quorum.Spare(nodes)
		require.Greaterf(t, 2*size, nodes, "%d nodes: two majorities can miss each other", nodes)
		require.LessOrEqualf(t, 2*(size-1), nodes, "%d nodes: fewer would do", nodes)
		require.Equalf(t, nodes, size+spare, "%d nodes", nodes)
	}
}

func TestDriftIsTheRoundedShareOfTheTTLPlusTwoMilliseconds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		ttl    time.Duration
		factor float64
		want   time.Duration
	}{
		{"default factor", 10 * time.Second, 0.01, 102 * ms},
		{"no factor leaves the resolution of the expiry", 10 * time.Second, 0, 2 * ms},
		{"half a millisecond is rounded up", 1050 * ms, 0.01, 13 * ms},
		{"less is rounded down", 1049 * ms, 0.01, 12 * ms},
		{"a share under half a millisecond is nothing", 49 * ms, 0.01, 2 * ms},
		{"a share of half a millisecond is one", 50 * ms, 0.01, 3 * ms},
		{"shortest ttl", ms, 0.01, 2 * ms},
		{"one nanosecond", 1, 0.99, 2 * ms},
		{"large factor", time.Second, 0.5, 502 * ms},
		{"a day", 24 * time.Hour, 0.01, 864*time.Second + 2*ms},
		{"longest ttl", longest, 1, longest},
		{"more than there is", longest, 1e300, longest},
		{"negative factor", time.Second, -0.5, 2 * ms},
		{"negative ttl", -time.Second, 0.5, 2 * ms},
		{"not a number", time.Second, math.NaN(), 2 * ms},
		{"infinite", time.Second, math.Inf(1), longest},
		{"infinite of nothing", 0, math.Inf(1), 2 * ms},
		{"negative infinite", time.Second, math.Inf(-1), 2 * ms},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, quorum.Drift(tt.ttl, tt.factor))
		})
	}
}

func TestDriftIsInWholeMilliseconds(t *testing.T) {
	t.Parallel()
	for ttl := ms; ttl < time.Hour; ttl = ttl*7/4 + 333*time.Microsecond {
		for _, factor := range []float64{0.001, 0.01, 0.05, 0.3} {
			assert.Zerof(t, quorum.Drift(ttl, factor)%ms, "ttl %v, factor %v", ttl, factor)
		}
	}
}

func TestValidityIsTheTTLLessElapsedAndDriftAndNeverNegative(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                string
		ttl, elapsed, drift time.Duration
		want                time.Duration
	}{
		{"something is left", 10 * time.Second, 100 * ms, 102 * ms, 9798 * ms},
		{"nothing has passed", 10 * time.Second, 0, 102 * ms, 9898 * ms},
		{"one nanosecond is left", 10 * time.Second, 9898*ms - 1, 102 * ms, 1},
		{"exactly over", 10 * time.Second, 9898 * ms, 102 * ms, 0},
		{"long over", 10 * time.Second, time.Hour, 102 * ms, 0},
		{"drift takes it all", 2 * ms, 0, 2 * ms, 0},
		{"drift is more than the ttl", ms, 0, 2 * ms, 0},
		{"a clock that ran backwards adds nothing", 10 * time.Second, -time.Hour, 102 * ms, 9898 * ms},
		{"a negative drift adds nothing", 10 * time.Second, time.Second, -time.Hour, 9 * time.Second},
		{"longest ttl", longest, 1, 2 * ms, longest - 2*ms - 1},
		{"longest of all", longest, longest, longest, 0},
		{"longest time elapsed", time.Second, longest, 2 * ms, 0},
		{"longest time backwards", time.Second, math.MinInt64, math.MinInt64, time.Second},
		{"no ttl", 0, 0, 2 * ms, 0},
		{"negative ttl", -time.Second, 0, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, quorum.Validity(tt.ttl, tt.elapsed, tt.drift))
		})
	}
}

func TestNodeTimeoutIsATenthOfTheTTLWithinItsBounds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		ttl, want time.Duration
	}{
		{"a tenth", 5 * time.Second, 500 * ms},
		{"just above the lower bound", 510 * ms, 51 * ms},
		{"at the lower bound", 500 * ms, 50 * ms},
		{"below the lower bound", 499 * ms, 50 * ms},
		{"shortest ttl", ms, 50 * ms},
		{"no ttl", 0, 50 * ms},
		{"negative ttl", math.MinInt64, 50 * ms},
		{"just below the upper bound", 9990 * ms, 999 * ms},
		{"at the upper bound", 10 * time.Second, time.Second},
		{"above the upper bound", time.Minute, time.Second},
		{"longest ttl", longest, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, quorum.NodeTimeout(tt.ttl))
		})
	}
}

func TestDelayIsUniformAroundItsMiddle(t *testing.T) {
	t.Parallel()
	// Equal steps of u make equal steps of the delay, from one end to the other.
	for i := range 8 {
		u := float64(i) / 8
		assert.Equalf(t, 300*ms+time.Duration(i)*25*ms, quorum.Delay(400*ms, 100*ms, u), "u %v", u)
	}
}

func TestDelayIsWithinJitterAndNeverNegative(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                  string
		delay, jitter         time.Duration
		lowest, middle, below time.Duration
	}{
		{"default", 400 * ms, 400 * ms, 0, 400 * ms, 800 * ms},
		{"little jitter", 400 * ms, 10 * ms, 390 * ms, 400 * ms, 410 * ms},
		{"more jitter than delay", 100 * ms, 400 * ms, 0, 100 * ms, 500 * ms},
		{"only jitter", 0, 400 * ms, 0, 0, 400 * ms},
		{"an hour", time.Hour, time.Hour, 0, time.Hour, 2 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.lowest, quorum.Delay(tt.delay, tt.jitter, 0))
			assert.Equal(t, tt.middle, quorum.Delay(tt.delay, tt.jitter, 0.5))
			highest := quorum.Delay(tt.delay, tt.jitter, 1-1e-12)
			assert.Less(t, highest, tt.below)
			assert.Greater(t, highest, tt.below-time.Microsecond)
		})
	}
}

func TestDelayWithoutJitterIsExact(t *testing.T) {
	t.Parallel()
	for _, u := range []float64{0, 0.25, 0.5, almostOne} {
		assert.Equal(t, 400*ms, quorum.Delay(400*ms, 0, u))
		assert.Zero(t, quorum.Delay(0, 0, u))
	}
}

func TestDelayStaysWithinTheRangeOfADuration(t *testing.T) {
	t.Parallel()
	assert.Equal(t, longest, quorum.Delay(longest, longest, almostOne))
	assert.Zero(t, quorum.Delay(longest, longest, 0))
	assert.Zero(t, quorum.Delay(time.Second, time.Second, math.NaN()))
}

func TestSplitPauseDoublesItsWindowUpToTheBound(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		roundTrip time.Duration
		windows   []time.Duration
	}{
		{"a network of its own", 5 * ms, []time.Duration{10 * ms, 20 * ms, 40 * ms, 80 * ms, 160 * ms, 200 * ms, 200 * ms}},
		{
			"a round trip is taken as 1 ms at least", 3 * time.Microsecond,
			[]time.Duration{2 * ms, 4 * ms, 8 * ms, 16 * ms, 32 * ms, 64 * ms, 128 * ms, 200 * ms, 200 * ms},
		},
		{"no round trip known", 0, []time.Duration{2 * ms, 4 * ms}},
		{"a clock that ran backwards", -time.Hour, []time.Duration{2 * ms, 4 * ms}},
		{"a round trip is taken as 50 ms at most", time.Minute, []time.Duration{100 * ms, 200 * ms, 200 * ms}},
		{"longest round trip", longest, []time.Duration{100 * ms, 200 * ms, 200 * ms}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for n, window := range tt.windows {
				assert.Zerof(t, quorum.SplitPause(tt.roundTrip, n, 0), "n %d", n)
				assert.Equalf(t, window/4, quorum.SplitPause(tt.roundTrip, n, 0.25), "n %d", n)
				assert.Equalf(t, window/2, quorum.SplitPause(tt.roundTrip, n, 0.5), "n %d", n)
				assert.Equalf(t, window-1, quorum.SplitPause(tt.roundTrip, n, almostOne), "n %d", n)
			}
		})
	}
}

func TestSplitPauseIsBoundedHoweverOftenTheVotesSplit(t *testing.T) {
	t.Parallel()
	for _, n := range []int{8, 63, 64, 1 << 30} {
		assert.Equalf(t, 100*ms, quorum.SplitPause(20*ms, n, 0.5), "n %d", n)
	}
	assert.Equal(t, 20*ms, quorum.SplitPause(20*ms, -1, 0.5))
}

func TestRetryPausesAddUpToTheRetriesTimesTheirDelay(t *testing.T) {
	for _, retries := range []int{1, 2, 10, 1000} {
		for _, jitter := range []time.Duration{0, time.Millisecond, 400 * time.Millisecond, time.Hour, math.MaxInt64} {
			delay := 400 * time.Millisecond
			left, made := quorum.Patience(retries, delay), 0
			for ; left > 0; made++ {
				pause := quorum.RetryPause(left, retries-made, jitter, rand.Float64()) //nolint:gosec // nothing secret depends on it
				left -= pause
			}
			assert.Zero(t, left)
			assert.Equal(t, retries, made)
		}
	}
	assert.Equal(t, 100*time.Millisecond, quorum.RetryPause(300*time.Millisecond, 3, 0, 0.5))
	assert.Equal(t, time.Duration(math.MaxInt64), quorum.Patience(math.MaxInt, time.Hour))
	assert.Equal(t, time.Second, quorum.RetryPause(time.Second, 0, time.Second, 0))
	assert.Zero(t, quorum.RetryPause(0, 3, time.Second, 0.5))
}
