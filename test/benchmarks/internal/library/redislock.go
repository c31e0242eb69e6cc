package library

import (
	"context"
	"time"

	"github.com/bsm/redislock"
	"github.com/redis/go-redis/v9"
)

// Redislock is bsm/redislock, which locks on one node, with the pause between
// attempts that its documentation uses.
func Redislock() Library {
	return Library{
		Name: "redislock", Settings: "RetryStrategy: LinearBackoff(100ms)", MaxNodes: 1,
		Open: func(addrs []string, ttl time.Duration) (Locker, error) {
			plain := clients(addrs)
			return &redislockLocker{redislock.New(plain[0]), plain, ttl}, nil
		},
	}
}

// RedislockPipelined is redislock on a client that pipelines.
func RedislockPipelined() Library {
	return Library{
		Name: "redislock, AutoPipeliner", Settings: "RetryStrategy: LinearBackoff(100ms), client.AutoPipeline()", MaxNodes: 1,
		Open: func(addrs []string, ttl time.Duration) (Locker, error) {
			plain := clients(addrs)
			nodes, err := pipeliners(plain)
			if err != nil {
				return nil, err
			}
			return &redislockLocker{redislock.New(nodes[0]), plain, ttl}, nil
		},
	}
}

type redislockLocker struct {
	client  *redislock.Client
	clients []*redis.Client
	ttl     time.Duration
}

var redislockOptions = &redislock.Options{RetryStrategy: redislock.LinearBackoff(100 * time.Millisecond)}

func (l *redislockLocker) Mutex(key string) Mutex { return &redislockMutex{from: l, key: key} }
func (l *redislockLocker) Close() error           { return closeAll(l.clients) }

type redislockMutex struct {
	from *redislockLocker
	key  string
	lock *redislock.Lock
}

func (m *redislockMutex) Lock(ctx context.Context) (err error) {
	m.lock, err = m.from.client.Obtain(ctx, m.key, m.from.ttl, redislockOptions)
	return err
}

func (m *redislockMutex) Extend(ctx context.Context) error {
	return m.lock.Refresh(ctx, m.from.ttl, nil)
}

func (m *redislockMutex) Unlock(ctx context.Context) error { return m.lock.Release(ctx) }
