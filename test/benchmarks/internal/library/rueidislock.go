package library

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
)

// tryNextAfter is how long rueidislock waits for a key. A free lock that it does
// not get within its default, 20 ms, on a busy machine it does not ask for
// again before something happens to the key.
const tryNextAfter = time.Second

// Rueidislock is rueidislock with one key on one node.
func Rueidislock() Library { return rueidislockLibrary("rueidislock", 1) }

// RueidislockMajority is rueidislock with a majority of three keys on one node,
// which is its default.
func RueidislockMajority() Library { return rueidislockLibrary("rueidislock, 3 keys", 2) }

func rueidislockLibrary(name string, majority int32) Library {
	return Library{
		Name:     name,
		Settings: fmt.Sprintf("KeyMajority: %d, KeyValidity: ttl, NoLoopTracking: true, TryNextAfter: 1s", majority),
		MaxNodes: 1,
		Open: func(addrs []string, ttl time.Duration) (Locker, error) {
			l, err := rueidislock.NewLocker(rueidislock.LockerOption{
				ClientOption:   rueidis.ClientOption{InitAddress: addrs},
				KeyMajority:    majority,
				KeyValidity:    ttl,
				NoLoopTracking: true,
				TryNextAfter:   tryNextAfter,
			})
			if err != nil {
				return nil, err
			}
			return rueidisLocker{l}, nil
		},
	}
}

type rueidisLocker struct{ locker rueidislock.Locker }

func (l rueidisLocker) Mutex(key string) Mutex { return &rueidisMutex{locker: l.locker, key: key} }

func (l rueidisLocker) Close() error {
	l.locker.Close()
	return nil
}

type rueidisMutex struct {
	locker rueidislock.Locker
	key    string
	unlock context.CancelFunc
}

func (m *rueidisMutex) Lock(ctx context.Context) (err error) {
	_, m.unlock, err = m.locker.WithContext(ctx, m.key)
	return err
}

// Extend does nothing: rueidislock extends its locks by itself.
func (*rueidisMutex) Extend(context.Context) error { return errors.ErrUnsupported }

// Unlock cannot tell whether there was a lock to release: rueidislock does not.
func (m *rueidisMutex) Unlock(context.Context) error {
	m.unlock()
	return nil
}
