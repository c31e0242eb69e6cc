package library

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Bare is go-redis alone: SET NX PX and a compare-and-delete script sent to all
// nodes at once, and the answers of all waited for. Nothing is made of them but
// an error, so it is the floor for libraries that wait for all nodes.
func Bare() Library {
	return Library{
		Name: "bare go-redis", Settings: "SET NX PX, compare-and-delete script",
		Open: func(addrs []string, ttl time.Duration) (Locker, error) {
			plain := clients(addrs)
			return newBareLocker(plain, plain, ttl), nil
		},
	}
}

// BarePipelined is [Bare] through the AutoPipeliners of the clients.
func BarePipelined() Library {
	return Library{
		Name: "bare go-redis, AutoPipeliner", Settings: "SET NX PX, compare-and-delete script, client.AutoPipeline()",
		Open: func(addrs []string, ttl time.Duration) (Locker, error) {
			plain := clients(addrs)
			nodes, err := pipeliners(plain)
			if err != nil {
				return nil, err
			}
			return newBareLocker(nodes, plain, ttl), nil
		},
	}
}

var compareAndDelete = redis.NewScript(`if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) end return 0`)

// A bareNode is what both a client and an AutoPipeliner can do.
type bareNode interface {
	redis.Scripter
	SetNX(ctx context.Context, key string, value any, ttl time.Duration) *redis.BoolCmd
}

type bareLocker struct {
	nodes   []bareNode
	clients []*redis.Client
	ttl     time.Duration
}

func newBareLocker[N bareNode](nodes []N, plain []*redis.Client, ttl time.Duration) Locker {
	l := &bareLocker{clients: plain, ttl: ttl}
	for _, n := range nodes {
		l.nodes = append(l.nodes, n)
	}
	return l
}

func (l *bareLocker) Mutex(key string) Mutex {
	return &bareMutex{from: l, keys: []string{key}, value: fmt.Sprintf("%032x", len(key))}
}

func (l *bareLocker) Close() error { return closeAll(l.clients) }

type bareMutex struct {
	from  *bareLocker
	keys  []string
	value string
}

var errBareRefused = errors.New("the key was there, or was not ours")

func (m *bareMutex) Lock(ctx context.Context) error {
	return m.fanOut(func(n bareNode) error {
		ok, err := n.SetNX(ctx, m.keys[0], m.value, m.from.ttl).Result()
		if err == nil && !ok {
			return errBareRefused
		}
		return err
	})
}

// Extend is left out: no case asks for it.
func (*bareMutex) Extend(context.Context) error { return errors.ErrUnsupported }

func (m *bareMutex) Unlock(ctx context.Context) error {
	return m.fanOut(func(n bareNode) error {
		removed, err := compareAndDelete.Run(ctx, n, m.keys, m.value).Int64()
		if err == nil && removed != 1 {
			return errBareRefused
		}
		return err
	})
}

// fanOut calls every node and returns an error of one that failed.
func (m *bareMutex) fanOut(call func(bareNode) error) error {
	nodes := m.from.nodes
	if len(nodes) == 1 {
		return call(nodes[0])
	}
	answers := make(chan error, len(nodes))
	for _, n := range nodes {
		go func() { answers <- call(n) }()
	}
	var failed error
	for range nodes {
		if err := <-answers; err != nil {
			failed = err
		}
	}
	return failed
}
