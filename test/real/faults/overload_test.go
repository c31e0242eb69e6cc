package faults_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A node that answers others is busy, and not silent, however long a call has to wait for a
// connection of its client.
func TestTwoThousandCallersAtOnceAreSlowAndNotWrong(t *testing.T) {
	timeout := time.Second // the default
	if rig.RaceEnabled {
		timeout = rig.NodeTimeout // everything takes ten times as long
	}
	for _, size := range []int{1, 3} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			on := rig.NewReal(t, size)
			var nodeErrors rig.ErrorLog
			l, err := redlock.New(on.Clients, redlock.WithNodeTimeout(timeout), nodeErrors.Option())
			require.NoError(t, err)
			var (
				wg    sync.WaitGroup
				start = make(chan struct{})
			)
			for i := range 2000 {
				wg.Go(func() {
					<-start
					lock, err := l.TryLock(t.Context(), fmt.Sprintf("k%d", i), rig.LongTTL)
					if assert.NoError(t, err) {
						assert.NoError(t, lock.Unlock(t.Context()))
					}
				})
			}
			begun := time.Now()
			close(start)
			wg.Wait()
			t.Logf("%v", time.Since(begun))
			rig.Drain(t, l)
			assert.Empty(t, nodeErrors.Take(0), "of a minority too")
			on.RequireEmpty(t, rig.Patience)
		})
	}
}
