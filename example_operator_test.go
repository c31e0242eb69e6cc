package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
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

func ExampleLocker_Break() {
	locker, closeAll := newExampleLocker()
	defer closeAll()
	ctx := context.Background()
	_, err := locker.Lock(ctx, "invoice:42", time.Hour, redlock.WithOwner("billing-7f9c pid 4242"))
	if err != nil {
		log.Panic(err)
	}

	state, err := locker.Inspect(ctx, "invoice:42") // outdated when it arrives
	if err != nil {
		log.Panic(err)
	}
	verdict, _, _ := strings.Cut(state.String(), " since ")
	fmt.Println(verdict)

	// The process hangs, and is stopped. Nobody else is hit, should it have been replaced.
	err = locker.Break(ctx, "invoice:42", state.Holder.Mark)
	fmt.Println(err)
	// Output:
	// "invoice:42": held by billing-7f9c pid 4242
	// <nil>
}
