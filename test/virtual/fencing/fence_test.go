package fencing_test

import (
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

func TestAFenceAdmitsTokensThatNeverGoBack(t *testing.T) {
	t.Parallel()
	var fence redlock.Fence
	for _, token := range []int64{1, 1, 2, 7, 7, math.MaxInt64, math.MaxInt64} {
		require.NoError(t, fence.Admit(token), token)
	}
}

func TestAFenceTurnsAwayWhoWasOvertaken(t *testing.T) {
	t.Parallel()
	var fence redlock.Fence
	require.NoError(t, fence.Admit(34))
	err := fence.Admit(33)
	require.ErrorIs(t, err, redlock.ErrStaleToken)
	require.EqualError(t, err, "redlock: stale fencing token: 33 after 34")
	require.NoError(t, fence.Admit(34), "who was turned away has changed nothing")
	require.ErrorIs(t, fence.Admit(33), redlock.ErrStaleToken)
}

func TestAFenceRefusesWhatIsNoToken(t *testing.T) {
	t.Parallel()
	var fence redlock.Fence
	for _, token := range []int64{0, -1, math.MinInt64} {
		err := fence.Admit(token)
		require.ErrorIs(t, err, redlock.ErrInvalidArgument, token)
		require.NotErrorIs(t, err, redlock.ErrStaleToken)
	}
	require.NoError(t, fence.Admit(1))
}

func TestAFenceIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	const callers, tokens = 8, 2000
	var (
		fence redlock.Fence
		mu    sync.Mutex // admits and looks in one step, as the doc says
		last  int64
		wg    sync.WaitGroup
	)
	for first := range int64(callers) {
		wg.Go(func() {
			for token := first + 1; token <= tokens; token += callers {
				if first%2 == 0 {
					_ = fence.Admit(token)
					continue
				}
				mu.Lock()
				if fence.Admit(token) == nil {
					assert.GreaterOrEqual(t, token, last)
					last = token
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.ErrorIs(t, fence.Admit(tokens-1), redlock.ErrStaleToken, "the largest one was admitted")
	require.NoError(t, fence.Admit(tokens))
}
