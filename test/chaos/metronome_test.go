package chaos

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAMetronomeForgetsHowLateTimersWereLongAgo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m metronome
		require.Zero(t, m.lately())
		m.next(beat)
		time.Sleep(beat + time.Second)
		require.Equal(t, time.Second, m.lately(), "a beat that is late now")
		m.next(beat)
		for range period / beat {
			time.Sleep(beat)
			m.next(beat)
		}
		require.Equal(t, time.Second, m.lately())
		for range 2 * period / beat {
			time.Sleep(beat)
			m.next(beat)
		}
		require.Zero(t, m.lately())
		require.Equal(t, time.Second, m.worst)
	})
}

func TestAMetronomeBeatsUntilItIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m metronome
		m.start()
		time.Sleep(time.Minute)
		require.Zero(t, m.lately(), "timers are never late in virtual time")
		m.end()
		time.Sleep(time.Minute)
		require.Zero(t, m.lately())
	})
}
