package simulation

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// A world is everything of one history. All of its state is under mu, the
// nodes' and the connections' too: a command on a node and the look at what it
// did are one step then. Nobody sleeps while holding it, so it costs no virtual
// time.
type world struct {
	seed    uint64
	profile profile
	began   time.Time

	nodes     []*node
	processes []*process // those that run now
	everybody []*process // those that ever ran
	resources []string

	mu       sync.Mutex
	weather  weather
	raging   bool      // an episode is on
	heals    time.Time // when it ends
	links    []*link
	wipes    []time.Time          // when nodes have lost their data
	values   map[[2]string]*value // by text and resource
	holds    []*hold
	waiters  []*waiter           // in the order of their calls
	places   map[place]time.Time // when each was given first
	stores   map[string]*store   // by resource
	events   []event
	found    []Violation
	stats    Stats
	longest  time.Duration // the longest TTL that a lock was asked for
	kept     time.Time     // until when a lock may be extended that nobody unlocks
	lastStep time.Time     // until when messages may be under way
	started  int           // processes, ever
}

func newWorld(seed uint64) *world {
	w := &world{seed: seed, began: time.Now(), values: make(map[[2]string]*value), places: make(map[place]time.Time), stores: make(map[string]*store)}
	random := w.random("profile")
	w.profile = pickProfile(random, w.random("line"), w.random("several"), w.random("plain"), w.random("quarantine"), w.random("channel"), w.random("erasing"), w.random("stopping"), w.random("failing over"))
	for i := range w.profile.nodes {
		w.nodes = append(w.nodes, newNode(w, i))
	}
	for i := range w.profile.resources {
		w.resources = append(w.resources, "resource:"+strconv.Itoa(i))
	}
	for range w.profile.processes {
		w.processes = append(w.processes, newProcess(w))
	}
	w.weather = w.profile.fair
	return w
}

// random returns a source of random numbers that depends on nothing but the
// seed and the name of who asks: what one of them draws does not change what
// another one gets.
func (w *world) random(name string, ids ...int) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	for _, id := range ids {
		_, _ = h.Write([]byte("/" + strconv.Itoa(id)))
	}
	return rand.New(rand.NewPCG(w.seed, h.Sum64())) //nolint:gosec // repeatable on purpose
}

// value returns what is known of a lock's random value. It is called with mu
// held, as everything is that has no other remark.
func (w *world) value(text, resource string) *value {
	key := [2]string{text, resource}
	v := w.values[key]
	if v == nil {
		v = &value{w: w, text: text, resource: resource, number: len(w.values) + 1}
		w.values[key] = v
	}
	return v
}

// valuesOf returns what is known of the value of a command at each of its resources.
func (w *world) valuesOf(c *command) []*value {
	all := make([]*value, 0, len(c.keys))
	for _, key := range c.keys {
		all = append(all, w.value(c.value, key))
	}
	return all
}

// after has f called with mu held once d has passed.
func (w *world) after(d time.Duration, f func()) {
	if end := time.Now().Add(d); end.After(w.lastStep) {
		w.lastStep = end
	}
	time.AfterFunc(d, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		f()
	})
}

// between draws a duration from [low, high], each magnitude as likely.
func between(r *rand.Rand, low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	ratio := float64(high) / float64(low)
	return time.Duration(float64(low) * math.Pow(ratio, r.Float64()))
}

// evenly draws a duration from [low, high), uniformly.
func evenly(r *rand.Rand, low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(r.Int64N(int64(high-low)))
}

// chance reports true with probability p.
func chance(r *rand.Rand, p float64) bool { return r.Float64() < p }
