package batch

import (
	"context"
	"runtime"
	"sync"
	"weak"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/script"
)

// A spread is the last hook of a ClusterClient: it sends each server its part of a batch,
// after the program's own hooks have seen it. The pipeline of the ClusterClient would do so
// on goroutines that end the program if they panic. What is not there any more is told by
// an error, and the repeat follows it.
type spread struct{ cluster *redis.ClusterClient }

// spreads are the ClusterClients that have one: a hook is there for good, and clients
// outlive Lockers.
var spreads struct {
	mu  sync.Mutex
	all map[weak.Pointer[redis.ClusterClient]]bool
}

func spreadOver(c *redis.ClusterClient) {
	spreads.mu.Lock()
	defer spreads.mu.Unlock()
	key := weak.Make(c)
	if spreads.all[key] {
		return
	}
	if spreads.all == nil {
		spreads.all = make(map[weak.Pointer[redis.ClusterClient]]bool)
	}
	spreads.all[key] = true
	runtime.AddCleanup(c, func(key weak.Pointer[redis.ClusterClient]) {
		spreads.mu.Lock()
		defer spreads.mu.Unlock()
		delete(spreads.all, key)
	}, key)
	c.AddHook(spread{c})
}

// DialHook does nothing.
func (spread) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook does nothing.
func (spread) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook sends what is a batch of a queue to the servers.
func (s spread) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) (failure error) {
		parts := make(map[*redis.Client][]redis.Cmder)
		for _, cmd := range cmds {
			if !client.IsOnce(cmd) {
				return next(ctx, cmds)
			}
			key, _ := script.Key(cmd.Args()).(string) // a hook may have changed it
			master, err := s.cluster.MasterForKey(ctx, key)
			if err != nil {
				cmd.SetErr(err)
				failure = err
				continue
			}
			parts[master] = append(parts[master], cmd)
		}
		for master, part := range parts {
			if err := client.Pipelined(ctx, master, part); err != nil {
				failure = err
			}
		}
		return failure
	}
}
