package faults_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/internal/script"
	"github.com/b0401464/redlock/test/faultproxy"
	"github.com/b0401464/redlock/test/rig"
)

func TestFourThousandCallersTripNoLimit(t *testing.T) {
	const callers = 4096
	on := rig.NewReal(t, 3)
	var nodeErrors rig.ErrorCounter
	l := on.Locker(t, redlock.WithNodeTimeout(rig.LongTTL/2), nodeErrors.Option())
	var (
		wg    sync.WaitGroup
		start = make(chan struct{})
		errs  = make([]error, callers)
	)
	for i := range callers {
		wg.Go(func() {
			<-start
			lock, err := l.TryLock(t.Context(), fmt.Sprintf("k%d", i), rig.LongTTL)
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
	rig.Drain(t, l)
	assert.Zero(t, nodeErrors.N.Load(), "node errors, of a minority too")
	on.RequireEmpty(t, rig.Patience)
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
				lock, err := l.Lock(t.Context(), fmt.Sprintf("k%d", i), rig.LongTTL)
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
	on := rig.NewReal(t, 5)
	l := on.Locker(t, redlock.WithNodeTimeout(rig.Patience)) // a busy machine stalls for seconds
	begun := time.Now()
	require.Zero(t, lockMany(t, l, 2000))
	ended := time.Now()
	// Not drained first: that is the point.
	on.RequireEmpty(t, rig.LongTTL/3)
	t.Logf("2000 locks in %v, no key left %v later", ended.Sub(begun), time.Since(ended))
	rig.Drain(t, l)
}

func TestNoKeyIsLeftOnASlowNode(t *testing.T) {
	t.Parallel()
	on := rig.NewProxied(t, 5)
	on.LoadScripts(t)
	var nodeErrors rig.ErrorCounter
	l := on.Locker(t, nodeErrors.Option(), redlock.WithNodeTimeout(rig.Patience))
	on.Proxies[2].Latency(50 * time.Millisecond)
	begun := time.Now()
	require.Zero(t, lockMany(t, l, 2000))
	ended := time.Now()
	rig.Drain(t, l)
	drained := time.Now()
	on.RequireEmpty(t, rig.LongTTL/3)
	t.Logf("2000 locks in %v, the slow node is done %v later, no key left %v after that",
		ended.Sub(begun), drained.Sub(ended), time.Since(drained))
	t.Logf("%d node errors", nodeErrors.N.Load())
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
			on := rig.NewProxied(t, 5, tt.opt)
			on.LoadScripts(t)
			l := on.Locker(t)
			var passed passages
			on.SetFault(func(node int, cmd []string) faultproxy.Fault {
				passed.add(node, cmd)
				if rand.IntN(20) == 0 { //nolint:gosec // nothing secret
					return faultproxy.DropReply
				}
				return faultproxy.Pass
			})
			begun := time.Now()
			noQuorum := lockMany(t, l, tt.rounds)
			ended := time.Now()
			rig.Drain(t, l)
			drained := time.Now()
			rig.Eventually(t, rig.LongTTL/3, func(c *assert.CollectT) {
				assert.Empty(c, passed.unexplained(c, on), "keys left behind")
			})
			t.Logf("%d locks in %v, %d releases without quorum, all nodes have answered %v later, no key left %v after that",
				tt.rounds, ended.Sub(begun), noQuorum, drained.Sub(ended), time.Since(drained))
			assert.Less(t, noQuorum, tt.rounds/20)
		})
	}
}

// A passages is which commands for each value have gone to each node, in that order. Where
// a machine is so busy that a client gives a command up which is on its way, a copy
// of the acquire may come behind the release. That costs a node for a TTL, as the documentation
// says, and is nothing that the library could prevent.
type passages struct {
	mu   sync.Mutex
	last map[string]passage // by node and value
}

type passage struct{ released, again bool } // again says that an acquire came behind that

// releases are the names of the scripts that release, and of the commands.
var releases = func() map[string]bool {
	all := map[string]bool{"delex": true, "delifeq": true}
	for _, s := range []*script.Script{script.Release, script.ReleaseGate} {
		s.Each(func(sha, source string) { all[sha], all[source] = true, true })
	}
	return all
}()

func (p *passages) add(node int, cmd []string) {
	name, value := strings.ToLower(cmd[0]), ""
	switch name {
	case "set":
		value = cmd[2]
	case "delex", "delifeq":
		value = cmd[len(cmd)-1]
	default:
		n, _ := strconv.Atoi(cmd[2])
		name, value = cmd[1], cmd[3+n]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = make(map[string]passage)
	}
	at := fmt.Sprint(node, " ", value)
	before := p.last[at]
	p.last[at] = passage{before.released || releases[name], before.released && !releases[name]}
}

// unexplained returns the keys on all nodes that no such copy has left.
func (p *passages) unexplained(t require.TestingT, on *rig.Real) (all []string) {
	for node := range on.Direct {
		for _, key := range on.Direct[node].Keys(context.Background(), "*").Val() {
			at := fmt.Sprint(node, " ", on.Get(t, node, key))
			p.mu.Lock()
			if l := p.last[at]; !l.again {
				all = append(all, fmt.Sprintf("%s on node %d, release sent: %v", key, node, l.released))
			}
			p.mu.Unlock()
		}
	}
	return all
}
