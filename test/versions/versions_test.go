// Package versions_test has processes of two versions of the library lock on the same real
// servers, as during a rolling upgrade: this version, and the last release.
package versions_test

import (
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock/test/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

const (
	before = "old"
	now    = "new"

	sections = 100 // that each of two contests has
	// ahead is a token that no clock proposes, so that only the counters let tokens grow.
	ahead = 1 << 52
)

var (
	ttl  = rig.LongTTL.Milliseconds()
	keep = time.Hour.Milliseconds()
)

// Building takes longest, so one test does it for all.
func TestAnOldAndANewProcessSideBySide(t *testing.T) {
	rig.Long(t)
	old, current, release := build(t)
	t.Logf("the old version is %s", release)
	programs := map[string]string{before: old, now: current}

	t.Run("they exclude each other", func(t *testing.T) { excludeEachOther(t, programs, 0) })
	t.Run("they exclude each other, and their tokens grow", func(t *testing.T) { excludeEachOther(t, programs, keep) })
	t.Run("they wait in one line, and each gets its turn", func(t *testing.T) { waitInOneLine(t, programs) })
	for _, holder := range []string{before, now} {
		waiter := map[string]string{before: now, now: before}[holder]
		t.Run("a release by the "+holder+" one calls the "+waiter+" one", func(t *testing.T) { callEachOther(t, programs, holder, waiter) })
		t.Run("the "+holder+" one extends, and the "+waiter+" one cannot get in", func(t *testing.T) { extend(t, programs, holder, waiter) })
	}
}

// A referee knows who is in a section, and nothing of locks.
type referee struct {
	mu       sync.Mutex
	inside   string
	overlaps []string
	last     int64 // token
	smaller  int   // tokens that had not grown
	entered  map[string]int
	left     int // sections
}

// enter reports whether there are sections left.
func (r *referee) enter(p *process, token int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left == 0 {
		return false
	}
	r.left--
	r.entered[p.version]++
	if r.inside != "" {
		r.overlaps = append(r.overlaps, p.version+" inside "+r.inside)
	}
	if token <= r.last {
		r.smaller++
	}
	r.inside, r.last = p.version, token
	return true
}

func (r *referee) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inside = ""
}

func excludeEachOther(t *testing.T, programs map[string]string, keep int64) {
	t.Helper()
	on := rig.NewReal(t, 3)
	if keep > 0 {
		for _, c := range on.Direct {
			require.NoError(t, c.Set(t.Context(), "{a}:redlock:token", ahead, 0).Err())
		}
	}
	r := &referee{entered: map[string]int{}, left: sections}
	var all sync.WaitGroup
	for _, version := range []string{before, now, before, now} {
		p := start(t, version, programs[version], on)
		all.Go(func() { contend(t, r, p, keep) })
	}
	all.Wait()
	assert.Empty(t, r.overlaps)
	for _, version := range []string{before, now} {
		assert.NotZero(t, r.entered[version], "the %s ones never get in", version)
	}
	if keep > 0 {
		assert.Zero(t, r.smaller, "tokens that are not larger than the one before")
		assert.Greater(t, r.last, int64(ahead))
	}
	requireNobodyHas(t, on, "a")
	t.Logf("sections: %v", r.entered)
}

// contend has p enter sections while there are any left.
func contend(t *testing.T, r *referee, p *process, keep int64) {
	t.Helper()
	for {
		_, token, err := p.do("lock a %d %d", ttl, keep)
		if !assert.NoError(t, err) {
			return
		}
		more := r.enter(p, token)
		if more {
			r.leave()
		}
		if _, _, err := p.do("unlock"); !assert.NoError(t, err) || !more {
			return
		}
	}
}

// requireNobodyHas waits until the key of a lock is gone from all nodes.
func requireNobodyHas(t *testing.T, on *rig.Real, key string) {
	t.Helper()
	require.True(t, rig.Poll(rig.Patience, func() bool {
		left := int64(0)
		for _, c := range on.Direct {
			left += c.Exists(t.Context(), key).Val()
		}
		return left == 0
	}), "a key is left")
}

// standInLine has p wait for the lock, behind others in its line.
func standInLine(t *testing.T, on *rig.Real, p *process, others int64) (gate *redis.Client, locker string) {
	t.Helper()
	require.NoError(t, p.say("lock a %d 0", ttl))
	gate = on.Direct[on.Gate(t, "a")]
	require.True(t, rig.Poll(rig.Patience, func() bool { return gate.ZCard(t.Context(), "{a}:redlock:line").Val() == others+1 }), "it does not stand in line")
	last, err := gate.ZRange(t.Context(), "{a}:redlock:line", -1, -1).Result()
	require.NoError(t, err)
	require.Len(t, last, 1)
	return gate, last[0]
}

// What becomes of the order among waiters of two versions is not promised.
func waitInOneLine(t *testing.T, programs map[string]string) {
	t.Helper()
	on := rig.NewReal(t, 3)
	holder := start(t, before, programs[before], on)
	holder.must(t, "lock a %d 0", ttl)
	versions := []string{now, before, before, now, now, before}
	r := &referee{entered: map[string]int{}, left: len(versions)}
	order := make(chan int, len(versions))
	var all sync.WaitGroup
	for i, version := range versions {
		p := start(t, version, programs[version], on)
		standInLine(t, on, p, int64(i))
		all.Go(func() {
			ok, token, err := p.hear()
			if !assert.NoError(t, err, "number %d gets no turn", i) || !assert.True(t, ok) {
				return
			}
			r.enter(p, token)
			order <- i
			r.leave()
			_, _, err = p.do("unlock")
			assert.NoError(t, err)
		})
	}
	holder.must(t, "unlock")
	all.Wait()
	assert.Empty(t, r.overlaps)
	close(order)
	var served []int
	for i := range order {
		served = append(served, i)
	}
	t.Logf("served: %v", served)
	requireNobodyHas(t, on, "a")
}

func callEachOther(t *testing.T, programs map[string]string, holder, waiter string) {
	t.Helper()
	on := rig.NewReal(t, 3)
	first, second := start(t, holder, programs[holder], on), start(t, waiter, programs[waiter], on)
	first.must(t, "lock a %d 0", ttl)
	gate, locker := standInLine(t, on, second, 0)
	require.True(t, rig.Poll(rig.Patience, func() bool {
		return gate.PubSubNumSub(t.Context(), "redlock:"+locker).Val()["redlock:"+locker] == 1
	}), "the %s one does not listen", waiter)
	heard := gate.Subscribe(t.Context(), "redlock:"+locker)
	defer func() { _ = heard.Close() }()
	_, err := heard.Receive(t.Context()) // that it is subscribed
	require.NoError(t, err)

	first.must(t, "unlock")
	select {
	case m := <-heard.Channel():
		assert.Equal(t, "a", m.Payload)
	case <-time.After(rig.Patience):
		require.Fail(t, "the "+waiter+" one is not called")
	}
	ok, _, err := second.hear()
	require.NoError(t, err)
	require.True(t, ok)
	second.must(t, "unlock")
}

func extend(t *testing.T, programs map[string]string, holder, other string) {
	t.Helper()
	on := rig.NewReal(t, 3)
	first, second := start(t, holder, programs[holder], on), start(t, other, programs[other], on)
	token := first.must(t, "lock a %d %d", ttl/2, keep)
	first.must(t, "extend %d", ttl)
	second.refused(t, "try a %d %d", ttl, keep)
	second.refused(t, "try a %d 0", ttl)
	extended := 0 // of a node that has not answered the lock yet, an extension asks nothing
	for _, c := range on.Direct {
		if c.PTTL(t.Context(), "a").Val().Milliseconds() > ttl/2 {
			extended++
		}
	}
	assert.GreaterOrEqual(t, extended, 2)
	first.must(t, "unlock")
	requireNobodyHas(t, on, "a")
	assert.Greater(t, second.must(t, "try a %d %d", ttl, keep), token)
	second.must(t, "extend %d", ttl)
	first.refused(t, "try a %d %d", ttl, keep)
	second.must(t, "unlock")
}
