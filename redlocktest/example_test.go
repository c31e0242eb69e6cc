package redlocktest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/redlocktest"
)

// In a test, t is its argument. An example has none: it takes this one.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()               {}
func (t *exampleT) Cleanup(f func())      { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) Fatalf(string, ...any) { fmt.Println("the test fails") }

func (t *exampleT) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}

// charge is the code under test.
func charge(ctx context.Context, locker *redlock.Locker, work func(context.Context) error) error {
	return locker.With(ctx, "invoice:42", 300*time.Millisecond, func(ctx context.Context, _ *redlock.Lock) error {
		return work(ctx)
	}, func(err error) { fmt.Println("release failed:", errors.Is(err, redlock.ErrNoQuorum)) },
		redlock.WithAutoExtend(time.Second))
}

// nothing is work that is done at once, and untilTheEnd takes until it is told to stop.
func nothing(context.Context) error         { return nil }
func untilTheEnd(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }

// Somebody else holds the lock, and gives it back.
func ExampleNodes_Hold() {
	t := new(exampleT)
	defer t.end()

	nodes := redlocktest.New(t, 3)
	locker := nodes.Locker(redlock.WithRetry(0, 0)) // a test need not wait

	other := nodes.Hold("invoice:42")
	fmt.Println(errors.Is(charge(context.Background(), locker, nothing), redlock.ErrContended))
	other.Release()
	fmt.Println(charge(context.Background(), locker, nothing))
	// Output:
	// true
	// <nil>
}

// Two nodes of three are away.
func ExampleNodes_Down() {
	t := new(exampleT)
	defer t.end()

	nodes := redlocktest.New(t, 3)
	nodes[1:].Down()
	err := charge(context.Background(), nodes.Locker(redlock.WithRetry(0, 0)), nothing)
	fmt.Println(errors.Is(err, redlock.ErrNoQuorum))
	// Output: true
}

// The lock is lost while the work goes on: its context ends.
func ExampleNodes_Lose() {
	t := new(exampleT)
	defer t.end()

	nodes := redlocktest.New(t, 3)
	err := charge(context.Background(), nodes.Locker(), func(ctx context.Context) error {
		nodes.Lose(redlock.FromContext(ctx))
		return untilTheEnd(ctx)
	})
	fmt.Println(errors.Is(err, redlock.ErrLockLost))
	// Output: true
}

// The work takes longer than the limit of its automatic extension.
func ExampleNodes_Locker_limit() {
	t := new(exampleT)
	defer t.end()

	nodes := redlocktest.New(t, 3)
	err := charge(context.Background(), nodes.Locker(), untilTheEnd)
	fmt.Println(errors.Is(err, redlock.ErrHoldLimit))
	// Output: true
}

// The nodes go away while the work goes on, so that the lock can't be released.
func ExampleNodes_Freeze() {
	t := new(exampleT)
	defer t.end()

	nodes := redlocktest.New(t, 3)
	err := charge(context.Background(), nodes.Locker(), func(context.Context) error {
		nodes[1:].Freeze()
		return nil
	})
	fmt.Println(err)
	// Output:
	// release failed: true
	// <nil>
}

// A holder that has been overtaken writes with an old token, which the store refuses.
func ExampleNodes_Lose_token() {
	t := new(exampleT)
	defer t.end()

	nodes := redlocktest.New(t, 3)
	fencing := redlock.WithFencing(redlock.Forever)
	paused, err := nodes.Locker().Lock(context.Background(), "invoice:42", time.Minute, fencing)
	if err != nil {
		panic(err)
	}
	nodes.Lose(paused)
	next := nodes.Hold("invoice:42", fencing)

	var store redlock.Fence
	fmt.Println(store.Admit(next.Lock.Token()))
	fmt.Println(store.Admit(paused.Token()) != nil)
	// Output:
	// <nil>
	// true
}

// The code under test has forgotten to unlock.
func ExampleNodes_RequireFree() {
	t := new(exampleT)
	defer t.end()

	nodes := redlocktest.New(t, 3)
	_, _ = nodes.Locker().Lock(context.Background(), "invoice:42", 30*time.Second, redlock.WithOwner("billing"))

	// "invoice:42" is locked by "billing" (mark 3f9a1c02) for 1.004s, on 3 of 3 nodes, 28.996s left
	nodes.RequireFree(t)
	// Output: the test fails
}
