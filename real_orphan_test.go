package redlock_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/faultproxy"
)

func TestFourThousandCallersTripNoLimit(t *testing.T) {
	const callers = 4096
	rig := newRealRig(t, 3)
	var nodeErrors realCounter
	l := rig.locker(t, redlock.WithNodeTimeout(realTTL/2), nodeErrors.option())
	var (
		wg    sync.WaitGroup
		start = make(chan struct{})
		errs  = make([]error, callers)
	)
	for i := range callers {
		wg.Go(func() {
			<-start
			lock, err := l.TryLock(t.Context(), fmt.Sprintf("k%d", i), realTTL)
			if err == nil {
				err = lock.Unlock(t.Context())
			}
			errs[i] = err
		})
	}
	begun := time.Now()
	close(start)
	wg.Wait()
	t.Logf("%d callers: %v", callers, time.Since(begun))
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
			t.Log(err)
		}
	}
	require.Zero(t, failed)
	drain(t, l)
	assert.Zero(t, nodeErrors.n.Load(), "node errors, of a minority too")
	rig.requireEmpty(t, realPatience)
}

// lockMany locks and unlocks rounds keys, each at once, by a few goroutines. It
// returns how often the release found no quorum.
func lockMany(t *testing.T, l *redlock.Locker, rounds int) int {
	t.Helper()
	const workers = 4
	var (
		wg       sync.WaitGroup
		noQuorum atomic.Int64
	)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < rounds; i += workers {
				lock, err := l.Lock(t.Context(), fmt.Sprintf("k%d", i), realTTL)
				if !assert.NoError(t, err) {
					return
				}
				err = lock.Unlock(t.Context())
				if errors.Is(err, redlock.ErrNoQuorum) {
					noQuorum.Add(1)
					continue
				}
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
	return int(noQuorum.Load())
}

func TestNoKeyIsLeftASecondAfterManyLocks(t *testing.T) {
	rig := newRealRig(t, 5)
	l := rig.locker(t, redlock.WithNodeTimeout(realPatience)) // a busy machine stalls for seconds
	begun := time.Now()
	require.Zero(t, lockMany(t, l, 2000))
	ended := time.Now()
	// Not drained first: that is the point.
	rig.requireEmpty(t, realTTL/3)
	t.Logf("2000 locks in %v, no key left %v later", ended.Sub(begun), time.Since(ended))
	drain(t, l)
}

func TestNoKeyIsLeftOnASlowNode(t *testing.T) {
	t.Parallel()
	rig := newRealProxiedRig(t, 5)
	rig.loadScripts(t)
	var nodeErrors realCounter
	l := rig.locker(t, nodeErrors.option(), redlock.WithNodeTimeout(realPatience))
	rig.proxies[2].Latency(50 * time.Millisecond)
	begun := time.Now()
	require.Zero(t, lockMany(t, l, 2000))
	ended := time.Now()
	drain(t, l)
	drained := time.Now()
	rig.requireEmpty(t, realTTL/3)
	t.Logf("2000 locks in %v, the slow node is done %v later, no key left %v after that",
		ended.Sub(begun), drained.Sub(ended), time.Since(drained))
	t.Logf("%d node errors", nodeErrors.n.Load())
}

func TestNoKeyIsLeftWhereRepliesGetLost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		rounds int
		opt    func(*redis.Options)
	}{
		{"clients that give up early", 2000, func(o *redis.Options) { o.ReadTimeout = 200 * time.Millisecond }},
		{"clients with default options", 60, func(*redis.Options) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rig := newRealProxiedRig(t, 5, tt.opt)
			rig.loadScripts(t)
			l := rig.locker(t)
			rig.setFault(func(int, []string) faultproxy.Fault {
				if rand.IntN(20) == 0 { //nolint:gosec // nothing secret
					return faultproxy.DropReply
				}
				return faultproxy.Pass
			})
			begun := time.Now()
			noQuorum := lockMany(t, l, tt.rounds)
			ended := time.Now()
			drain(t, l)
			drained := time.Now()
			rig.requireEmpty(t, realTTL/3)
			t.Logf("%d locks in %v, %d releases without quorum, all nodes have answered %v later, no key left %v after that",
				tt.rounds, ended.Sub(begun), noQuorum, drained.Sub(ended), time.Since(drained))
			assert.Less(t, noQuorum, tt.rounds/20)
		})
	}
}
