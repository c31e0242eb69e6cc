package round

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestATimerThatWasStoppedLateIsNotUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewNodes(nil, Hooks{})
		told := func(timer *timer) bool {
			select {
			case <-timer.C:
				return true
			default:
				return false
			}
		}
		for range 100 {
			start := time.Now()
			a, b := f.startTimer(time.Second), f.startTimer(time.Minute)
			<-a.C
			require.Equal(t, time.Second, time.Since(start))
			f.stopTimer(a)
			f.stopTimer(b)

			late := f.startTimer(time.Second)
			time.Sleep(time.Second)
			synctest.Wait()
			f.stopTimer(late) // it has told, and nobody has listened

			var running []*timer
			for range 3 {
				running = append(running, f.startTimer(time.Minute))
			}
			time.Sleep(30 * time.Second)
			synctest.Wait()
			for _, timer := range running {
				require.False(t, told(timer))
				f.stopTimer(timer)
			}
		}
	})
}
