package holding_test

import (
	"errors"
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
	"github.com/b0401464/redlock/test/rig"
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
	return footprint{rig.Goroutines(), m.HeapAlloc}
}

func TestMemoryAndGoroutinesStayFlatBesideAFrozenNodeAndItComesBackAtOnce(t *testing.T) {
	const (
		ttl           = rig.Patience
		maxGoroutines = 600
		settling      = 2 * time.Second // until everything is as full as it gets
		enough        = 1000            // rounds; with fewer nothing would be seen to grow
	)
	on := rig.NewReal(t, 3)
	l := on.Locker(t, redlock.WithNodeTimeout(rig.Silence))
	const frozen = 1
	// Until then a node is healthy, and there is no limit.
	on.FreezeUntilSilent(t, frozen, l, rig.Silence)

	soak := soakTime(t)
	begun := time.Now()
	var (
		wg      sync.WaitGroup
		rounds  atomic.Int64
		stalls  atomic.Int64 // rounds in which a busy machine took longer than the node timeout
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
				if errors.Is(err, redlock.ErrNoQuorum) {
					stalls.Add(1)
					continue
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
		if now.Sub(begun) >= soak && (rounds.Load() > enough || len(failure) > 0) {
			break
		}
	}
	tick.Stop()
	close(stop)
	wg.Wait()
	last := measureFootprint()
	close(failure)
	require.NoError(t, <-failure)
	t.Logf("%d rounds and %d stalls in %v; at first %+v, then %+v, in the end %+v", rounds.Load(), stalls.Load(), time.Since(begun), first, peak, last)
	assert.LessOrEqual(t, first.goroutines, maxGoroutines)
	assert.LessOrEqual(t, peak.goroutines, maxGoroutines)
	assert.LessOrEqual(t, last.goroutines, maxGoroutines)
	assert.Less(t, stalls.Load(), rounds.Load()/10)
	const slack = 4 << 20
	assert.LessOrEqual(t, peak.heap, 2*first.heap+slack)
	assert.LessOrEqual(t, last.heap, first.heap+slack)

	begun = time.Now()
	on.Servers[frozen].Thaw()
	n := 0
	rig.Eventually(t, rig.Patience, func(c *assert.CollectT) {
		lock, err := l.Lock(t.Context(), fmt.Sprintf("again%d", n), ttl)
		n++
		require.NoError(c, err)
		// Its vote was not needed, so it may come a little later.
		took := rig.Poll(rig.Silence/10, func() bool { return on.Get(t, frozen, lock.Resource()) == lock.Value() })
		require.NoError(c, lock.Unlock(t.Context()))
		assert.True(c, took, "the node has no part in new locks")
	})
	t.Logf("the node is back after %v", time.Since(begun))

	rig.Drain(t, l)
	// What was sent to the frozen node before its client gave it up may have been applied
	// after the release. It lasts for one TTL.
	for node := range on.Direct {
		keys := on.Left(t, node)
		if node != frozen {
			assert.Empty(t, keys)
		}
		for key, left := range keys {
			assert.LessOrEqual(t, left, ttl, key)
			assert.NotEqual(t, time.Duration(-1), left, "%s does not end", key)
		}
	}
}
