// Package library puts the lock libraries behind one interface, each used as a
// user of it would, so that the same load can be put on all of them.
package library

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Library is a lock library with the settings it is measured with.
type Library struct {
	Name     string
	Settings string // what a user would have to write to get the same
	MaxNodes int    // 0: any number
	// Open returns a Locker with clients of its own.
	Open func(addrs []string, ttl time.Duration) (Locker, error)
}

// Can reports whether the library can lock on that many independent nodes.
func (l Library) Can(nodes int) bool { return l.MaxNodes == 0 || nodes <= l.MaxNodes }

// A Locker is what a process has one of. It is safe for concurrent use.
type Locker interface {
	// Mutex returns a mutex for one goroutine, which keeps what the library
	// wants to be kept between Lock and Unlock, or from lock to lock.
	Mutex(key string) Mutex
	// Close gives up the Locker and its clients, once what runs in the
	// background is over.
	Close() error
}

// A Mutex is one lock of one goroutine, again and again.
type Mutex interface {
	// Lock waits until it has the lock, or ctx ends.
	Lock(ctx context.Context) error
	// Extend makes the lock last for the whole TTL from now. It returns
	// [errors.ErrUnsupported] where the library has nothing of the kind.
	Extend(ctx context.Context) error
	Unlock(ctx context.Context) error
}

// clients returns a client of default options for each address.
func clients(addrs []string) []*redis.Client {
	all := make([]*redis.Client, len(addrs))
	for i, addr := range addrs {
		all[i] = redis.NewClient(&redis.Options{Addr: addr})
	}
	return all
}

func closeAll(clients []*redis.Client) error {
	errs := make([]error, len(clients))
	for i, c := range clients {
		errs[i] = c.Close()
	}
	return errors.Join(errs...)
}

// pipeliners returns the blocking AutoPipeliner of each client, which is closed
// with it.
func pipeliners(clients []*redis.Client) ([]*redis.AutoPipeliner, error) {
	all := make([]*redis.AutoPipeliner, len(clients))
	for i, c := range clients {
		p, err := c.AutoPipeline()
		if err != nil {
			return nil, err
		}
		all[i] = p
	}
	return all, nil
}
