package pipeline_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// A moodyClient does to batches what networks do to packets.
type moodyClient struct {
	mu     sync.Mutex
	random *rand.Rand
	met    int // batches of several commands that it has done something to
}

func (m *moodyClient) chance(n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.random.IntN(n) == 0
}

func (m *moodyClient) pause() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.random.IntN(4) > 0 {
		return time.Duration(m.random.IntN(5000)) * time.Microsecond
	}
	return time.Duration(m.random.IntN(1000)) * time.Millisecond
}

func (m *moodyClient) batch(cmds []redis.Cmder, next func() error) error {
	if !m.chance(5) {
		time.Sleep(time.Millisecond) // so that others gather meanwhile
		return next()
	}
	if len(cmds) > 1 {
		m.mu.Lock()
		m.met++
		m.mu.Unlock()
	}
	time.Sleep(m.pause())
	lost := m.chance(2)
	if !lost {
		if err := next(); err != nil {
			return err
		}
		time.Sleep(m.pause())
	}
	if lost || m.chance(2) {
		for _, cmd := range cmds { // as go-redis does when a connection breaks
			cmd.SetErr(rig.ErrRefused)
		}
		return rig.ErrRefused
	}
	return nil
}

// moodyTurns has callers of several Lockers lock some resources again and again.
func moodyTurns(t *testing.T, lockers []*redlock.Locker, seed uint64, callers, turns int) (granted int) {
	t.Helper()
	const resources = 12
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		inside [resources]int
	)
	for caller := range callers {
		l := lockers[caller%len(lockers)]
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(2+caller))) //nolint:gosec // one seed, one game
			for range turns {
				r := random.IntN(resources)
				hold := time.Duration(random.IntN(20)) * time.Millisecond
				_ = l.With(t.Context(), fmt.Sprint("k", r), time.Minute, func(context.Context, *redlock.Lock) error {
					mu.Lock()
					granted++
					inside[r]++
					assert.Equal(t, 1, inside[r], "holders of %d", r)
					mu.Unlock()
					time.Sleep(hold)
					mu.Lock()
					inside[r]--
					mu.Unlock()
					return nil
				}, nil, redlock.WithMaxWait(20*time.Second))
			}
		})
	}
	wg.Wait()
	return granted
}

func TestBatchesThatHangFailOrComeLateBreakNoPromise(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const callers, turns = 60, 5
				random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // one seed, one game
				nodes := rig.New(t, 3)
				var lockers []*redlock.Locker
				for range 2 {
					lockers = append(lockers, rig.NewLocker(t, nodes, redlock.WithAutoPipeline(), redlock.WithNodeTimeout(200*time.Millisecond)))
				}
				rig.WarmUp(t, lockers[0])
				hook, m := new(rig.BatchHook), &moodyClient{random: random}
				for _, n := range nodes {
					n.Client.AddHook(hook)
				}
				hook.Set(m.batch)
				granted := moodyTurns(t, lockers, seed, callers, turns)
				hook.Set(nil)
				assert.Greater(t, granted, callers*turns/2)
				assert.Positive(t, m.met)
				for _, l := range lockers {
					require.NoError(t, l.Shutdown(t.Context()))
				}
				synctest.Wait()
				left := 0
				for _, n := range nodes {
					left += len(n.Keys())
				}
				t.Logf("%d locks; %d batches met; %d keys left by releases of which both tries failed", granted, m.met, left)
				time.Sleep(time.Minute)
				lockAndUnlock(t, rig.NewLocker(t, nodes, redlock.WithAutoPipeline()))("k0")
				rig.RequireNoKeys(t, nodes)
			})
		})
	}
}
