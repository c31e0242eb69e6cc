package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/b0401464/redlock"
)

// nightly is started by every host at the same time. One of them makes the
// report.
func nightly(ctx context.Context, locker *redlock.Locker, report func(context.Context) error) error {
	// The tick is not released: a host whose clock is behind finds it taken.
	_, err := locker.Lock(ctx, "nightly-report:tick", time.Hour, redlock.WithMaxWait(time.Second))
	if errors.Is(err, redlock.ErrContended) {
		return nil // another host makes it, or has made it
	}
	if err != nil {
		return err
	}
	// The report has a lock for as long as it takes, and this host one attempt to get it.
	return locker.Do(ctx, "nightly-report", 30*time.Second, report,
		redlock.WithAutoExtend(redlock.Forever), redlock.WithRetry(0, 0))
}

func ExampleLocker_Lock_cron() {
	clients, closeNodes := startNodes()
	defer closeNodes()

	for host := range 2 {
		locker, err := redlock.New(clients)
		if err != nil {
			log.Panic(err)
		}
		err = nightly(context.Background(), locker, func(context.Context) error {
			fmt.Println("host", host, "makes the report")
			return nil
		})
		fmt.Println("host", host, err)
	}
	// Output:
	// host 0 makes the report
	// host 0 <nil>
	// host 1 <nil>
}

// ship ships an order, unless another request is at it.
func ship(locker *redlock.Locker, shipOrder func(ctx context.Context, id string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		began := false
		err := locker.Do(r.Context(), "order:"+id, 10*time.Second, func(ctx context.Context) error {
			began = true
			return shipOrder(ctx, id)
		}, redlock.WithMaxWait(500*time.Millisecond))
		switch {
		case err == nil:
			w.WriteHeader(http.StatusNoContent)
		case r.Context().Err() != nil: // nobody is there to read an answer
		case errors.Is(err, redlock.ErrLockLost):
			http.Error(w, "cut off: another request may have begun before this one ended", http.StatusInternalServerError)
		case began: // what shipOrder returns may be of any kind
			http.Error(w, "shipping failed", http.StatusInternalServerError)
		case errors.Is(err, redlock.ErrContended):
			http.Error(w, "another request is working on this order", http.StatusConflict)
		default: // ErrNoQuorum or ErrShutdown
			w.Header().Set("Retry-After", "1")
			http.Error(w, "no lock to be had", http.StatusServiceUnavailable)
		}
	}
}

func ExampleLocker_With_http() {
	clients, closeNodes := startNodes()
	locker, err := redlock.New(clients)
	if err != nil {
		log.Panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /orders/{id}/ship", ship(locker, func(context.Context, string) error { return nil }))
	post := func() {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/orders/42/ship", http.NoBody))
		fmt.Println(w.Code)
	}

	post()
	lock, err := locker.Lock(context.Background(), "order:42", time.Minute)
	if err != nil {
		log.Panic(err)
	}
	post()
	_ = lock.Unlock(context.Background())
	closeNodes()
	post()
	// Output:
	// 204
	// 409
	// 503
}

// lead runs work in one process at a time, the others stand by. It returns when
// ctx ends or work returns by itself.
func lead(ctx context.Context, locker *redlock.Locker, work func(context.Context) error) error {
	for {
		err := locker.With(ctx, "leader", 15*time.Second, func(ctx context.Context, _ *redlock.Lock) error {
			return work(ctx) // this process leads until ctx ends
		}, nil, redlock.WithRetry(redlock.Forever, time.Second), redlock.WithAutoExtend(redlock.Forever))
		if !errors.Is(err, redlock.ErrLockLost) {
			return err
		}
		// Leadership was lost: stand again.
	}
}

func ExampleLocker_With_leader() {
	locker, closeAll := newExampleLocker()
	defer closeAll()

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	round := 0
	err := lead(ctx, locker, func(ctx context.Context) error {
		for ctx.Err() == nil {
			round++
			fmt.Println("round", round)
			if round == 3 {
				stop()
			}
		}
		return ctx.Err()
	})
	fmt.Println(err)
	// Output:
	// round 1
	// round 2
	// round 3
	// context canceled
}

// importAll imports batches one by one and holds the lock all the while.
func importAll(ctx context.Context, locker *redlock.Locker, batches []string,
	importBatch func(ctx context.Context, batch string) error,
) error {
	const ttl = 30 * time.Second // several times what one batch takes
	return locker.With(ctx, "import", ttl, func(ctx context.Context, lock *redlock.Lock) error {
		for _, batch := range batches {
			if ctx.Err() != nil {
				return context.Cause(ctx) // the lock is over, or the caller has cancelled
			}
			if err := importBatch(ctx, batch); err != nil {
				return err
			}
			// ErrNoQuorum means that nobody knows: the lock is valid until
			// lock.Until(), and ctx ends then unless a later Extend succeeds.
			if err := lock.Extend(ctx, ttl); err != nil && !errors.Is(err, redlock.ErrNoQuorum) {
				return err
			}
		}
		return nil
	}, nil)
}

func ExampleLock_Extend() {
	locker, closeAll := newExampleLocker()
	defer closeAll()

	err := importAll(context.Background(), locker, []string{"a", "b"}, func(_ context.Context, batch string) error {
		fmt.Println("imported", batch)
		return nil
	})
	fmt.Println(err)
	// Output:
	// imported a
	// imported b
	// <nil>
}

// These are gocron.Lock and gocron.Locker. A program that imports gocron needs
// no copies of them.
type (
	gocronLock interface {
		Unlock(ctx context.Context) error
	}
	gocronLocker interface {
		Lock(ctx context.Context, key string) (gocronLock, error)
	}
)

// A jobLocker lets one of several schedulers run a job. Its locks are not
// released, so that a scheduler whose clock is behind finds them taken.
type jobLocker struct {
	locker *redlock.Locker
	ttl    time.Duration // a little less than the time between two runs
}

func (l jobLocker) Lock(ctx context.Context, key string) (gocronLock, error) {
	// Well below the TTL: whoever waited for longer would get what has run out.
	if _, err := l.locker.Lock(ctx, "job:"+key, l.ttl, redlock.WithMaxWait(l.ttl/10)); err != nil {
		return nil, err // gocron does not run the job here
	}
	return runsOut{}, nil
}

type runsOut struct{}

func (runsOut) Unlock(context.Context) error { return nil }

func Example_gocron() {
	locker, closeAll := newExampleLocker()
	defer closeAll()

	// gocron.NewScheduler(gocron.WithDistributedLocker(jobs))
	var jobs gocronLocker = jobLocker{locker, 500 * time.Millisecond}

	lock, err := jobs.Lock(context.Background(), "clean-up")
	fmt.Println(err)
	fmt.Println(lock.Unlock(context.Background()))
	// Output:
	// <nil>
	// <nil>
}

// A ledger is what the lock protects. It looks at every write.
type ledger struct {
	fence redlock.Fence
	text  string
}

func (l *ledger) write(token int64, text string) error {
	if err := l.fence.Admit(token); err != nil {
		return err
	}
	l.text = text
	return nil
}

func ExampleFence() {
	var l ledger
	fmt.Println(l.write(33, "from the first holder"))
	fmt.Println(l.write(34, "from the second holder"))

	// The first holder was paused, and wakes up after its lock has ended.
	err := l.write(33, "from the first holder again")
	fmt.Println(errors.Is(err, redlock.ErrStaleToken), err)
	fmt.Println(l.text)
	// Output:
	// <nil>
	// <nil>
	// true redlock: stale fencing token: 33 after 34
	// from the second holder
}

func ExampleWithFencing() {
	locker, closeAll := newExampleLocker()
	defer closeAll()
	ctx := context.Background()
	var l ledger

	err := locker.With(ctx, "ledger:7", 10*time.Second, func(_ context.Context, lock *redlock.Lock) error {
		return l.write(lock.Token(), "paid") // refused if a later holder has written
	}, nil, redlock.WithFencing(24*time.Hour))

	fmt.Println(l.text, err)
	// Output: paid <nil>
}

func ExampleFromContext() {
	locker, closeAll := newExampleLocker()
	defer closeAll()

	// writeLedger is called somewhere below Do, and is not handed the lock.
	writeLedger := func(ctx context.Context) error {
		fmt.Println("written with token", redlock.FromContext(ctx).Token() > 0)
		return nil
	}
	err := locker.Do(context.Background(), "ledger:7", 10*time.Second, writeLedger, redlock.WithFencing(24*time.Hour))
	fmt.Println(err)
	// Output:
	// written with token true
	// <nil>
}

func ExampleWithUnlockErrorHandler() {
	clients, closeAll := startNodes()
	defer closeAll()

	locker, err := redlock.NewSingle(clients[0], redlock.WithUnlockErrorHandler(func(err error) {
		fmt.Println("somebody has removed the lock:", errors.Is(err, redlock.ErrLockLost))
	}))
	if err != nil {
		log.Panic(err)
	}
	ctx := context.Background()
	err = locker.Do(ctx, "invoice:42", 10*time.Second, func(ctx context.Context) error {
		clients[0].Del(ctx, "invoice:42") // by hand, as nobody should
		return nil
	})
	fmt.Println(err)
	_ = locker.Shutdown(ctx)
	// Output:
	// somebody has removed the lock: true
	// <nil>
}

func ExampleLockError() {
	locker, closeAll := newExampleLocker()
	defer closeAll()
	ctx := context.Background()

	lock, err := locker.Lock(ctx, "invoice:42", time.Minute)
	if err != nil {
		log.Panic(err)
	}
	_, err = locker.TryLock(ctx, "invoice:42", time.Minute)
	if e, ok := errors.AsType[*redlock.LockError](err); ok {
		fmt.Println(e.Op, e.Resources, e.ErrorType())
		fmt.Println("free in less than a minute:", 0 < e.RetryAfter && e.RetryAfter <= time.Minute)
		for _, n := range e.Nodes { // nodes that failed; one that refuses has not
			fmt.Println(n.Addr, n.Err)
		}
	}
	fmt.Println(lock.Unlock(ctx))
	// Output:
	// lock [invoice:42] contended
	// free in less than a minute: true
	// <nil>
}
