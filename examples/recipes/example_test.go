package recipes_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/examples/recipes"
	"github.com/b0401464/redlock/test/rig"
)

func ExampleByHand() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()

	err := recipes.ByHand(context.Background(), locker, func(_ context.Context, lock *redlock.Lock) error {
		fmt.Println("charged under the lock of", lock.Resource())
		return nil
	})
	fmt.Println(err)
	// Output:
	// charged under the lock of invoice:42
	// <nil>
}

func ExampleUnlessBusy() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()
	ctx := context.Background()
	charge := func(_ context.Context, invoice int) error {
		fmt.Println("charged", invoice)
		return nil
	}

	fmt.Println(recipes.UnlessBusy(ctx, locker, charge))
	other, err := locker.Lock(ctx, "invoice:42", 10*time.Second)
	fmt.Println(err)
	fmt.Println(recipes.UnlessBusy(ctx, locker, charge))
	fmt.Println(other.Unlock(ctx))
	// Output:
	// charged 42
	// <nil>
	// <nil>
	// <nil>
	// <nil>
}

func ExampleNightly() {
	clients, closeNodes := rig.StartNodes()
	defer closeNodes()

	for host := range 2 {
		locker, err := redlock.New(clients)
		if err != nil {
			log.Panic(err)
		}
		err = recipes.Nightly(context.Background(), locker, func(context.Context) error {
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

func ExampleShip() {
	clients, closeNodes := rig.StartNodes()
	locker, err := redlock.New(clients)
	if err != nil {
		log.Panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /orders/{id}/ship", recipes.Ship(locker, func(context.Context, string) error { return nil }))
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

func ExampleLead() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	round := 0
	err := recipes.Lead(ctx, locker, func(ctx context.Context) error {
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

func ExampleImportAll() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()

	err := recipes.ImportAll(context.Background(), locker, []string{"a", "b"}, func(_ context.Context, batch string) error {
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
	locker, closeAll := rig.StartLocker()
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
