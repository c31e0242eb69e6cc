package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

// These are examples of one call each. What programs do with them is in examples/recipes.

func say(what ...any) error { _, err := fmt.Println(what...); return err }

func draw(context.Context, int) error   { return say("drawn") }
func charge(context.Context, int) error { return say("charged") }
func rebuild(context.Context) error     { return say("rebuilt") }

func transfer(_ context.Context, from, to int) error { return say("transferred from", from, "to", to) }

func Example() {
	clients, closeNodes := rig.StartNodes()
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

func ExampleNewSingle() {
	clients, closeAll := rig.StartNodes()
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

func ExampleNew() {
	clients, closeNodes := rig.StartNodes()
	defer closeNodes() // last: the Locker's clients are the caller's

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
	lock, err := locker.Lock(context.Background(), "invoice:42", 10*time.Second, redlock.WithMaxWait(3*time.Second))
	fmt.Println(lock.Resource(), err)
	fmt.Println(lock.Unlock(context.Background()))
	_ = locker.Shutdown(context.Background())
	// Output:
	// invoice:42 <nil>
	// <nil>
}

func ExampleLocker_Do() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()

	err := locker.Do(context.Background(), "invoice:42", 10*time.Second, func(ctx context.Context) error {
		return charge(ctx, 42)
	}, redlock.WithMaxWait(5*time.Second))
	if errors.Is(err, redlock.ErrContended) {
		fmt.Println("another process has it: nothing was done")
	}
	fmt.Println(err) // the function's own error, a lost lock, or Redis is not available
	// Output:
	// charged
	// <nil>
}

func ExampleLocker_With() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()
	ctx := context.Background()
	err := locker.With(ctx, "invoice:42", 10*time.Second,
		func(ctx context.Context, lock *redlock.Lock) error {
			if err := draw(ctx, 42); err != nil {
				return err
			}
			// 10 s from now. ErrNoQuorum means that the outcome is unknown: ctx ends
			// when the lock would run out without that.
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
		fmt.Println("another process has it: nothing was done")
	default:
		fmt.Println(err) // the function's own error, or Redis is not available
	}
	// Output:
	// drawn
	// charged
	// done
}

func ExampleLocker_WithAll() {
	locker, closeAll := rig.StartLocker()
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

func ExampleLocker_Lock() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()
	ctx := context.Background()
	lock, err := locker.Lock(ctx, "invoice:42", 10*time.Second)
	if err != nil {
		log.Panic(err)
	}
	held, cancel := lock.Context(ctx) // ends with ctx, and when the lock is over
	defer cancel()
	fmt.Println(charge(held, 42), lock.Valid()) // if it is not, another process may have begun
	fmt.Println(lock.Unlock(ctx))
	// Output:
	// charged
	// <nil> true
	// <nil>
}

func ExampleLock_Context() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()
	ctx := context.Background()
	lock, err := locker.Lock(ctx, "invoice:42", 10*time.Second)
	if err != nil {
		log.Panic(err)
	}
	held, cancel := lock.Context(ctx) // ends with ctx, and when the lock is over
	defer cancel()
	fmt.Println(held.Err())

	_ = lock.Unlock(ctx) // here the lock ends; it could also run out, or be lost
	fmt.Println(held.Err())
	fmt.Println("unlocked:", errors.Is(context.Cause(held), redlock.ErrUnlocked))
	fmt.Println("lost:", errors.Is(context.Cause(held), redlock.ErrLockLost))
	// Output:
	// <nil>
	// context canceled
	// unlocked: true
	// lost: false
}

func ExampleLock_Extend() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()
	ctx := context.Background()
	lock, err := locker.Lock(ctx, "import", 10*time.Second)
	if err != nil {
		log.Panic(err)
	}
	err = lock.Extend(ctx, time.Minute) // from now on; ErrNoQuorum means that the outcome is unknown
	fmt.Println(err, time.Until(lock.Until()) > 10*time.Second)
	_ = lock.Unlock(ctx)
	// Output: <nil> true
}

func ExampleLocker_TryLock() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()
	ctx := context.Background()
	lock, err := locker.TryLock(ctx, "invoice:42", 10*time.Second)
	fmt.Println(err)
	_, err = locker.TryLock(ctx, "invoice:42", 10*time.Second)
	fmt.Println("another caller is at it:", errors.Is(err, redlock.ErrContended))
	_ = lock.Unlock(ctx)
	// Output:
	// <nil>
	// another caller is at it: true
}

func ExampleWithAutoExtend() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()
	ctx := context.Background()
	err := locker.With(ctx, "search-index", 15*time.Second,
		func(ctx context.Context, _ *redlock.Lock) error {
			return rebuild(ctx) // it may take hours
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

func ExampleLocker_Shutdown() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	fmt.Println(locker.Shutdown(ctx)) // waits for locks that are held and releases under way
	_, err := locker.Lock(ctx, "invoice:42", 10*time.Second)
	fmt.Println(errors.Is(err, redlock.ErrShutdown))
	// Output:
	// <nil>
	// true
}

func ExampleWithFencing() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()
	ctx := context.Background()
	var fence redlock.Fence // beside what is written

	err := locker.With(ctx, "ledger:7", 10*time.Second, func(ctx context.Context, lock *redlock.Lock) error {
		if err := fence.Admit(lock.Token()); err != nil {
			return err // a later holder has been there
		}
		return draw(ctx, 7)
	}, nil, redlock.WithFencing(24*time.Hour))

	fmt.Println(err)
	// Output:
	// drawn
	// <nil>
}

func ExampleFence() {
	var fence redlock.Fence // beside what the lock protects
	fmt.Println(fence.Admit(33))
	fmt.Println(fence.Admit(34))
	// The first holder was paused, and wakes up after its lock has ended.
	fmt.Println(fence.Admit(33))
	// Output:
	// <nil>
	// <nil>
	// redlock: stale fencing token: 33 after 34
}

func ExampleFromContext() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()

	err := locker.Do(context.Background(), "ledger:7", 10*time.Second, func(ctx context.Context) error {
		return say("written with token", redlock.FromContext(ctx).Token() > 0) // or anywhere below
	}, redlock.WithFencing(24*time.Hour))
	fmt.Println(err)
	// Output:
	// written with token true
	// <nil>
}

func ExampleWithUnlockErrorHandler() {
	clients, closeNodes := rig.StartNodes()
	defer closeNodes()
	locker, err := redlock.NewSingle(clients[0], redlock.WithUnlockErrorHandler(func(err error) {
		fmt.Println("the lock was removed:", errors.Is(err, redlock.ErrLockLost))
	}))
	if err != nil {
		log.Panic(err)
	}
	err = locker.Do(context.Background(), "invoice:42", 10*time.Second, func(ctx context.Context) error {
		return clients[0].Del(ctx, "invoice:42").Err() // by hand: never do that
	})
	fmt.Println(err)
	// Output:
	// the lock was removed: true
	// <nil>
}

func ExampleWithOwner() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()
	ctx := context.Background()
	lock, err := locker.Lock(ctx, "invoice:42", 10*time.Second, redlock.WithOwner("billing-7f9c pid 4242"))
	if err != nil {
		log.Panic(err)
	}
	_, err = locker.TryLock(ctx, "invoice:42", 10*time.Second)
	if e, ok := errors.AsType[*redlock.LockError](err); ok {
		fmt.Println(e.HeldBy.Owner, e.HeldBy.Mark == lock.Mark())
	}
	_ = lock.Unlock(ctx)
	// Output: billing-7f9c pid 4242 true
}

func ExampleLocker_Inspect() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()
	ctx := context.Background()
	lock, err := locker.Lock(ctx, "invoice:42", 10*time.Second, redlock.WithOwner("billing-7f9c pid 4242"))
	if err != nil {
		log.Panic(err)
	}
	state, err := locker.Inspect(ctx, "invoice:42") // outdated when it arrives
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(state.Verdict, "by", state.Holder.Owner) // fmt.Println(state) prints a table
	fmt.Println("for 10 s at most:", 0 < state.Remaining && state.Remaining <= 10*time.Second)
	fmt.Println("it is this lock:", state.Holder.Mark == lock.Mark())
	_ = lock.Unlock(ctx)
	// Output:
	// held by billing-7f9c pid 4242
	// for 10 s at most: true
	// it is this lock: true
}

func ExampleLocker_Check() {
	locker, closeAll := rig.StartLocker()
	defer closeAll()
	report, err := locker.Check(context.Background(), 30*time.Second) // the longest TTL of your locks
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(len(report.Nodes), "nodes, the worst finding is a", report.Worst()) // fmt.Println(report) prints a table
	for _, f := range report.Findings {
		if f.Severity >= redlock.SeverityUnsafe {
			fmt.Println(f.Text, f.Remedy)
		}
	}
	// Output: 3 nodes, the worst finding is a note
}

func ExampleLocker_Break() {
	locker, closeAll := rig.StartLocker()
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
	fmt.Println(state.Verdict, "by", state.Holder.Owner)
	// The process hangs, and was stopped. Break never hits the next holder.
	fmt.Println(locker.Break(ctx, "invoice:42", state.Holder.Mark))
	// Output:
	// held by billing-7f9c pid 4242
	// <nil>
}

func ExampleLockError() {
	locker, closeAll := rig.StartLocker()
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
	_ = lock.Unlock(ctx)
	// Output:
	// lock [invoice:42] contended
	// free in less than a minute: true
}
