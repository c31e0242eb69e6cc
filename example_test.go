package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock"
)

// newClient returns a client that gives up on a node within seconds.
func newClient(addr string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:            addr,
		DialTimeout:     time.Second,
		DialerRetries:   1,           // attempts to connect; go-redis makes 5 by default
		ReadTimeout:     time.Second, // WriteTimeout follows it
		MaxRetries:      1,           // go-redis sends a command up to 3 times more by default
		PoolSize:        100,         // more than resources that are locked at the same moment
		ConnMaxIdleTime: time.Minute, // less than load balancers and NATs keep an idle flow; 30 minutes by default
	})
}

// startNodes starts three in-memory Redis servers and returns a client for
// each. The function it returns closes all of them.
func startNodes() (clients []*redis.Client, closeAll func()) {
	var servers []*miniredis.Miniredis
	for range 3 {
		server, err := miniredis.Run()
		if err != nil {
			log.Panic(err)
		}
		servers = append(servers, server)
		clients = append(clients, newClient(server.Addr()))
	}
	return clients, func() {
		for i, server := range servers {
			_ = clients[i].Close()
			server.Close()
		}
	}
}

// newExampleLocker returns a Locker on three in-memory nodes.
func newExampleLocker() (locker *redlock.Locker, closeAll func()) {
	clients, closeNodes := startNodes()
	locker, err := redlock.New(clients)
	if err != nil {
		log.Panic(err)
	}
	return locker, func() {
		_ = locker.Shutdown(context.Background())
		closeNodes()
	}
}

func charge(context.Context, int) error {
	fmt.Println("charged")
	return nil
}

func draw(context.Context, int) error {
	fmt.Println("drawn")
	return nil
}

func Example() {
	clients, closeNodes := startNodes()
	defer closeNodes()

	locker, err := redlock.New(clients)
	if err != nil {
		log.Panic(err)
	}
	err = locker.With(context.Background(), "invoice:42", 10*time.Second,
		func(ctx context.Context, _ *redlock.Lock) error {
			return charge(ctx, 42) // ctx ends the moment the lock can no longer be trusted
		}, nil)
	fmt.Println(err)
	_ = locker.Shutdown(context.Background())
	// Output:
	// charged
	// <nil>
}

func ExampleLocker_Do() {
	locker, closeAll := newExampleLocker()
	defer closeAll()

	err := locker.Do(context.Background(), "invoice:42", 10*time.Second, func(ctx context.Context) error {
		return charge(ctx, 42)
	}, redlock.WithMaxWait(5*time.Second))
	switch {
	case err == nil:
		fmt.Println("done")
	case errors.Is(err, redlock.ErrContended):
		fmt.Println("somebody else has it: nothing was done")
	default:
		fmt.Println(err) // the function's own error, a lost lock, or Redis is not available
	}
	// Output:
	// charged
	// done
}

func ExampleLocker_With() {
	locker, closeAll := newExampleLocker()
	defer closeAll()
	ctx := context.Background()

	err := locker.With(ctx, "invoice:42", 10*time.Second,
		func(ctx context.Context, lock *redlock.Lock) error {
			if err := draw(ctx, 42); err != nil {
				return err
			}
			// 10 s from now. ErrNoQuorum means that nobody knows: ctx ends when the
			// lock would run out without that.
			if err := lock.Extend(ctx, 10*time.Second); err != nil && !errors.Is(err, redlock.ErrNoQuorum) {
				return err
			}
			return charge(ctx, 42)
		},
		func(err error) { log.Printf("release: %v", err) }, // or nil
		redlock.WithMaxWait(5*time.Second),
	)
	switch {
	case err == nil:
		fmt.Println("done")
	case errors.Is(err, redlock.ErrLockLost):
		fmt.Println("the lock was lost before the function returned")
	case errors.Is(err, redlock.ErrContended): // of With, as the function locks nothing itself
		fmt.Println("somebody else has it: nothing was done")
	default:
		fmt.Println(err) // the function's own error, or Redis is not available
	}
	// Output:
	// drawn
	// charged
	// done
}

// chargeByHand does what With does, step by step.
func chargeByHand(ctx context.Context, locker *redlock.Locker,
	drawAndCharge func(ctx context.Context, lock *redlock.Lock) error,
) error {
	lock, err := locker.Lock(ctx, "invoice:42", 10*time.Second)
	if err != nil {
		return err
	}
	defer func() {
		// Without the caller's cancellation, Unlock waits for the outcome, but
		// no longer than the node timeout.
		if err := lock.Unlock(context.WithoutCancel(ctx)); err != nil {
			log.Printf("release: %v", err)
		}
	}()
	held, cancel := lock.Context(ctx) // ends with ctx, and when the lock is over
	defer cancel()

	err = drawAndCharge(held, lock) // what the function of With does, above
	if !lock.Valid() {              // somebody else may have begun before that was done
		return errors.Join(redlock.ErrLockLost, err)
	}
	return err
}

func ExampleLocker_Lock() {
	locker, closeAll := newExampleLocker()
	defer closeAll()

	err := chargeByHand(context.Background(), locker, func(ctx context.Context, _ *redlock.Lock) error {
		if err := draw(ctx, 42); err != nil {
			return err
		}
		return charge(ctx, 42)
	})
	fmt.Println(err)
	// Output:
	// drawn
	// charged
	// <nil>
}

// chargeUnlessBusy does nothing if somebody else is at it.
func chargeUnlessBusy(ctx context.Context, locker *redlock.Locker,
	charge func(ctx context.Context, invoice int) error,
) error {
	lock, err := locker.TryLock(ctx, "invoice:42", 10*time.Second)
	if errors.Is(err, redlock.ErrContended) {
		return nil // somebody else is at it
	}
	if err != nil {
		return err
	}
	defer func() {
		if err := lock.Unlock(context.WithoutCancel(ctx)); err != nil {
			log.Printf("release: %v", err) // no reason to charge once more
		}
	}()
	held, cancel := lock.Context(ctx)
	defer cancel()

	err = charge(held, 42)
	if !lock.Valid() {
		return errors.Join(redlock.ErrLockLost, err)
	}
	return err
}

func rebuild(context.Context) error {
	fmt.Println("rebuilt")
	return nil
}

func transfer(_ context.Context, from, to int) error {
	fmt.Println("transferred from", from, "to", to)
	return nil
}

func ExampleLocker_WithAll() {
	locker, closeAll := newExampleLocker()
	defer closeAll()
	ctx := context.Background()

	err := locker.WithAll(ctx, []string{"account:7", "account:42"}, 10*time.Second,
		func(ctx context.Context, lock *redlock.Lock) error {
			fmt.Println(lock.Resources()) // sorted, without duplicates
			return transfer(ctx, 42, 7)
		}, nil, redlock.WithMaxWait(5*time.Second))

	fmt.Println(err)
	// Output:
	// [account:42 account:7]
	// transferred from 42 to 7
	// <nil>
}

func ExampleWithAutoExtend() {
	locker, closeAll := newExampleLocker()
	defer closeAll()
	ctx := context.Background()

	err := locker.With(ctx, "search-index", 15*time.Second,
		func(ctx context.Context, _ *redlock.Lock) error {
			return rebuild(ctx) // for hours, if need be
		}, nil, redlock.WithAutoExtend(6*time.Hour))
	switch {
	case errors.Is(err, redlock.ErrHoldLimit):
		fmt.Println("not done after 6 hours")
	case errors.Is(err, redlock.ErrLockLost):
		fmt.Println("cut off from Redis; another process may have begun")
	case err != nil:
		fmt.Println(err)
	}
	// Output:
	// rebuilt
}

func ExampleLocker_TryLock() {
	locker, closeAll := newExampleLocker()
	defer closeAll()
	ctx := context.Background()

	fmt.Println(chargeUnlessBusy(ctx, locker, charge))

	other, err := locker.Lock(ctx, "invoice:42", 10*time.Second)
	fmt.Println(err)
	fmt.Println(chargeUnlessBusy(ctx, locker, charge))
	fmt.Println(other.Unlock(ctx))
	// Output:
	// charged
	// <nil>
	// <nil>
	// <nil>
	// <nil>
}

func ExampleLocker_Shutdown() {
	clients, closeNodes := startNodes()
	defer closeNodes() // last: the Locker's clients are the caller's

	locker, err := redlock.New(clients)
	if err != nil {
		log.Panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(locker.Shutdown(ctx)) // waits for locks that are held and releases under way

	_, err = locker.Lock(ctx, "invoice:42", 10*time.Second)
	fmt.Println(errors.Is(err, redlock.ErrShutdown))
	// Output:
	// <nil>
	// true
}

func ExampleNew() {
	clients, closeNodes := startNodes()
	defer closeNodes()

	locker, err := redlock.New(clients,
		redlock.WithRetry(redlock.Forever, 200*time.Millisecond), // until the context ends
		redlock.WithNodeTimeout(500*time.Millisecond),
		redlock.WithNodeErrorHandler(func(_ context.Context, err *redlock.NodeError) {
			log.Print(err) // of a minority, too, which no call returns
		}),
	)
	if err != nil {
		log.Panic(err)
	}
	// An option of a call overrides what New was given.
	lock, err := locker.Lock(context.Background(), "invoice:42", 10*time.Second,
		redlock.WithMaxWait(3*time.Second))
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(lock.Resource(), lock.Valid())
	fmt.Println(lock.Unlock(context.Background()))
	_ = locker.Shutdown(context.Background())
	// Output:
	// invoice:42 true
	// <nil>
}

func ExampleNewSingle() {
	clients, closeAll := startNodes()
	defer closeAll()

	locker, err := redlock.NewSingle(clients[0])
	if err != nil {
		log.Panic(err)
	}
	err = locker.Do(context.Background(), "invoice:42", 10*time.Second, func(ctx context.Context) error {
		return charge(ctx, 42) // ctx ends the moment the lock can no longer be trusted
	})
	fmt.Println(err)
	_ = locker.Shutdown(context.Background())
	// Output:
	// charged
	// <nil>
}
