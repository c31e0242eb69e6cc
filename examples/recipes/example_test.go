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
	err := recipes.Lead(ctx, locker, func(ctx context.Context, _ int64) error {
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

func ExampleReady() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()

	fmt.Println(recipes.Ready(context.Background(), locker))
	// Output: <nil>
}
