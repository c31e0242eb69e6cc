package holding_test

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/seam"
	"github.com/b0401464/redlock/test/rig"
)

// maxLeftBytes is how much memory a lock may take that the program has dropped and that is
// left to run out, on one node.
const maxLeftBytes = 1024

// newLeft returns a Locker that has taken n locks for an hour, which nobody has any more,
// and how much memory each takes after a while.
func newLeft(tb testing.TB, n int) (l *redlock.Locker, bytes float64) {
	tb.Helper()
	clients, _ := holdClients(tb, 1)
	l, err := redlock.New(clients)
	require.NoError(tb, err)
	leave := func(prefix string, ttl time.Duration) {
		c := heldCrowd{locks: make([]*redlock.Lock, n)}
		c.each(func(i int) {
			_, err := l.Lock(tb.Context(), prefix+strconv.Itoa(i), ttl)
			assert.NoError(tb, err)
		})
		require.False(tb, tb.Failed())
	}
	leave("warm up ", time.Second)
	require.True(tb, rig.Poll(rig.Patience, func() bool { return seam.Queues(l) == 0 }))
	before := leastHeap()
	leave("left ", time.Hour)
	rig.Poll(rig.Patience, func() bool {
		bytes = (leastHeap() - before) / float64(n)
		return bytes < maxLeftBytes
	})
	require.Equal(tb, n, seam.Queues(l))
	return l, bytes
}

func TestALockThatIsLeftToRunOutTakesLittleMemory(t *testing.T) {
	if rig.RaceEnabled {
		t.Skip("the race detector takes memory too")
	}
	l, bytes := newLeft(t, 3000)
	t.Logf("%.0f bytes a lock", bytes)
	assert.Less(t, bytes, float64(maxLeftBytes))
	runtime.KeepAlive(l)
}

func BenchmarkLeavingLocksToRunOut(b *testing.B) {
	locks := 100_000
	if text := os.Getenv(envHoldLocks); text != "" {
		var err error
		locks, err = strconv.Atoi(text)
		require.NoError(b, err, envHoldLocks)
	}
	l, bytes := newLeft(b, locks)
	const idle = 10 * time.Second
	var cpu time.Duration
	for b.Loop() {
		debug.FreeOSMemory() // the runtime would, meanwhile
		cpu = processorTime(b)
		time.Sleep(idle)
		cpu = processorTime(b) - cpu
	}
	b.ReportMetric(0, "ns/op") // it is what was asked for
	b.ReportMetric(bytes, "B/lock")
	b.ReportMetric(float64(cpu.Milliseconds()), "cpu-ms/10s")
	runtime.KeepAlive(l)
}
