package library

import (
	"context"
	"math"
	"time"

	"github.com/go-redsync/redsync/v4"
	redsyncredis "github.com/go-redsync/redsync/v4/redis"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
)

// Redsync is redsync on go-redis, each mutex used again and again, with its own
// pauses between attempts, 50 to 250 ms.
func Redsync() Library {
	return redsyncLibrary("redsync", "WithExpiry(ttl), WithTries(unlimited), default delays", plainPools)
}

// RedsyncPipelined is redsync on clients that pipeline.
func RedsyncPipelined() Library {
	return redsyncLibrary("redsync, AutoPipeliner", "as redsync, client.AutoPipeline()", pipelinedPools)
}

// RedsyncFailFast is redsync that does not wait for more nodes than it needs.
func RedsyncFailFast() Library {
	return redsyncLibrary("redsync, fail fast", "as redsync, WithFailFast(true)", plainPools, redsync.WithFailFast(true))
}

func redsyncLibrary(name, settings string, pools poolMaker, more ...redsync.Option) Library {
	return Library{
		Name: name, Settings: settings,
		Open: func(addrs []string, ttl time.Duration) (Locker, error) {
			l := &redsyncLocker{
				clients: clients(addrs),
				opts:    append([]redsync.Option{redsync.WithExpiry(ttl), redsync.WithTries(math.MaxInt)}, more...),
			}
			all, err := pools(l.clients)
			if err != nil {
				return nil, err
			}
			l.redsync = redsync.New(all...)
			return l, nil
		},
	}
}

type poolMaker func([]*redis.Client) ([]redsyncredis.Pool, error)

func plainPools(clients []*redis.Client) ([]redsyncredis.Pool, error) {
	pools := make([]redsyncredis.Pool, len(clients))
	for i, c := range clients {
		pools[i] = goredis.NewPool(c)
	}
	return pools, nil
}

func pipelinedPools(clients []*redis.Client) ([]redsyncredis.Pool, error) {
	nodes, err := pipeliners(clients)
	if err != nil {
		return nil, err
	}
	pools := make([]redsyncredis.Pool, len(nodes))
	for i, p := range nodes {
		pools[i] = goredis.NewPool(p)
	}
	return pools, nil
}

type redsyncLocker struct {
	redsync *redsync.Redsync
	clients []*redis.Client
	opts    []redsync.Option
}

func (l *redsyncLocker) Mutex(key string) Mutex {
	return &redsyncMutex{l.redsync.NewMutex(key, l.opts...)}
}

func (l *redsyncLocker) Close() error { return closeAll(l.clients) }

type redsyncMutex struct{ mutex *redsync.Mutex }

func (m *redsyncMutex) Lock(ctx context.Context) error { return m.mutex.LockContext(ctx) }

func (m *redsyncMutex) Extend(ctx context.Context) error {
	return redsyncError(m.mutex.ExtendContext(ctx))
}

func (m *redsyncMutex) Unlock(ctx context.Context) error {
	return redsyncError(m.mutex.UnlockContext(ctx))
}

func redsyncError(ok bool, err error) error {
	switch {
	case ok:
		return nil
	case err == nil:
		return redsync.ErrFailed
	default:
		return err
	}
}
