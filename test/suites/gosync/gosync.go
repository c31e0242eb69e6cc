// Package gosync has what the tests of Go's sync.Mutex use of package sync, upon locks in
// Redis: mutex_test.go of the standard library is compiled against it.
//
// The program's environment names the servers, and how many Lockers take turns at locking.
// Each Locker has clients of its own, as those of several processes have.
package gosync

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
)

// Variables of the environment.
const (
	EnvNodes   = "REDLOCK_SUITE_NODES"   // addresses, separated by commas
	EnvLockers = "REDLOCK_SUITE_LOCKERS" // a number
	EnvPoll    = "REDLOCK_SUITE_POLL"    // if it is set, they stand in no line, and ask again after that
)

const (
	ttl         = time.Minute
	nodeTimeout = 20 * time.Second // for busy machines
)

// lockers returns the Lockers of the program.
var lockers = sync.OnceValue(func() (all []*redlock.Locker) {
	n, err := strconv.Atoi(os.Getenv(EnvLockers))
	check(err)
	opts := []redlock.Option{redlock.WithNodeTimeout(nodeTimeout), redlock.WithRetry(redlock.Forever, 400*time.Millisecond)}
	if text := os.Getenv(EnvPoll); text != "" {
		pause, err := time.ParseDuration(text)
		check(err)
		opts = append(opts, redlock.WithoutWaitingLine(), redlock.WithRetry(redlock.Forever, pause))
	}
	for range n {
		var clients []*redis.Client
		for addr := range strings.SplitSeq(os.Getenv(EnvNodes), ",") {
			clients = append(clients, redis.NewClient(&redis.Options{Addr: addr}))
		}
		l, err := redlock.New(clients, opts...)
		check(err)
		all = append(all, l)
	}
	return all
})

var calls, mutexes atomic.Int64

// next returns the Locker whose turn it is.
func next() *redlock.Locker {
	all := lockers()
	return all[int(calls.Add(1))%len(all)]
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// A Mutex is a lock in Redis with the methods of a sync.Mutex. The zero value is one that
// nobody has locked.
type Mutex struct {
	once sync.Once
	name string
	held atomic.Pointer[redlock.Lock]
}

// resource returns what the Mutex locks, a name of its own.
func (m *Mutex) resource() string {
	m.once.Do(func() { m.name = "mutex-" + strconv.FormatInt(mutexes.Add(1), 10) })
	return m.name
}

// Lock locks m.
func (m *Mutex) Lock() {
	lock, err := next().Lock(context.Background(), m.resource(), ttl)
	check(err)
	m.take(lock)
}

// TryLock tries to lock m and reports whether it has.
func (m *Mutex) TryLock() bool {
	lock, err := next().TryLock(context.Background(), m.resource(), ttl)
	if errors.Is(err, redlock.ErrContended) {
		return false
	}
	check(err)
	m.take(lock)
	return true
}

// take keeps the lock for Unlock. If another one is there, two have m.
func (m *Mutex) take(lock *redlock.Lock) {
	if !m.held.CompareAndSwap(nil, lock) {
		panic("two have locked " + m.name)
	}
}

// Unlock unlocks m.
func (m *Mutex) Unlock() {
	lock := m.held.Swap(nil)
	if lock == nil {
		panic("unlock of unlocked mutex")
	}
	check(lock.Unlock(context.Background()))
}

// The tests of misuse and of semaphores, which are left out, do not compile without these.

// An RWMutex has the methods of a sync.RWMutex. None of them works.
type RWMutex struct{ Mutex }

// RLock panics.
func (*RWMutex) RLock() { panic("there are no locks for readers") }

// RUnlock panics.
func (*RWMutex) RUnlock() { panic("there are no locks for readers") }

// Runtime_Semacquire panics.
func Runtime_Semacquire(*uint32) { panic("there are no semaphores") } //nolint:revive // its name in package sync

// Runtime_Semrelease panics.
func Runtime_Semrelease(*uint32, bool, int) { panic("there are no semaphores") } //nolint:revive // its name in package sync
