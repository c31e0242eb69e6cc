package benchmarks

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/b0401464/redlock/test/benchmarks/internal/library"
	"github.com/b0401464/redlock/test/benchmarks/internal/report"
	"github.com/b0401464/redlock/test/servers"
)

// patience is for states that have to come; a busy machine is slow.
const patience = time.Minute

// A rig is the servers of a case.
type rig struct {
	servers []*servers.Server
	direct  []*redis.Client // to look at what the servers hold and have done
}

func newRig(t *testing.T, r *run, nodes int) *rig {
	t.Helper()
	g := &rig{servers: servers.Start(t, nodes)}
	for _, s := range g.servers {
		g.direct = append(g.direct, s.Client(t))
	}
	info, err := g.direct[0].InfoMap(t.Context(), "server").Result()
	require.NoError(t, err)
	r.result.Machine.Redis = info["Server"]["redis_version"]
	return g
}

// addrs returns the addresses of the first n servers.
func (g *rig) addrs(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = g.servers[i].Addr()
	}
	return all
}

// keyOf returns a key that no other library uses, so that what one leaves behind
// does not get in the way of the next.
func keyOf(l library.Library, name string) string { return l.Name + "/" + name }

// keys returns the keys of a library on each server.
func (g *rig) keys(t *testing.T, l library.Library) (keys [][]string, sum int) {
	t.Helper()
	for _, c := range g.direct {
		found, err := c.Keys(t.Context(), "*"+keyOf(l, "*")).Result()
		require.NoError(t, err)
		found = slices.DeleteFunc(found, func(key string) bool { return strings.HasSuffix(key, ":redlock:token") }) // are to stay
		keys = append(keys, found)
		sum += len(found)
	}
	return keys, sum
}

// clean waits until no key of a library is left. What it leaves behind is
// counted as an error, and removed; this library must not leave anything.
func (g *rig) clean(t *testing.T, l library.Library, row *report.Row) {
	t.Helper()
	wait := time.Second
	if strings.HasPrefix(l.Name, library.Ours) {
		wait = ttl / 2 // on a busy machine; what is left behind lasts for twice that
	}
	for deadline := time.Now().Add(wait); ; time.Sleep(5 * time.Millisecond) {
		keys, left := g.keys(t, l)
		if left == 0 {
			return
		}
		if time.Now().Before(deadline) {
			continue
		}
		row.Fail(map[string]int{"keys left behind": left})
		if strings.HasPrefix(l.Name, library.Ours) {
			t.Errorf("%s left %d keys behind: %v", l.Name, left, keys)
		}
		for i, c := range g.direct {
			if len(keys[i]) > 0 {
				require.NoError(t, c.Del(t.Context(), keys[i]...).Err())
			}
		}
		return
	}
}

// opening is how many Lockers are opened or closed at once.
const opening = 16

// open returns n Lockers of the library, each with clients of its own, as in n
// processes. All have locked before, so that connections are there and scripts
// known.
func open(t *testing.T, l library.Library, addrs []string, n int, ttl time.Duration) []library.Locker {
	t.Helper()
	lockers := make([]library.Locker, n)
	var g errgroup.Group
	g.SetLimit(opening)
	for i := range lockers {
		g.Go(func() (err error) {
			if lockers[i], err = l.Open(addrs, ttl); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			m := lockers[i].Mutex(keyOf(l, "warm-up "+strconv.Itoa(i)))
			if err := m.Lock(ctx); err != nil {
				return err
			}
			return m.Unlock(ctx)
		})
	}
	require.NoError(t, g.Wait(), l.Name)
	return lockers
}

// shut closes Lockers.
func shut(t *testing.T, l library.Library, lockers []library.Locker) {
	t.Helper()
	var g errgroup.Group
	g.SetLimit(opening)
	for _, locker := range lockers {
		g.Go(locker.Close)
	}
	require.NoError(t, g.Wait(), l.Name)
}

// traffic is what servers have done, all of them together.
type traffic struct {
	commands float64 // those that scripts run too, but not what sets up connections or looks at the server
	reads    float64 // of a socket: requests, where clients don't pipeline
}

// uncounted are commands that locking does not consist of.
var uncounted = map[string]bool{
	"hello": true, "auth": true, "client": true, "select": true, "command": true,
	"info": true, "keys": true, "ping": true, "script": true,
}

func (g *rig) traffic(t *testing.T) traffic {
	t.Helper()
	var sum traffic
	for _, c := range g.direct {
		info, err := c.InfoMap(t.Context(), "stats", "commandstats").Result()
		require.NoError(t, err)
		for name, value := range info["Commandstats"] {
			name, _, _ = strings.Cut(strings.TrimPrefix(name, "cmdstat_"), "|")
			calls, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
			n, err := strconv.ParseFloat(calls, 64)
			require.NoError(t, err, value)
			if !uncounted[name] {
				sum.commands += n
			}
		}
		n, err := strconv.ParseFloat(info["Stats"]["total_reads_processed"], 64)
		require.NoError(t, err)
		sum.reads += n
	}
	return sum
}

// since returns what was done after before, for each of turns and nodes.
func (a traffic) since(before traffic, turns, nodes int) traffic {
	per := float64(max(turns, 1) * nodes)
	return traffic{(a.commands - before.commands) / per, (a.reads - before.reads) / per}
}
