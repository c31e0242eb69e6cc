package leader_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/leader"
)

// newExampleLocker returns a Locker on an in-memory node.
func newExampleLocker(opts ...redlock.Option) (locker *redlock.Locker, closeAll func()) {
	server, err := miniredis.Run()
	if err != nil {
		log.Panic(err)
	}
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	locker, err = redlock.NewSingle(client, opts...)
	if err != nil {
		log.Panic(err)
	}
	return locker, func() {
		_ = locker.Shutdown(context.Background())
		_ = client.Close()
		server.Close()
	}
}

func ExampleRun() {
	locker, closeAll := newExampleLocker()
	defer closeAll()
	ctx, stop := context.WithCancel(context.Background()) // in main: signal.NotifyContext
	defer stop()

	var table redlock.Fence // where the leader writes; in main: a column of a database
	err := leader.Run(ctx, locker, "scheduler", 15*time.Second, func(ctx context.Context, term leader.Term) error {
		for round := 1; ctx.Err() == nil; round++ {
			if err := table.Admit(term.Token); err != nil {
				return err // another one leads by now
			}
			fmt.Println("round", round)
			if round == 3 {
				stop()
			}
		}
		return ctx.Err()
	}, leader.WithErrorHandler(func(err error) { log.Print("stand again: ", err) }))
	fmt.Println(err)
	// Output:
	// round 1
	// round 2
	// round 3
	// context canceled
}

func ExampleCurrent() {
	locker, closeAll := newExampleLocker(redlock.WithOwner("billing-7f9c pid 4242"))
	defer closeAll()

	err := leader.Run(context.Background(), locker, "scheduler", 15*time.Second, func(ctx context.Context, term leader.Term) error {
		holder, err := leader.Current(ctx, locker, "scheduler")
		fmt.Println(holder.Owner, holder.Mark == term.Mark)
		return err
	})
	fmt.Println(err)

	holder, err := leader.Current(context.Background(), locker, "scheduler")
	fmt.Println(holder == redlock.Holder{}, err)
	// Output:
	// billing-7f9c pid 4242 true
	// <nil>
	// true <nil>
}
