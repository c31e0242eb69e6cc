package line_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestAWaiterThatIsAHundredTimesFartherAwayGetsItsTurnToo(t *testing.T) {
	rig.Long(t)
	for _, n := range []int{1, 3} {
		for _, hold := range []time.Duration{time.Millisecond, 300 * time.Millisecond, 2 * time.Second} {
			t.Run(fmt.Sprint(n, " nodes, held for ", hold), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nodes := rig.New(t, n)
					for _, nd := range nodes {
						nd.Slow(time.Millisecond)
					}
					all := []*redlock.Locker{rig.NewLocker(t, rig.FarFrom(t, nodes, 100*time.Millisecond))}
					for range 5 {
						all = append(all, rig.NewLocker(t, nodes))
					}
					s := rig.StartRota(t, all, "a", hold)
					time.Sleep(time.Second + 10*hold)
					_, most, fewest := s.Watch(t, 5*time.Second+40*hold)
					assert.Positive(t, fewest)
					if hold > 100*time.Millisecond {
						assert.LessOrEqual(t, most, 2*fewest, "%v", s.Turns)
					}
					s.End()
					for _, l := range all {
						require.NoError(t, l.Shutdown(t.Context()))
					}
				})
			})
		}
	}
}
