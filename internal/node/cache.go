package node

import (
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/script"
)

// A node caches scripts by their names. One that it does not know is an error to the
// client, whose Limiter may be a circuit breaker, and costs a round trip. So a script is
// sent by its source until the node has run it. A node may forget scripts when it
// restarts, which a client with idle connections does not tell: where none has been run
// for a while, one command asks by the name, and others that come meanwhile send the
// source.
const fresh = time.Second

// A cached tells whether a server has a script in its cache. Both are moments by the
// monotonic clock; see tick.
type cached struct {
	ran   atomic.Int64 // when it was known to have run last; 0 if it may not be there
	asked atomic.Int64 // when one command has asked by the name; 0 if none has
}

// started is what ticks count from.
var started = time.Now()

// tick returns the ns from the start of the process to now, and is never 0.
func tick(now time.Time) int64 { return max(int64(now.Sub(started)), 1) }

// A cache is what is known of a node's. A Cluster has several servers: those of each part
// of the slots count apart.
type cache struct {
	parts [][script.Count]cached
}

func newCache(c client.Client) cache {
	n := 1
	if client.SpreadOf(c) != client.Whole {
		n = client.Parts
	}
	return cache{make([][script.Count]cached, n)}
}

func (c *cache) of(k *Command, resource string) *cached {
	part := 0
	if n := len(c.parts); n > 1 {
		part = client.Part(resource, n)
	}
	return &c.parts[part][k.Script.Index(k.Args)]
}

// byName reports whether to send a script by its name.
func (c *cached) byName(now time.Time) bool {
	at, ran := tick(now), c.ran.Load()
	if ran == 0 || at-ran < int64(fresh) {
		return ran != 0
	}
	asked := c.asked.Load()
	return (asked == 0 || at-asked >= int64(fresh)) && c.asked.CompareAndSwap(asked, at)
}

// knows takes note of what an answer to a script says of the cache.
func (c *cache) knows(k *Command, resource string, err error, now time.Time) {
	switch {
	case err == nil:
		known, at := c.of(k, resource), tick(now)
		// Not each command writes what all others read.
		if ran := known.ran.Load(); ran == 0 || at-ran > int64(fresh/8) {
			known.ran.Store(at)
		}
	case redis.HasErrorPrefix(err, "NOSCRIPT"):
		c.of(k, resource).ran.Store(0)
	case client.Unconnected(err) || client.Disconnected(err): // it may restart
		for i := range c.parts {
			for j := range c.parts[i] {
				c.parts[i][j].ran.Store(0)
			}
		}
	}
}
