package errors_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestAStreamOfCallersForALockThatAnotherOneHoldsIsNeverToldAsTooFewAnswers(t *testing.T) {
	rig.Long(t)
	for line, opts := range rig.LineAndNone {
		for name, bound := range rig.Bounds {
			for _, far := range []time.Duration{10 * time.Millisecond, 60 * time.Millisecond} {
				for _, every := range []time.Duration{2 * time.Millisecond, 5 * time.Millisecond} {
					t.Run(fmt.Sprint(line, ", ", name, ", ", far, " away, one each ", every), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							nodes := rig.New(t, 3)
							k := rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithAutoExtend(redlock.Forever))
							l := rig.NewLocker(t, nodes, opts...)
							rig.WarmUp(t, l)
							for _, n := range nodes {
								n.Slow(far)
							}
							var all sync.WaitGroup
							var told rig.Outcomes
							for range int(4 * time.Second / every) {
								all.Go(func() {
									ctx, cancel, opt := bound(context.Background(), 200*time.Millisecond)
									defer cancel()
									_, err := l.Lock(ctx, "a", rig.TTL, opt)
									told.Add(err)
								})
								time.Sleep(every)
							}
							all.Wait()
							assert.Zero(t, told.NoQuorum, "%v", told.Example)
							t.Log(told.Contended, told.NoQuorum, told.Neither)
							require.NoError(t, k.Unlock(t.Context()))
						})
					})
				}
			}
		}
	}
}
