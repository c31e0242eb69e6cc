package redlock_test

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
)

// envSoak is for how long locks go on beside a frozen node, a Go duration.
const envSoak = "REDLOCK_SOAK"

func soakTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv(envSoak)
	if text == "" {
		return 8 * time.Second
	}
	d, err := time.ParseDuration(text)
	require.NoError(t, err, envSoak)
	return d
}

// A footprint is what the process uses.
type footprint struct {
	goroutines int
	heap       uint64
}

func measureFootprint() footprint {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{runtime.NumGoroutine(), m.HeapAlloc}
}

func TestMemoryAndGoroutinesStayFlatBesideAFrozenNodeAndItComesBackAtOnce(t *testing.T) {
	const (
		ttl           = 3 * time.Second
		maxGoroutines = 600
		settling      = 2 * time.Second // until everything is as full as it gets
	)
	rig := newRealRig(t, 3)
	l := rig.locker(t, redlock.WithNodeTimeout(silence))
	const frozen = 1
	// Until then a node is healthy, and there is no limit.
	rig.freezeUntilSilent(t, frozen, l, silence)

	soak := soakTime(t)
	begun := time.Now()
	var (
		wg      sync.WaitGroup
		rounds  atomic.Int64
		stop    = make(chan struct{})
		failure = make(chan error, 4)
	)
	for worker := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				key := fmt.Sprintf("worker%d", worker)
				if worker%2 == 0 {
					key = fmt.Sprintf("worker%d round%d", worker, i)
				}
				lock, err := l.Lock(t.Context(), key, ttl)
				if err == nil {
					err = lock.Unlock(t.Context())
				}
				if err != nil {
					failure <- err
					return
				}
				rounds.Add(1)
			}
		})
	}
	var first, peak footprint
	tick := time.NewTicker(settling / 10)
	for now := range tick.C {
		switch f := measureFootprint(); {
		case now.Sub(begun) < min(settling, soak/2):
			continue
		case first.heap == 0:
			first, peak = f, f
		default:
			peak.goroutines = max(peak.goroutines, f.goroutines)
			// The least of the last quarter: a sample has what was allocated
			// since its collection, too, and a leak would raise them all.
			if now.Sub(begun) < soak*3/4 || f.heap < peak.heap {
				peak.heap = f.heap
			}
		}
		if now.Sub(begun) >= soak {
			break
		}
	}
	tick.Stop()
	close(stop)
	wg.Wait()
	last := measureFootprint()
	close(failure)
	require.NoError(t, <-failure)
	t.Logf("%d rounds in %v; at first %+v, then %+v, in the end %+v", rounds.Load(), soak, first, peak, last)
	require.Greater(t, rounds.Load(), int64(1000), "too few to see anything grow")
	assert.LessOrEqual(t, first.goroutines, maxGoroutines)
	assert.LessOrEqual(t, peak.goroutines, maxGoroutines)
	assert.LessOrEqual(t, last.goroutines, maxGoroutines)
	const slack = 4 << 20
	assert.LessOrEqual(t, peak.heap, 2*first.heap+slack)
	assert.LessOrEqual(t, last.heap, first.heap+slack)

	begun = time.Now()
	rig.servers[frozen].Thaw()
	for n := 0; ; n++ {
		lock, err := l.Lock(t.Context(), fmt.Sprintf("again%d", n), ttl)
		require.NoError(t, err)
		// Its vote was not needed, so it may come a little later.
		took := poll(silence/10, func() bool { return rig.get(t, frozen, lock.Resource()) == lock.Value() })
		require.NoError(t, lock.Unlock(t.Context()))
		if took {
			break
		}
		require.Less(t, time.Since(begun), realPatience)
	}
	back := time.Since(begun)
	t.Logf("the node is back after %v", back)
	// A second on an idle machine; a client gives a connection up after 5.
	assert.Less(t, back, 4*time.Second)

	drain(t, l)
	drained := time.Now()
	for key, left := range rig.left(t, frozen) {
		assert.LessOrEqual(t, left, ttl, key)
	}
	rig.requireEmpty(t, ttl+time.Second)
	t.Logf("no key is left %v after the background was idle", time.Since(drained))
}

// left returns how long each key lasts on one server.
func (rig *realRig) left(t *testing.T, node int) map[string]time.Duration {
	t.Helper()
	keys, err := rig.direct[node].Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	all := make(map[string]time.Duration)
	for _, key := range keys {
		all[key] = rig.pttl(t, node, key)
	}
	return all
}
