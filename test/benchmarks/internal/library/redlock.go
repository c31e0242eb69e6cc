package library

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
)

// shutdownTimeout bounds the wait for what a Locker has under way. A frozen node may
// not answer for long; and a far one that a quick caller has sent more than the
// connections to it can carry catches up only then.
const shutdownTimeout = 10 * time.Second

// Ours is what the names of this library begin with.
const Ours = "redlock"

// Redlock is this library on plain clients.
func Redlock(opts ...redlock.Option) Library {
	return Library{
		Name: Ours, Settings: "WithRetry(Forever, 400ms)",
		Open: func(addrs []string, ttl time.Duration) (Locker, error) {
			nodes := clients(addrs)
			return openRedlock(nodes, ttl, opts)
		},
	}
}

// RedlockPipelined is this library with what many callers want at once sent in
// pipelines.
func RedlockPipelined(opts ...redlock.Option) Library {
	l := Redlock(append([]redlock.Option{redlock.WithAutoPipeline()}, opts...)...)
	l.Name, l.Settings = Ours+", WithAutoPipeline", l.Settings+", WithAutoPipeline()"
	return l
}

// RedlockWithoutLine is this library without the line of those who wait.
func RedlockWithoutLine() Library {
	l := Redlock(withoutWaitingLine()...)
	l.Name, l.Settings = Ours+", no line", l.Settings+", WithoutWaitingLine()"
	return l
}

func withoutWaitingLine() []redlock.Option {
	return []redlock.Option{redlock.WithoutWaitingLine()}
}

// RedlockFenced is this library with fencing tokens.
func RedlockFenced() Library {
	l := Redlock(redlock.WithFencing(24 * time.Hour))
	l.Name, l.Settings = Ours+", fenced", l.Settings+", WithFencing(24h)"
	return l
}

// RedlockAll is this library with locks on n resources at once.
func RedlockAll(l Library, n int) Library {
	one := l.Open
	l.Settings += ", LockAll"
	l.Open = func(addrs []string, ttl time.Duration) (Locker, error) {
		locker, err := one(addrs, ttl)
		if ours, ok := locker.(*redlockLocker); ok {
			ours.several = n
		}
		return locker, err
	}
	return l
}

type redlockLocker struct {
	locker  *redlock.Locker
	clients []*redis.Client
	ttl     time.Duration
	several int // resources that are locked at once; 0: one, by Lock
}

func openRedlock(nodes []*redis.Client, ttl time.Duration, opts []redlock.Option) (Locker, error) {
	opts = append([]redlock.Option{redlock.WithRetry(redlock.Forever, 400*time.Millisecond)}, opts...)
	l, err := redlock.New(nodes, opts...)
	if err != nil {
		return nil, err
	}
	return &redlockLocker{locker: l, clients: nodes, ttl: ttl}, nil
}

func (l *redlockLocker) Mutex(key string) Mutex {
	m := &redlockMutex{from: l, key: key}
	for i := range l.several {
		m.keys = append(m.keys, key+"/"+strconv.Itoa(i))
	}
	return m
}

func (l *redlockLocker) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	return errors.Join(l.locker.Shutdown(ctx), closeAll(l.clients))
}

type redlockMutex struct {
	from *redlockLocker
	key  string
	keys []string // all at once instead
	lock *redlock.Lock
}

func (m *redlockMutex) Lock(ctx context.Context) (err error) {
	if m.keys != nil {
		m.lock, err = m.from.locker.LockAll(ctx, m.keys, m.from.ttl)
		return err
	}
	m.lock, err = m.from.locker.Lock(ctx, m.key, m.from.ttl)
	return err
}

func (m *redlockMutex) Extend(ctx context.Context) error { return m.lock.Extend(ctx, m.from.ttl) }
func (m *redlockMutex) Unlock(ctx context.Context) error { return m.lock.Unlock(ctx) }
