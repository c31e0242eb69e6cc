package chaos

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/faultproxy"
	"github.com/b0401464/redlock/test/servers"
)

// A world is servers, the processes that lock on them, and what they lock.
type world struct {
	figures   *figures
	servers   []*servers.Server
	direct    []*redis.Client // straight to the servers, to look at what they hold
	processes []*process
	counters  []*counter
}

// A process is a Locker and its ways to the nodes.
type process struct {
	id     int
	ways   []*way
	locker *redlock.Locker
}

// A way is what one process has to one node.
type way struct {
	*faultproxy.Proxy
	mu    sync.Mutex
	holes int // faults that have it swallow everything
}

func newWorld(t *testing.T, f *figures) *world {
	t.Helper()
	w := &world{figures: f, servers: servers.Start(t, nodes, servers.WithAppendOnly())}
	for _, s := range w.servers {
		w.direct = append(w.direct, s.Client(t))
	}
	for i := range processes {
		var opts []redlock.Option
		if i%4 != 0 { // the others lock beside them
			opts = append(opts, redlock.WithFencing(keep))
		}
		w.processes = append(w.processes, newProcess(t, i, w.servers, f, opts...))
	}
	spread(t, w.direct, resources[0])
	for _, resource := range resources {
		w.counters = append(w.counters, newCounter(resource, f))
	}
	return w
}

// newProcess returns a process: every second one has the client options that
// docs/nodes.md recommends instead of go-redis' defaults, two of four an eager
// retry schedule instead of the default one, and every third one pipeliners.
func newProcess(t *testing.T, i int, servers []*servers.Server, f *figures, opts ...redlock.Option) *process {
	t.Helper()
	p := &process{id: i}
	clients := make([]*redis.Client, len(servers))
	for node, s := range servers {
		way := &way{Proxy: faultproxy.New(t, s.Addr())}
		p.ways = append(p.ways, way)
		clients[node] = s.Client(t, func(o *redis.Options) {
			o.Addr = way.Addr()
			if i%2 == 1 {
				recommend(o)
			}
		})
	}
	opts = append(opts, redlock.WithNodeErrorHandler(f.nodeFailed))
	if i%3 == 1 {
		opts = append(opts, redlock.WithAutoPipeline())
	}
	if i%4 >= 2 {
		opts = append(opts, redlock.WithRetry(redlock.Forever, 25*time.Millisecond))
	}
	var err error
	p.locker, err = redlock.New(clients, opts...)
	require.NoError(t, err)
	return p
}

// recommend sets what docs/nodes.md says of client options.
func recommend(o *redis.Options) {
	o.DialTimeout = time.Second
	o.DialerRetries = 1
	o.ReadTimeout = time.Second
	o.MaxRetries = 1
	o.PoolSize = 100
}

// swallow makes everything on the way disappear until restore is called as
// often.
func (w *way) swallow() { w.dig(1) }

func (w *way) restore() { w.dig(-1) }

func (w *way) dig(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holes += n
	w.BlackHole(w.holes > 0)
}

// work has every process use every resource, until ctx ends.
func (w *world) work(ctx context.Context, wg *sync.WaitGroup, seed uint64) {
	for _, p := range w.processes {
		for _, c := range w.counters {
			seed++
			random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // nothing secret
			wg.Go(func() { (&worker{process: p, counter: c, figures: w.figures, random: random}).run(ctx) })
		}
	}
}

// shutdown ends all lockers, and waits for what they do in the background.
func (w *world) shutdown(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	errs := make([]error, len(w.processes))
	var wg sync.WaitGroup
	begun := time.Now()
	for i, p := range w.processes {
		wg.Go(func() { errs[i] = p.locker.Shutdown(ctx) })
	}
	wg.Wait()
	w.figures.shutdown = time.Since(begun)
	for i, err := range errs {
		assert.NoError(t, err, "process %d", i)
	}
}

// awaitEmpty waits until no key is left, at most for the longest TTL, or that of a line,
// and what the network had still to deliver when it was healed.
func (w *world) awaitEmpty(t *testing.T) {
	t.Helper()
	f, begun := w.figures, time.Now()
	delivery := time.Second + f.timers.slack()
	locks, lines := w.keys(t)
	f.keysAtShutdown = locks + lines
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ; locks+lines > 0; <-tick.C {
		passed := time.Since(begun) // before the look, which may take its time
		locks, lines = w.keys(t)
		if locks > 0 && passed > maxTTL+delivery || passed > lineTTL+delivery {
			f.keysLeft = locks + lines
			break
		}
	}
	f.emptyAfter = time.Since(begun)
	assert.Zero(t, f.keysLeft, "keys left %v after everything had ended", f.emptyAfter)
}

// lineTTL is how long a line lasts after the last one in it has asked: one who was cut
// off from the node that keeps it when it gave up has not left it.
const lineTTL = 10 * time.Second

// keys returns how many keys all servers hold together, and of those that keep a line
// apart, but for the counters of tokens. KEYS passes over those that have expired and are not deleted yet.
func (w *world) keys(t *testing.T) (locks, lines int) {
	t.Helper()
	for _, c := range w.direct {
		keys, err := c.Keys(t.Context(), "*").Result()
		require.NoError(t, err)
		for _, key := range keys {
			switch {
			case strings.HasSuffix(key, counterOf("")[2:]):
			case strings.HasSuffix(key, ":redlock:line"):
				lines++
			default:
				locks++
			}
		}
	}
	return locks, lines
}

// log prints the last sections.
func (w *world) log(t *testing.T) {
	t.Helper()
	for _, c := range w.counters {
		c.log(t)
	}
}
