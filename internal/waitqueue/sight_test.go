package waitqueue_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/internal/quorum"
	"github.com/b0401464/redlock/internal/round"
	"github.com/b0401464/redlock/internal/waitqueue"
)

func TestWhatWasSeenBeforeAttemptsWereCutOffComesBehindTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = time.Second
		var table waitqueue.Table
		var a, b waitqueue.Place
		table.Join(&a, "a", pace)
		table.Join(&b, "b", pace)
		table.See([]string{"b"}, round.Result{Outcome: quorum.Held}, 0)
		time.Sleep(time.Millisecond)
		table.SeeNothing([]string{"b"}, time.Now())
		table.Hold(&a, "a", nil) // this process has had it since
		time.Sleep(2 * timeout)
		s := table.Seen([]string{"b"})
		require.NotNil(t, s)
		assert.False(t, s.Fresh(timeout, func() bool { return false }))
		s = table.Seen([]string{"a", "b"})
		require.NotNil(t, s)
		assert.True(t, s.Fresh(timeout, func() bool { return false }))
	})
}
