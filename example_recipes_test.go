package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/b0401464/redlock"
)

// nightly is started by every host at the same time. One of them makes the
// report.
func nightly(ctx context.Context, locker *redlock.Locker, report func(context.Context) error) error {
	// The lock is not released: a host whose clock is behind finds it taken.
	_, err := locker.Lock(ctx, "nightly-report", time.Hour, redlock.WithMaxWait(time.Second))
	if errors.Is(err, redlock.ErrContended) {
		return nil // another host makes it, or has made it
	}
	if err != nil {
		return err
	}
	return report(ctx)
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
		err := locker.With(r.Context(), "order:"+id, 10*time.Second,
			func(ctx context.Context, _ *redlock.Lock) error { return shipOrder(ctx, id) },
			nil, redlock.WithMaxWait(500*time.Millisecond))
		switch {
		case err == nil:
			w.WriteHeader(http.StatusNoContent)
		case errors.Is(err, redlock.ErrContended):
			http.Error(w, "another request is working on this order", http.StatusConflict)
		case errors.Is(err, redlock.ErrNoQuorum):
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too few Redis nodes answer", http.StatusServiceUnavailable)
		default:
			http.Error(w, "shipping failed", http.StatusInternalServerError)
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
	if _, err := l.locker.Lock(ctx, "job:"+key, l.ttl, redlock.WithMaxWait(time.Second)); err != nil {
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

func TestExampleImportIsRefusedWhileAnotherOneRuns(t *testing.T) {
	node := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: node.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	locker, err := redlock.New([]*redis.Client{client}, redlock.WithRetry(0, 0)) // a test need not wait
	if err != nil {
		t.Fatal(err)
	}

	if err := node.Set("import", "somebody else"); err != nil { // the key is the resource
		t.Fatal(err)
	}
	err = importAll(t.Context(), locker, nil, nil)
	if !errors.Is(err, redlock.ErrContended) {
		t.Errorf("got %v, want ErrContended", err)
	}
}

func TestExampleImportStopsWhenItsLockRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := miniredis.NewMiniRedis()
		node.ClockTTL(true) // keys expire by the clock of the bubble
		client := redis.NewClient(&redis.Options{
			Addr:     "127.0.0.1:6379", // only a name here: an IP address, another one for each node
			Dialer:   func(context.Context, string, string) (net.Conn, error) { return node.Dial() },
			PoolSize: 100, // more than there are calls at a time: a wait for a connection would leave the bubble
			MaintNotificationsConfig: &maintnotifications.Config{
				Mode: maintnotifications.ModeDisabled,
			},
		})
		t.Cleanup(func() { _ = client.Close(); node.Close() })
		locker, err := redlock.New([]*redis.Client{client})
		if err != nil {
			t.Fatal(err)
		}

		began := time.Now()
		err = importAll(t.Context(), locker, []string{"a", "b"}, func(ctx context.Context, _ string) error {
			<-ctx.Done() // half a minute that takes no time
			return ctx.Err()
		})
		if !errors.Is(err, redlock.ErrLockLost) {
			t.Errorf("got %v, want ErrLockLost", err)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("stopped after %v, when somebody else may have had the lock", took)
		}
		if err := locker.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
