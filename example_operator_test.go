package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/b0401464/redlock"
)

func ExampleWithOwner() {
	clients, closeNodes := startNodes()
	defer closeNodes()
	billing, err := redlock.New(clients, redlock.WithOwner("billing-7f9c pid 4242"))
	if err != nil {
		log.Panic(err)
	}
	other, err := redlock.New(clients)
	if err != nil {
		log.Panic(err)
	}
	ctx := context.Background()
	lock, err := billing.Lock(ctx, "invoice:42", 10*time.Second)
	if err != nil {
		log.Panic(err)
	}
	_, err = other.TryLock(ctx, "invoice:42", 10*time.Second)
	if e, ok := errors.AsType[*redlock.LockError](err); ok {
		fmt.Println(e.HeldBy.Owner, e.HeldBy.Mark == lock.Mark())
	}
	_ = lock.Unlock(ctx)
	// Output: billing-7f9c pid 4242 true
}
